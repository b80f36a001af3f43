//! Forgotten passwords.

use futures_util::future::join_all;
use serde_json::json;

use super::{
    Halves, NEW_PASSWORD, ask, asking, count, credentials_with, email_of, halves, mail_of, reset,
    reset_request, server, server_with, with_its_code,
};
use crate::support::{
    MINUTE, PASSWORD, assert_members,
    client::{Client, Mode, Pair},
    eventually,
    http::Request,
    mail_server::ReceivedMail,
    server::{TestServer, credentials},
    text, time,
};

#[tokio::test]
async fn a_reset_sets_the_password_ends_every_login_on_each_node_and_signs_nobody_in() {
    let (server, mails) = server().await;
    server.user("ada").await;
    server.user("bea").await;
    let another = server.another_node().await;
    let clients = Client::in_every_way(&server, "ada").await;
    let bystander = Client::signed_in(&server, Pair::JWT_BEARER, "bea").await;
    for client in &clients {
        client.at(&another).profile().await.expect(200);
    }
    let answer = ask(&server, "reset_password", "ADA@example.org").await;
    assert_members(&answer, &["challenge", "id", "for", "method", "expires_at"]);
    assert_eq!((text(&answer["for"]), text(&answer["method"])), ("reset_password", "email"));
    assert!(text(&answer["challenge"]).starts_with("dac_"));
    assert_eq!(time(&answer["expires_at"]), server.clock.now() + 10 * MINUTE);
    let halves = with_its_code(&mails, &answer).await;

    let response = reset(&server, &halves).await.expect(204).not_stored();
    assert!(response.set_cookies().is_empty() && response.text().is_empty());
    for client in &clients {
        client.assert_refused(client.pair.mode.ended()).await;
        crate::support::eventually("the end on the other node", async || {
            client.at(&another).profile().await.status == 401
        })
        .await;
    }
    bystander.profile().await.expect(200);
    for mode in Mode::ALL {
        let login = |password| Request::post(&mode.path("login")).json(&credentials_with("ada", password));
        server.send(login(PASSWORD)).await.problem(401, "invalid_credentials");
        server.send(login(NEW_PASSWORD)).await.expect(200);
    }
    reset(&server, &halves).await.problem(401, "challenge_expired");
    let user =
        server.send(Request::post("/jwt/login").json(&credentials_with("ada", NEW_PASSWORD))).await.ok();
    assert_eq!(user["user"]["email_verified"], json!(true), "who reads the mail has the address");
}

#[tokio::test]
async fn of_fifty_right_codes_at_once_on_two_nodes_one_sets_the_password() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let another = server.another_node().await;
    let halves = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let requests = (0..50).map(|number| {
        let password = format!("{NEW_PASSWORD} {number}");
        let node = if number % 2 == 0 { &server } else { &another };
        let halves = &halves;
        async move { (node.send(reset_request(halves, &password)).await, password) }
    });
    let answers = join_all(requests).await;
    let done: Vec<_> = answers.iter().filter(|(answer, _)| answer.status == 204).collect();
    assert_eq!(done.len(), 1);
    for (answer, _) in answers.iter().filter(|(answer, _)| answer.status != 204) {
        answer.clone().problem(401, "challenge_expired");
    }
    let login = Request::post("/jwt/login").json(&credentials_with("ada", &done[0].1));
    server.send(login).await.expect(200);
}

#[tokio::test]
async fn of_fifty_wrong_codes_at_once_on_two_nodes_five_are_counted_and_the_right_one_comes_too_late() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let another = server.another_node().await;
    let halves = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let wrong = halves.with_a_wrong_code();
    let requests = (0..50).map(|number| {
        let node = if number % 2 == 0 { &server } else { &another };
        let wrong = &wrong;
        async move { reset(node, wrong).await }
    });
    let answers = join_all(requests).await;
    let of = |code: &str| answers.iter().filter(|answer| answer.json()["code"] == code).count();
    assert_eq!((of("invalid_code"), of("challenge_expired")), (5, 45));
    assert_eq!(count(&server, "select tries::bigint from challenges").await, 5);
    reset(&server, &halves).await.problem(401, "challenge_expired");
    server.send(Request::post("/jwt/login").json(&credentials("ada"))).await.expect(200);
}

#[tokio::test]
async fn a_code_is_dead_after_ten_minutes_a_change_of_the_password_and_a_disabling() {
    let (server, mails) = server().await;
    for name in ["ada", "bea", "cai"] {
        server.user(name).await;
    }
    let late = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    server.clock.advance(10 * MINUTE);
    reset(&server, &late).await.problem(401, "challenge_expired");

    let mut changing = Client::signed_in(&server, Pair::SESSION_COOKIE, "bea").await;
    let before = halves(&server, &mails, "reset_password", &email_of("bea")).await;
    let body = json!({ "current_password": PASSWORD, "new_password": "a third lantern, under the weir" });
    let change = changing.request("POST", "/account/password").json(&body);
    changing.send(change).await.expect(204);
    reset(&server, &before).await.problem(401, "challenge_expired");

    let [first, second] = [
        halves(&server, &mails, "reset_password", &email_of("ada")).await,
        halves(&server, &mails, "reset_password", &email_of("ada")).await,
    ];
    reset(&server, &second).await.expect(204);
    reset(&server, &first).await.problem(401, "challenge_expired");

    let disabled = halves(&server, &mails, "reset_password", &email_of("cai")).await;
    for at in ["now()", "null"] {
        crate::nodes::sql(&server, &format!("update users set disabled_at = {at} where username = 'cai'"))
            .await;
    }
    reset(&server, &disabled).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_new_password_that_is_refused_uses_no_code_up() {
    let (server, mails) = server().await;
    server.user("ada").await;
    let halves = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    for _ in 0..10 {
        server.send(reset_request(&halves, "short")).await.points_at(&["/new_password"]);
        server.send(reset_request(&halves.with_a_wrong_code(), "short")).await.points_at(&["/new_password"]);
    }
    reset(&server, &halves).await.expect(204);
}

#[tokio::test]
async fn half_a_challenge_or_that_of_somebody_else_is_worth_nothing() {
    let (server, mails) = server().await;
    for name in ["ada", "bea"] {
        server.user(name).await;
    }
    let ada = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    let bea = halves(&server, &mails, "reset_password", &email_of("bea")).await;
    let mixed = Halves { challenge: bea.challenge.clone(), code: ada.code.clone() };
    reset(&server, &mixed).await.problem(401, "invalid_code");
    let id = mails.received().iter().map(|mail| mail.code().0).next().expect("a mail");
    for no_token in ["dac_", &id, &ada.code, "dac_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let guess = Halves { challenge: no_token.to_owned(), code: ada.code.clone() };
        reset(&server, &guess).await.problem(401, "challenge_expired");
    }
    for missing in ["challenge", "code", "new_password"] {
        let body = json!({ "challenge": ada.challenge, "code": ada.code, "new_password": NEW_PASSWORD });
        let request = Request::post("/account/password/reset").json(&crate::support::without(body, missing));
        server.send(request).await.points_at(&[&format!("/{missing}")]);
    }
    // As it is shown, and by a client that says who it is.
    let shown = Halves { code: format!("{} {}", &ada.code[..4], &ada.code[4..]), ..ada };
    let stray =
        reset_request(&shown, NEW_PASSWORD).bearer("no such token").header("Cookie", "session=nonsense");
    server.send(stray).await.expect(204);
}

#[tokio::test]
async fn whatever_opens_the_link_changes_nothing_and_the_link_is_of_no_header() {
    let (server, mails) = server().await;
    server.user("ada").await;
    server.clock.advance(MINUTE);
    let forged = Request::post("/challenges")
        .json(&asking("reset_password", &email_of("ada")))
        .header("X-Forwarded-Host", "evil.example")
        .header("Forwarded", "host=evil.example;proto=https");
    let challenge = server.send(forged).await.expect(201).json();
    let mail = mail_of(&mails, text(&challenge["id"])).await;
    let halves = with_its_code(&mails, &challenge).await;
    for part in [mail.text(), mail.html()] {
        assert!(!part.contains("evil.example"), "{part}");
        assert!(part.contains("http://auth.example.org/mail#"), "{part}");
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        for path in [
            "/mail",
            "/challenges",
            "/account/password/reset",
            "/account/email",
            "/jwt/login",
            "/session/login",
        ] {
            // As often as scanners do.
            for _ in 0..if path == "/mail" { 20 } else { 2 } {
                let path = format!("{path}?challenge={}&code={}", halves.challenge, halves.code);
                let response = server.send(Request::new(method, &path)).await;
                assert!(response.set_cookies().is_empty(), "{method} {path}");
            }
        }
    }
    reset(&server, &halves).await.expect(204);
}

#[tokio::test]
async fn an_account_without_a_password_gets_none_by_mail_but_is_told_how_it_signs_in() {
    let (server, mails) = server().await;
    server.user("ada").await;
    crate::nodes::sql(&server, "update users set password_hash = null").await;
    let challenge = ask(&server, "reset_password", &email_of("ada")).await;
    let mail = mails.receives_one().await;
    assert!(
        !mail.text().contains("/mail#") && !mail.text().contains(text(&challenge["id"])),
        "{}",
        mail.text()
    );
    let guess = Halves { challenge: text(&challenge["challenge"]).to_owned(), code: "12345678".to_owned() };
    reset(&server, &guess).await.problem(401, "invalid_code");
}

#[tokio::test]
async fn the_mail_to_an_account_without_a_password_names_each_way_that_it_signs_in_by() {
    let site = ("PUBLIC_URL", "https://auth.example.org");
    for (email_sign_in, [with_passkey, without]) in
        [("on", [&["code", "passkey"][..], &["code"]]), ("off", [&["passkey"], &[]])]
    {
        let (server, mails) = server_with(&[site, ("EMAIL_SIGN_IN", email_sign_in)]).await;
        let words = [
            ("en", [("code", "- a code by mail"), ("passkey", "- a passkey")]),
            ("de", [("code", "- mit einem Code per E-Mail"), ("passkey", "- mit einem Passkey")]),
        ];
        for (language, words) in words {
            // One that signs in here, none, one from before the service moved, and a second factor.
            for (number, (key, expected)) in [
                (Some(("passkey", "auth.example.org")), with_passkey),
                (None, without),
                (Some(("passkey", "auth.example.net")), without),
                (Some(("security_key", "auth.example.org")), without),
            ]
            .into_iter()
            .enumerate()
            {
                let name = format!("{language}-{number}");
                server.user(&name).await;
                let update = format!(
                    "update users set password_hash = null, language = '{language}'
                    where username = '{name}'"
                );
                crate::nodes::sql(&server, &update).await;
                if let Some((kind, rp_id)) = key {
                    crate::factors::last_factor::add_key(&server, &name, kind, rp_id).await;
                }
                ask(&server, "reset_password", &email_of(&name)).await;
                let to_them = || {
                    let is_theirs =
                        |mail: &ReceivedMail| mail.header("To").is_some_and(|to| to.contains(&name));
                    mails.received().into_iter().find(is_theirs)
                };
                eventually("the mail", async || to_them().is_some()).await;
                let mail = to_them().expect("it came");
                for (what, line) in words {
                    let is_expected = expected.contains(&what);
                    assert_eq!(mail.text().contains(line), is_expected, "{name}: {}", mail.text());
                    assert_eq!(mail.html().contains(&format!("<li>{}</li>", &line[2..])), is_expected);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_account_that_was_closed_by_guessing_is_opened_by_a_reset_and_its_owner_is_told() {
    let (server, mails) = server_with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    server.user("ada").await;
    let wrong = credentials_with("ada", "no lantern, no weir, no river");
    for network in 1..=5 {
        for _ in 0..20 {
            let login = Request::post("/jwt/login").header("X-Forwarded-For", format!("192.0.2.{network}"));
            server.send(login.json(&wrong)).await.problem(401, "invalid_credentials");
        }
    }
    let login = |password| Request::post("/jwt/login").json(&credentials_with("ada", password));
    server.send(login(PASSWORD)).await.problem(429, "rate_limited");
    let challenge =
        server.send(Request::post("/challenges").json(&asking("reset_password", &email_of("ada")))).await;
    let halves = with_its_code(&mails, &challenge.expect(201).json()).await;
    reset(&server, &halves).await.expect(204);
    server.send(login(NEW_PASSWORD)).await.expect(200);
    let told = mails.receives(2).await;
    assert!(!told[1].text().contains("/mail#"), "{}", told[1].text());
}

#[tokio::test]
async fn without_a_mail_server_the_routes_that_need_one_say_so() {
    let server = TestServer::with(&[("EMAIL_SIGN_IN", "on")]).await;
    server.user("ada").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let own = client.request("POST", "/challenges").json(&asking("email", &email_of("ada")));
    let ask = |purpose| Request::post("/challenges").json(&asking(purpose, "ada@example.org"));
    for request in [ask("reset_password"), ask("login"), own] {
        let problem = server.send(request).await.problem(503, "unavailable").json();
        assert!(text(&problem["detail"]).contains("SMTP_URL"), "{problem}");
    }
    assert_eq!(count(&server, "select count(*) from challenges").await, 0);
}
