//! Signing in by passkeys and security keys.

use futures_util::future::join_all;
use serde_json::json;

use super::{
    Passkey, SITE, ask_to_sign_in, enrol, enrol_this, halves, id_of, server, sign_in, sign_in_at, user_with,
};
use crate::factors::{enrol_besides, first_step};
use crate::nodes::sql;
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::Request,
    server::{METRICS, TestServer, credentials},
    with,
};

#[tokio::test]
async fn a_passkey_signs_in_without_a_name_at_aal2_in_every_way_on_either_node() {
    let server = server().await;
    let another = server.another_node().await;
    for (name, has_two_step, passkey, key) in
        [("ada", false, Passkey::new("passkey"), "hwk"), ("bea", true, Passkey::synced(), "swk")]
    {
        let (client, mut passkey) = user_with(&server, name, passkey).await;
        if has_two_step {
            enrol_besides(&server, &client).await;
        }
        for pair in Pair::ALL {
            let challenge = ask_to_sign_in(&server).await;
            assert_eq!((&challenge["for"], &challenge["method"]), (&json!("login"), &json!("passkey")));
            let options = &challenge["passkey"];
            assert_eq!(
                (&options["allowCredentials"], &options["userVerification"]),
                (&json!([]), &json!("required"))
            );
            let body = passkey.halves(&challenge);
            let body = with(with(body, "transport", pair.transport.name()), "remember_me", true);
            let mut client = Client::new(&another, pair);
            let answer = client.login(&body).await.expect(200).not_stored();
            assert_eq!(answer.set_cookies().is_empty(), !pair.by_cookie());
            assert_eq!(answer.json()["login"]["remember_me"], true);
            let profile = client.profile().await.ok();
            assert_eq!(profile["username"], name);
            let auth = &profile["auth"];
            assert_eq!(
                (&auth["amr"], &auth["acr"]),
                (&json!([key, "user", "mfa"]), &json!("aal2")),
                "{pair:?}"
            );
            server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
            client.assert_goes_on().await;
        }
        let listed = client.get("/account/factors").await.ok()["passkeys"][0].clone();
        assert_ne!(listed["last_used_at"], json!(null));
    }
    let query = "select string_agg(backed_up::text, ' ' order by backed_up) from passkeys where last_used_at >= created_at";
    let found = sqlx::query_scalar::<_, String>(query).fetch_one(&mut server.sql().await).await;
    assert_eq!(found.expect("a row"), "false true");
}

#[tokio::test]
async fn a_second_step_takes_a_passkey_or_a_security_key_in_either_mode_on_either_node() {
    let server = server().await;
    let another = server.another_node().await;
    let (client, key) = user_with(&server, "ada", Passkey::new("security_key").without_pin()).await;
    let passkey = enrol(&server, &client, "passkey").await;
    let asked = with(with(credentials("ada"), "remember_me", true), "device_name", "Telephone");
    for (mut used, amr) in
        [(key, json!(["pwd", "hwk", "mfa"])), (passkey, json!(["pwd", "hwk", "user", "mfa"]))]
    {
        for first in Pair::ALL {
            for second in [Pair::SESSION_COOKIE, Pair::JWT_BEARER] {
                let body = with(asked.clone(), "transport", second.transport.name());
                let answer = server.send(Request::post(&first.mode.path("login")).json(&body)).await;
                assert!(answer.set_cookies().is_empty());
                let pending = answer.problem(401, "second_factor_required").not_stored().json();
                assert_eq!(pending["methods"], json!(["recovery_code", "passkey"]));
                let allowed = pending["passkey"]["allowCredentials"].as_array().expect("a list");
                assert_eq!(
                    (allowed.len(), &pending["passkey"]["userVerification"]),
                    (2, &json!("preferred"))
                );
                let mut client = Client::new(&another, second);
                let body = used.halves(&pending);
                let answer = client.login(&body).await.expect(200);
                assert_eq!(
                    answer.set_cookies().is_empty(),
                    !second.by_cookie(),
                    "as it was asked for at first"
                );
                assert_eq!(answer.json()["login"]["remember_me"], true);
                let auth = client.profile().await.ok()["auth"].clone();
                assert_eq!((&auth["amr"], &auth["acr"]), (&amr, &json!("aal2")), "{first:?} {second:?}");
                server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
                client.logout().await.expect(204);
            }
        }
    }
}

#[tokio::test]
async fn of_twenty_uses_at_once_on_two_nodes_one_signs_in() {
    let server = server().await;
    let another = server.another_node().await;
    // One that does not count: the challenge alone stands in the way. One that does: its number, at twenty challenges.
    for (name, is_counting) in [("ada", false), ("bea", true)] {
        let passkey = if is_counting { Passkey::new("passkey").counting(7) } else { Passkey::new("passkey") };
        let (_, mut passkey) = user_with(&server, name, passkey).await;
        let one = ask_to_sign_in(&server).await;
        let mut bodies = Vec::new();
        for _ in 0..20 {
            let challenge = if is_counting { ask_to_sign_in(&server).await } else { one.clone() };
            passkey.count = if is_counting { 8 } else { 0 };
            bodies.push(halves(&challenge, &passkey.answer_with(&challenge["passkey"], |_| ())));
        }
        let requests = bodies.iter().enumerate().map(|(number, body)| {
            let path = if number % 3 == 0 { "/jwt/login" } else { "/session/login" };
            let node = if number % 2 == 0 { &server } else { &another };
            node.send(Request::post(path).json(body))
        });
        let statuses: Vec<u16> = join_all(requests).await.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{name}: {statuses:?}");
    }
}

#[tokio::test]
async fn a_counter_goes_up_unless_the_authenticator_has_none_or_the_passkey_is_synced() {
    let server = TestServer::with(&[SITE, ("LOGIN_LIMIT", "1000/1m")]).await;
    // What was counted at registration, whether it is synced, and each use.
    type Uses = &'static [(u32, bool)];
    let cases: [(u32, bool, Uses); 7] = [
        (0, false, &[(0, true), (0, true)]),
        (0, false, &[(1, true), (1, false), (0, false), (2, true)]),
        (5, false, &[(5, false), (4, false), (0, false), (6, true)]),
        (5, false, &[(u32::MAX, true), (u32::MAX, false), (1, false)]),
        (0, true, &[(0, true), (0, true)]),
        (5, true, &[(0, true), (3, true), (3, true), (9, true)]),
        (u32::MAX, false, &[(0, false), (1, false)]),
    ];
    let mut refused = 0;
    for (number, (before, is_synced, uses)) in cases.into_iter().enumerate() {
        let passkey = if is_synced { Passkey::synced() } else { Passkey::new("passkey") };
        let (_, passkey) = user_with(&server, &format!("user-{number}"), passkey.counting(before)).await;
        for (count, is_taken) in uses {
            let challenge = ask_to_sign_in(&server).await;
            let answer = passkey.answer_with(&challenge["passkey"], |draft| draft.sign_count = *count);
            let answer = sign_in_at(&server, &halves(&challenge, &answer)).await;
            assert_eq!(
                answer.status == 200,
                *is_taken,
                "{before}, {is_synced}: {uses:?} at {count}: {answer}"
            );
            if !is_taken {
                answer.problem(401, "invalid_code");
                refused += 1;
            }
        }
    }
    let query =
        "select count(*) from audit_events where event = 'passkey_counter_behind' and username like 'user-%'";
    let mut connection = server.sql().await;
    crate::support::eventually("the events", async || {
        let count = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut server.sql().await).await;
        count.expect("a number") == refused
    })
    .await;
    let query = "select max(sign_count) from passkeys where backup_eligible";
    let highest = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut connection).await.expect("a number");
    assert_eq!(highest, 9, "the higher one is kept");
}

#[tokio::test]
async fn no_passkey_or_security_key_gets_below_aal2_into_an_account_with_two_steps() {
    let server = server().await;
    let (client, mut key) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let passkey = enrol(&server, &client, "passkey").await;
    // A security key, with whatever it says of its user, is no way to sign in without a name.
    for handle in [None, Some(id_of(&key.user).as_bytes().to_vec())] {
        let challenge = ask_to_sign_in(&server).await;
        let answer = key.answer_with(&challenge["passkey"], |draft| draft.user_handle = handle);
        sign_in_at(&server, &halves(&challenge, &answer)).await.problem(401, "invalid_code");
    }
    // A passkey that has not verified its user is none: after a first factor it is worth what a security key is.
    let mut passkey = passkey.without_pin();
    let challenge = ask_to_sign_in(&server).await;
    sign_in_at(&server, &passkey.halves(&challenge)).await.problem(401, "invalid_code");
    let pending = first_step(&server, "ada").await;
    sign_in_at(&server, &passkey.halves(&pending)).await.expect(200);
    let query = "select count(*) from logins where aal < 2";
    let below = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut server.sql().await).await;
    assert_eq!(below.expect("a number"), 0);
    // After its first factor, a security key that verifies nobody will do.
    let pending = first_step(&server, "ada").await;
    key.flags = 0;
    sign_in_at(&server, &key.halves(&pending)).await.expect(200);
}

#[tokio::test]
async fn a_passkey_that_verified_nobody_is_a_second_factor_beside_a_security_key_and_else_refused() {
    let server = server().await;
    for (name, passkey, key) in [("ada", Passkey::new("passkey"), "hwk"), ("bea", Passkey::synced(), "swk")] {
        let (client, security_key) = user_with(&server, name, Passkey::new("security_key")).await;
        let mut passkey = enrol_this(&server, &client, passkey).await.without_pin();
        let pending = first_step(&server, name).await;
        assert_eq!(pending["passkey"]["userVerification"], "preferred");
        let mut signed_in = Client::new(&server, Pair::SESSION_BEARER);
        signed_in.login(&passkey.halves(&pending)).await.expect(200);
        let auth = signed_in.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["pwd", key, "mfa"]), &json!("aal2")));
        // Nor does it stand for the password that a login of it alone would lack.
        let alone = ask_to_sign_in(&server).await;
        sign_in_at(&server, &passkey.halves(&alone)).await.problem(401, "invalid_code");

        // Without the security key the options require it, whatever else is a second factor.
        server.clock.advance(MINUTE);
        enrol_besides(&server, &client).await;
        let path = format!("/account/factors/{}", security_key.id);
        server.send(client.request("DELETE", &path)).await.expect(204);
        let pending = first_step(&server, name).await;
        assert_eq!(pending["passkey"]["userVerification"], "required");
        sign_in_at(&server, &passkey.halves(&pending)).await.problem(401, "invalid_code");
        let step_up = super::ask(&server, &client, "step_up", "passkey").await.expect(201).json();
        assert_eq!(step_up["passkey"]["userVerification"], "required");
        let request = client.request("POST", "/session/step-up").json(&passkey.halves(&step_up));
        server.send(request).await.problem(401, "invalid_code");
    }
}

#[tokio::test]
async fn a_passkey_of_another_relying_party_id_is_of_no_use_and_can_be_removed() {
    let server = server().await;
    let (client, mut passkey) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let moved = server.another_node_with(&[("PUBLIC_URL", "https://auth.example.net")]).await;
    let pending = first_step(&moved, "ada").await;
    assert_eq!((&pending["methods"], &pending["passkey"]), (&json!(["recovery_code"]), &json!(null)));
    let elsewhere = first_step(&server, "ada").await;
    let body = passkey.halves(&elsewhere);
    sign_in_at(&moved, &body).await.problem(401, "invalid_code");
    let listed = client.at(&moved).get("/account/factors").await.ok();
    assert_eq!((&listed["passkeys"][0]["id"], &listed["two_step"]), (&json!(passkey.id), &json!(true)));
    super::ask(&moved, &client.at(&moved), "step_up", "passkey").await.points_at(&["/method"]);
    let path = format!("/account/factors/{}", passkey.id);
    moved.send(client.at(&moved).request("DELETE", &path)).await.expect(204);
    assert_eq!(client.get("/account/factors").await.ok()["two_step"], false);
}

#[tokio::test]
async fn an_offer_that_stood_too_long_has_expired_and_is_made_anew() {
    let server = server().await;
    let (_, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let challenge = ask_to_sign_in(&server).await;
    server.clock.advance(11 * MINUTE);
    sign_in_at(&server, &passkey.halves(&challenge)).await.problem(401, "challenge_expired");
    sign_in(&server, &mut passkey).await.expect(200);
}

#[tokio::test]
async fn what_strangers_fail_at_the_password_keeps_no_passkey_out() {
    let server = TestServer::with(&[SITE, ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (_, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let login = |address: &str| Request::post("/jwt/login").header("X-Forwarded-For", address);
    let wrong = with(credentials("ada"), "password", "no lantern, no weir, no river");
    let mut statuses = Vec::new();
    while statuses.len() < 250 && statuses.last() != Some(&429) {
        let network = statuses.len();
        statuses.push(server.send(login(&format!("198.51.{network}.1")).json(&wrong)).await.status);
    }
    assert_eq!(statuses.last(), Some(&429), "the account is closed");
    let elsewhere = "203.0.113.5";
    server.send(login(elsewhere).json(&credentials("ada"))).await.problem(429, "rate_limited");
    let body = passkey.halves(&ask_to_sign_in(&server).await);
    server.send(login(elsewhere).json(&body)).await.expect(200);
}

#[tokio::test]
async fn refused_answers_are_limited_by_network() {
    let server = TestServer::with(&[SITE, ("LOGIN_LIMIT", "3/1m")]).await;
    let (_, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    for _ in 0..3 {
        let challenge = ask_to_sign_in(&server).await;
        let unknown = Passkey::new("passkey").answer(&challenge["passkey"]);
        sign_in_at(&server, &halves(&challenge, &unknown)).await.problem(401, "invalid_code");
    }
    sign_in(&server, &mut passkey).await.problem(429, "rate_limited");
    server.clock.advance(MINUTE);
    sign_in(&server, &mut passkey).await.expect(200);
}

#[tokio::test]
async fn the_browser_waits_as_long_as_the_challenge_lives() {
    let server = TestServer::with(&[SITE, ("CHALLENGE_TTL", "7m")]).await;
    let (client, _) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let new = super::ask(&server, &client, "factor", "passkey").await.expect(201).json();
    let own = super::ask(&server, &client, "step_up", "passkey").await.expect(201).json();
    for challenge in [ask_to_sign_in(&server).await, new, own, first_step(&server, "ada").await] {
        assert_eq!(challenge["passkey"]["timeout"], 7 * 60 * 1_000);
    }
}

#[tokio::test]
async fn each_outcome_is_counted_by_what_was_used() {
    let server = TestServer::with(&[SITE, METRICS]).await;
    let (client, mut key) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let mut passkey = enrol_this(&server, &client, Passkey::new("passkey")).await;
    sign_in(&server, &mut passkey).await.expect(200);
    let pending = first_step(&server, "ada").await;
    let unknown = Passkey::new("passkey").answer(&pending["passkey"]);
    sign_in_at(&server, &halves(&pending, &unknown)).await.problem(401, "invalid_code");
    sign_in_at(&server, &key.halves(&pending)).await.expect(200);
    let again = super::ask(&server, &client, "factor", "passkey").await.expect(201).json();
    let answer = passkey.register(&again["passkey"]);
    super::send_new(&server, &client, &again, &answer).await.problem(409, "conflict");
    for (purpose, method, outcome) in [
        ("factor", "passkey", "conflict"),
        ("factor", "security_key", "created"),
        ("factor", "security_key", "redeemed"),
        ("factor", "passkey", "redeemed"),
        ("login", "passkey", "created"),
        ("login", "passkey", "redeemed"),
        ("login", "passkey", "invalid_code"),
        ("login", "security_key", "redeemed"),
    ] {
        let name =
            format!(r#"dualauth_challenges_total{{for="{purpose}",method="{method}",outcome="{outcome}"}}"#);
        let count = server.metric(&name).await;
        assert!((count - 1.0).abs() < 0.1, "{name}: {count}");
    }
    sql(&server, "delete from users").await;
}
