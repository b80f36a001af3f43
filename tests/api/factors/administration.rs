//! What operators do with factors: look at them, and help who has lost them all.

use std::sync::Arc;

use dualauth::clock::Clock;
use serde_json::json;
use sqlx::Connection;
use tokio::process::Command;

use super::{Authenticator, first_step, second_step, two_step_user};
use crate::challenges;
use crate::doctor::doctor_in;
use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    mail_server::MailServer,
    program::{folder, program, run, text},
    server::{APP_SECRET, ONE_NAME, TestServer, credentials},
    with,
};

const PUBLIC_URL: (&str, &str) = ("PUBLIC_URL", "http://auth.example.org");

/// A passkey of everybody's who has none, under this RP ID.
fn passkeys(kind: &str, rp_id: &str) -> String {
    format!(
        "insert into passkeys (id, user_id, credential_id, public_key, algorithm, kind, name, sign_count, backup_eligible,
             backed_up, transports, aaguid, rp_id, created_at)
         select gen_random_uuid(), id, uuid_send(gen_random_uuid()), '\\x01', -7, '{kind}', 'Key of ' || username, 0, true, false,
             '{{}}', gen_random_uuid(), '{rp_id}', '2026-01-02T03:04:05Z' from users"
    )
}

/// The program on a server's database, with its mail server.
fn command(server: &TestServer, mails: Option<&MailServer>, words: &[&str]) -> Command {
    let (url, smtp) = (server.database_url().to_string(), mails.map(MailServer::url).unwrap_or_default());
    let mut settings = vec![("DATABASE_URL", url.as_str()), ("APP_SECRET", APP_SECRET), PUBLIC_URL];
    if mails.is_some() {
        settings.push(("SMTP_URL", &smtp));
    }
    let mut command = program(&folder(), &settings);
    command.args(words);
    command
}

async fn does(server: &TestServer, words: &[&str]) -> String {
    let output = run(command(server, None, words), "").await;
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn refuses(server: &TestServer, words: &[&str]) -> String {
    let output = run(command(server, None, words), "").await;
    assert!(!output.status.success() && output.stdout.is_empty(), "{words:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

/// Signs in in two steps.
async fn sign_in(server: &TestServer, pair: Pair, authenticator: &Authenticator) -> Client {
    let pending = first_step(server, "ada").await;
    let mut client = Client::new(server, pair);
    let code = authenticator.next_code(server);
    client.login(&with(second_step(&pending, &code), "transport", pair.transport.name())).await.expect(200);
    client
}

#[tokio::test]
async fn who_has_lost_every_factor_signs_in_by_the_password_again_and_is_told() {
    let (server, mails) = challenges::server().await;
    // The commands' clock.
    server.clock.set(Clock::system().now());
    let another = server.another_node().await;
    server.user("ada").await;
    crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let authenticator = super::enrol(&server, &client).await;
    let bea = Client::of_new_user(&server, Pair::SESSION_BEARER, "bea").await;
    crate::nodes::sql(&server, &passkeys("security_key", "auth.example.org")).await;
    let mut devices = vec![];
    for pair in Pair::ALL {
        devices.push(sign_in(&server, pair, &authenticator).await);
    }
    for device in &devices {
        device.at(&another).profile().await.ok();
    }
    let pending = first_step(&server, "ada").await;
    let told_before = mails.receives(1).await.len();

    let output = run(command(&server, Some(&mails), &["user", "factors", "reset", "ADA"]), "").await;
    let told = text(&output.stdout);
    assert!(output.status.success() && told.contains("Logins ended: 5"), "{told}{}", text(&output.stderr));

    for device in devices.iter().chain([&client]) {
        for node in [&server, &another] {
            let device = device.at(node);
            eventually("a refusal", async || device.profile().await.status == 401).await;
            device.assert_refused(device.pair.mode.ended()).await;
        }
    }
    for code in [&authenticator.recovery_codes[0], &authenticator.next_code(&server)] {
        let body = second_step(&pending, code);
        another.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
    }
    let notice = mails.receives(told_before + 1).await.pop().expect("a notice");
    assert!(notice.text().contains("second factors and passkeys"), "{}", notice.text());
    // The password is the same, and one factor is enough.
    let mut again = Client::new(&another, Pair::SESSION_COOKIE);
    again.login(&again.pair.credentials("ada")).await.expect(200);
    let listed = again.get("/account/factors").await.ok();
    assert_eq!(
        (&listed["two_step"], &listed["totp"], &listed["recovery_codes_left"]),
        (&json!(false), &json!(null), &json!(0))
    );
    bea.assert_goes_on().await;
    assert_eq!(challenges::count(&server, "select count(*) from passkeys").await, 1, "bea's");
    super::enrol(&server, &again).await;
    assert_eq!(first_step(&another, "ada").await["methods"], json!(["totp", "recovery_code"]));
}

#[tokio::test]
async fn an_account_with_nothing_to_remove_is_left_alone_and_each_thing_alone_is_removed() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let reset = ["user", "factors", "reset", "ada"];
    for _ in 0..2 {
        let told = refuses(&server, &reset).await;
        assert!(told.contains("ada has neither"), "{told}");
    }
    client.assert_goes_on().await;
    for words in [&["user", "factors", "reset", "nobody"][..], &["user", "factors", "nobody"]] {
        assert!(refuses(&server, words).await.contains("there is no user \"nobody\""));
    }
    for planted in [
        &passkeys("passkey", "auth.example.org"),
        // No browser offers it any more.
        &passkeys("passkey", "example.net"),
        "insert into recovery_codes (user_id, hash) select id, '\\x01' from users",
        "update users set two_step = true",
        "insert into totp (user_id, id, secret, last_step, name, created_at)
         select id, id, '\\x01', 0, '', now() from users",
    ] {
        crate::nodes::sql(&server, planted).await;
        does(&server, &reset).await;
        assert!(refuses(&server, &reset).await.contains("nothing was changed"));
    }
    crate::nodes::sql(&server, "update users set password_hash = null, two_step = true").await;
    assert!(does(&server, &reset).await.contains("user set-password"), "who has no password needs one");
}

#[tokio::test]
async fn an_authenticator_that_is_enrolled_meanwhile_does_not_outlive_a_reset() {
    let server = TestServer::start().await;
    server.user("ada").await;
    crate::nodes::sql(&server, "update users set two_step = true").await;
    let mut enrolling = server.sql().await;
    let enrol = "begin; select from users for update;
         insert into totp (user_id, id, secret, last_step, name, created_at)
         select id, id, '\\x01', 0, '', now() from users";
    sqlx::raw_sql(enrol).execute(&mut enrolling).await.expect("statements that run");
    let (reset, ()) = tokio::join!(
        run(command(&server, None, &["user", "factors", "reset", "ada"]), ""),
        async {
            let waiting = "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and query like '%reset_factors%'";
            eventually("a reset that waits", async || challenges::count(&server, waiting).await == 1).await;
            sqlx::raw_sql("commit").execute(&mut enrolling).await.expect("a commit");
        }
    );
    assert!(reset.status.success(), "{}", text(&reset.stderr));
    assert_eq!(challenges::count(&server, "select count(*) from totp").await, 0);
    enrolling.close().await.expect("a connection that can be closed");
    server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200);
}

#[tokio::test]
async fn an_operator_sees_what_an_account_has_and_no_secret() {
    let server = TestServer::start().await;
    server.user("bea").await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    crate::nodes::sql(&server, &passkeys("passkey", "auth.example.org")).await;
    crate::nodes::sql(&server, &passkeys("security_key", "example.net")).await;
    crate::nodes::sql(&server, "update totp set name = E'Pho\\x1b[2Jne'").await;
    let code = &authenticator.recovery_codes[0];
    let pending = first_step(&server, "ada").await;
    server.send(Request::post("/jwt/login").json(&second_step(&pending, code))).await.expect(200);

    let told = does(&server, &["user", "factors", "ADA@example.org"]).await;
    let has = |start: &str, rest: &[&str]| {
        let line =
            told.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in {told}"));
        assert!(rest.iter().all(|word| line.contains(word)), "{rest:?} in {line}");
    };
    for line in
        ["username: ada", "password: yes", "email_verified: no", "two_step: yes", "recovery codes left: 9"]
    {
        has(line, &[]);
    }
    has("totp: ", &[&authenticator.id, "created 20", "never used since", "name: Pho"]);
    has("passkey: ", &["synced", "RP ID auth.example.org, created 2026-01-02T03:04:05Z", "name: Key of ada"]);
    has("security_key: ", &["RP ID example.net (can't be used"]);
    assert!(!told.contains('\x1b') && !told.contains(code.as_str()), "{told}");
    assert_eq!(told.lines().count(), 9, "{told}");
    let told = does(&server, &["user", "factors", "bea"]).await;
    assert!(told.contains("two_step: no\ntotp: no\n") && told.contains("recovery codes left: 0"), "{told}");
    crate::nodes::sql(&server, "update users set password_hash = null").await;
    assert!(does(&server, &["user", "factors", "bea"]).await.contains("password: no"));
}

#[tokio::test]
async fn codes_are_still_right_when_app_secret_has_changed_and_the_doctor_tells_when_they_are_not() {
    let other = "another-secret-with-enough-bytes-0123456789";
    let database = Arc::new(Database::migrated().await);
    // One that is generated, then the operator's own, then another.
    let mut server = TestServer::on(Arc::clone(&database), &[("APP_SECRET", ""), ONE_NAME]).await;
    let (_, authenticator) = two_step_user(&server, "ada").await;
    let url = database.url().to_string();
    let doctor = async |secret: &str, previous: &str| {
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("APP_SECRET", secret),
            ("APP_SECRET_PREVIOUS", previous),
            PUBLIC_URL,
        ];
        let set: Vec<_> = settings.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        doctor_in(&folder(), &set, &[]).await
    };
    doctor(APP_SECRET, "")
        .await
        .assert_has("warning", &["1 of 1 authenticators", "sealed under the previous"]);
    for settings in [
        &[("APP_SECRET", APP_SECRET)][..],
        &[("APP_SECRET", APP_SECRET), ("APP_SECRET_PREVIOUS", other)],
        &[("APP_SECRET", other), ("APP_SECRET_PREVIOUS", APP_SECRET)],
        &[("APP_SECRET", other)],
    ] {
        let settings = [settings, &[ONE_NAME]].concat();
        let clock = server.clock.clone();
        server.stop().await;
        server = TestServer::on(Arc::clone(&database), &settings).await;
        server.clock.set(clock.now());
        sign_in(&server, Pair::JWT_BEARER, &authenticator).await;
    }
    assert!(!doctor(other, "").await.says("problem", "authenticators"));
    let lost = doctor(APP_SECRET, "").await;
    lost.assert_has("problem", &["1 of 1 authenticators", "APP_SECRET_PREVIOUS", "user factors reset"]);
    assert!(!doctor(APP_SECRET, other).await.says("problem", "authenticators"));
}

#[tokio::test]
async fn the_doctor_counts_accounts_that_nobody_can_sign_in_to() {
    let server = TestServer::start().await;
    for name in ["ada", "bea", "cem", "dee", "eva"] {
        server.user(name).await;
    }
    let plant = "update users set two_step = true;
         insert into recovery_codes (user_id, hash, used_at)
         select id, '\\x01', case when username = 'bea' then now() end from users where username in ('ada', 'bea');
         update users set disabled_at = now() where username = 'dee'";
    crate::nodes::sql(&server, plant).await;
    let url = server.database_url().to_string();
    let told = async || {
        let settings = [("DATABASE_URL", url.as_str()), ("APP_SECRET", APP_SECRET), PUBLIC_URL];
        doctor_in(&folder(), &settings, &[]).await
    };
    told().await.assert_has("problem", &["no second factor which can be used", ": 3.", "user factors reset"]);
    let only_cem = passkeys("security_key", "auth.example.org") + " where username = 'cem'";
    crate::nodes::sql(&server, &only_cem).await;
    let elsewhere = passkeys("security_key", "example.net") + " where username = 'eva'";
    crate::nodes::sql(&server, &elsewhere).await;
    told().await.assert_has("problem", &["no second factor which can be used", ": 2."]);
    crate::nodes::sql(&server, "update users set two_step = false").await;
    assert!(!told().await.says("problem", "second factor"));
}

#[tokio::test]
async fn tries_at_second_factors_are_counted_by_the_method_that_they_are() {
    let server = TestServer::with(&[crate::support::server::METRICS]).await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let count = async |purpose: &str, method: &str, outcome: &str| {
        let labels = format!("{{for=\"{purpose}\",method=\"{method}\",outcome=\"{outcome}\"}}");
        server.metric(&format!("dualauth_challenges_total{labels}")).await
    };
    let log_in = async |pending: &serde_json::Value, code: &str| {
        server.send(Request::post("/jwt/login").json(&second_step(pending, code))).await.status
    };
    let pending = first_step(&server, "ada").await;
    for code in ["000000", "not a code", &"z".repeat(24)] {
        assert_eq!(log_in(&pending, code).await, 401);
    }
    let code = authenticator.next_code(&server);
    assert_eq!([log_in(&pending, &code).await, log_in(&pending, &code).await], [200, 401]);
    let pending = first_step(&server, "ada").await;
    assert_eq!(log_in(&pending, &authenticator.recovery_codes[0].to_uppercase()).await, 200);
    let code = authenticator.next_code(&server);
    for (code, status) in [(code.as_str(), 200), ("000000", 401)] {
        let step_up = client.request("POST", "/session/step-up").json(&json!({ "code": code }));
        let answer = server.send(step_up).await;
        assert!(answer.status == status, "{answer}");
    }
    let asked = super::ask(&server, &Client::of_new_user(&server, Pair::JWT_BEARER, "bea").await).await;
    asked.expect(201);
    for (labels, expected) in [
        (["factor", "totp", "created"], 2.0),
        (["factor", "totp", "redeemed"], 1.0),
        (["login", "second_factor", "created"], 2.0),
        (["login", "totp", "redeemed"], 1.0),
        (["login", "recovery_code", "redeemed"], 1.0),
        (["login", "totp", "invalid_code"], 1.0),
        (["login", "recovery_code", "invalid_code"], 1.0),
        (["login", "second_factor", "invalid_code"], 1.0),
        (["step_up", "totp", "redeemed"], 1.0),
        (["login", "email", "redeemed"], 0.0),
    ] {
        let [purpose, method, outcome] = labels;
        assert_eq!(count(purpose, method, outcome).await, expected, "{labels:?}");
    }
}
