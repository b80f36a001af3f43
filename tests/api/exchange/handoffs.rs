//! A login that is handed off: the same one, presented in the other mode as well, each credential on its own.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;

use super::{DIRECTIONS, WAYS, ask_for_code, body, code, hand_off, listed, modes, taking_over};
use crate::contract::members;
use crate::support::{
    DAY, MINUTE, assert_members,
    client::{Client, Mode, Pair},
    http::Request,
    server::{TestServer, beginning},
    text, time, with,
};

/// More than `REFRESH_GRACE`.
const PAST_GRACE: Duration = Duration::from_secs(31);

#[tokio::test]
async fn a_handed_off_login_is_the_same_one_and_answers_as_its_new_mode_does() {
    let server = TestServer::start().await;
    for (number, (from, to)) in WAYS.into_iter().enumerate() {
        let name = format!("user-{number}");
        server.user(&name).await;
        let mut client = Client::new(&server, from);
        let login = client.login(&with(from.credentials(&name), "device_name", "Phone")).await.ok();
        server.clock.advance(MINUTE);
        let asked = ask_for_code(&server, &client).await.not_stored().expect(201).json();
        assert_members(&asked, &["code", "url", "expires_in"]);
        assert_eq!(asked["expires_in"], 60);
        let code = text(&asked["code"]);
        assert!(code.starts_with("dah_") && code.len() == 47, "{code}");

        let mut other = Client::new(&server, to);
        let answer = other.login(&body(code, to)).await.not_stored();

        let names: Vec<String> = answer.set_cookies().into_iter().map(|cookie| cookie.name).collect();
        let expected: &[&str] = if to.by_cookie() { to.mode.cookie_names() } else { &[] };
        assert_eq!(names, expected);
        assert!(answer.set_cookies().iter().all(|cookie| cookie.http_only), "{from:?} to {to:?}");
        let answer = answer.ok();
        assert_members(&answer, members(to));
        assert_eq!(answer["kind"], format!("{}_{}", to.mode.name(), to.transport.name()));
        assert_eq!(answer["user"], login["user"]);
        for member in ["id", "mode", "transport", "remember_me", "created_at", "expires_at"] {
            assert_eq!(answer["login"][member], login["login"][member], "{member}");
        }
        assert_eq!(
            time(&answer["login"]["idle_expires_at"]),
            server.clock.now() + 30 * MINUTE,
            "it is a use"
        );

        let (before, after) = (client.profile().await.ok(), other.profile().await.ok());
        for member in ["login_id", "amr", "acr", "auth_time"] {
            assert_eq!(after["auth"][member], before["auth"][member], "{member}");
        }
        assert_eq!(
            (&after["auth"]["mode"], &after["auth"]["transport"]),
            (&json!(to.mode.name()), &json!(to.transport.name()))
        );
        assert_eq!(listed(&client).await.len(), 1);
        for client in [&client, &other] {
            assert_eq!(modes(client).await, ["jwt", "session"]);
            assert_eq!(listed(client).await[0]["device_name"], "Phone");
            assert_eq!(listed(client).await[0]["mode"], from.mode.name());
        }
        client.assert_goes_on().await;
        other.assert_goes_on().await;
    }
}

#[tokio::test]
async fn each_credential_is_renewed_on_its_own() {
    let server = TestServer::start().await;
    for (number, (from, to)) in WAYS.into_iter().enumerate() {
        let mut one = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        for _ in 0..2 {
            one.refresh().await.ok();
        }
        let mut other = hand_off(&server, &one, to).await;
        // One is renewed again and again, and the other's old credential stays good all along.
        for (busy, quiet) in [(0, 1), (1, 0)] {
            let clients = [&mut one, &mut other];
            for _ in 0..4 {
                server.clock.advance(PAST_GRACE);
                clients[busy].refresh().await.ok();
                clients[busy].profile().await.ok();
                if clients[quiet].pair.mode == Mode::Session {
                    clients[quiet].profile().await.ok();
                }
            }
            let before = clients[quiet].renewal();
            clients[quiet].refresh().await.ok();
            assert_ne!(clients[quiet].renewal(), before);
            clients[quiet].profile().await.ok();
        }
        // Late tabs of both are served.
        for client in [&one, &other] {
            let (mut first, mut late) = (client.clone(), client.clone());
            first.refresh().await.ok();
            late.refresh().await.ok();
            assert_eq!(first.renewal(), late.renewal());
        }
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_used_before_ends_the_login_in_both_modes() {
    let server = TestServer::start().await;
    for (number, (from, to)) in WAYS.into_iter().enumerate() {
        let one = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        let other = hand_off(&server, &one, to).await;
        let (mut app, mut session) = if from.mode == Mode::Jwt { (one, other) } else { (other, one) };
        let mut stolen = app.clone();
        // However often the session is renewed: it is the app's own generations that count.
        for _ in 0..3 {
            session.refresh().await.ok();
        }
        app.refresh().await.ok();
        server.clock.advance(PAST_GRACE);
        stolen.refresh().await.problem(401, "refresh_token_reused");
        session.assert_refused("session_expired").await;
        app.refresh().await.problem(401, "token_revoked");
    }
}

#[tokio::test]
async fn a_session_id_that_was_replaced_long_ago_is_refused_and_ends_nothing() {
    let server = TestServer::start().await;
    for (number, (from, to)) in WAYS.into_iter().enumerate() {
        let one = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        let other = hand_off(&server, &one, to).await;
        let (mut app, mut session) = if from.mode == Mode::Jwt { (one, other) } else { (other, one) };
        let old = session.clone();
        session.refresh().await.ok();
        for _ in 0..2 {
            server.clock.advance(PAST_GRACE);
            app.refresh().await.ok();
        }
        old.assert_refused("session_expired").await;
        session.assert_goes_on().await;
        app.assert_goes_on().await;
    }
}

#[tokio::test]
async fn the_lifetimes_are_the_logins_own() {
    let server = TestServer::start().await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let name = format!("user-{number}");
        server.user(&name).await;
        let mut one = Client::new(&server, from);
        let begun = server.clock.now();
        one.login(&with(from.credentials(&name), "remember_me", true)).await.ok();
        server.clock.advance(10 * DAY);
        // An access token is not a use, and has run out.
        one.refresh().await.ok();
        let code = code(&server, &one).await;
        let mut other = Client::new(&server, to);
        let answer = other.login(&body(&code, to)).await;
        if to.by_cookie() {
            let left = answer.set_cookies()[0].max_age.expect("a cookie that is kept");
            assert_eq!(left, i64::try_from(80 * DAY.as_secs()).expect("a number"));
        }
        let login = answer.ok()["login"].clone();
        assert_eq!(login["remember_me"], true);
        assert_eq!(time(&login["expires_at"]), begun + 90 * DAY);
        assert_eq!(time(&login["idle_expires_at"]), server.clock.now() + 14 * DAY);
        // Either one keeps the login from being idle, for both.
        for client in [&mut one, &mut other] {
            server.clock.advance(13 * DAY);
            client.refresh().await.ok();
        }
        server.clock.advance(13 * DAY);
        one.refresh().await.ok();
        other.refresh().await.ok();
        server.clock.advance(15 * DAY);
        assert_eq!([one.refresh().await.status, other.refresh().await.status], [401, 401]);
    }
}

#[tokio::test]
async fn a_browser_that_takes_a_login_over_has_cookies_that_work_and_its_other_login_ends() {
    let server = TestServer::start().await;
    for (number, (from, to)) in
        [(Pair::JWT_BEARER, Pair::SESSION_COOKIE), (Pair::SESSION_BEARER, Pair::JWT_COOKIE)]
            .into_iter()
            .enumerate()
    {
        let name = format!("user-{number}");
        let app = Client::of_new_user(&server, from, &name).await;
        // Another login of this browser.
        let before = Client::signed_in(&server, to, &name).await;
        let mut browser = before.clone();
        let code = code(&server, &app).await;
        browser.login(&body(&code, to)).await.ok();
        let csrf = text(&browser.get(&browser.path("csrf")).await.ok()["csrf_token"]).to_owned();
        assert_eq!(browser.csrf_token.as_ref(), Some(&csrf));
        server.send(browser.without_csrf("POST", "/account/handoff")).await.problem(403, "csrf_failed");
        before.assert_refused(to.mode.ended()).await;
        app.profile().await.ok();
        if to.mode == Mode::Session {
            let put = browser.request("PUT", "/session/data/a").json(&json!(1));
            server.send(put).await.expect(204);
        }
        browser.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_login_by_cookie_ends_the_one_whose_cookie_came_handed_off_or_not() {
    let server = TestServer::start().await;
    for (number, (from, to)) in
        [(Pair::JWT_BEARER, Pair::SESSION_COOKIE), (Pair::SESSION_BEARER, Pair::JWT_COOKIE)]
            .into_iter()
            .enumerate()
    {
        let name = format!("user-{number}");
        let app = Client::of_new_user(&server, from, &name).await;
        let mut browser = hand_off(&server, &app, to).await;
        browser.refresh().await.ok();
        let before = browser.clone();
        browser.login(&to.credentials(&name)).await.ok();
        before.assert_refused(to.mode.ended()).await;
        app.assert_refused(from.mode.ended()).await;
        browser.assert_goes_on().await;
    }
}

#[tokio::test]
async fn nothing_is_told_counted_or_forgotten_as_if_somebody_had_signed_in() {
    let server = TestServer::start().await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let name = format!("user-{number}");
        let client = Client::of_new_user(&server, from, &name).await;
        server.clock.advance(10 * MINUTE);
        let mut client = client;
        client.refresh().await.ok();
        let known = rows(&server).await;
        let code = code(&server, &client).await;
        server.send(taking_over(&code, to)).await.expect(200);
        assert_eq!(rows(&server).await, known, "logins, guesses, networks, mails");
        let times: Vec<_> = listed(&client).await.iter().map(|login| time(&login["auth_time"])).collect();
        assert_eq!(times, [client_began(&client).await]);
    }
    let mut server = server;
    server.stop().await;
    let mut connection = server.sql().await;
    let query = "select username || ' ' || event || ' ' || mode || ' ' || transport from audit_events
                 where event <> 'registered' order by id";
    let told: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("the trail");
    connection.close().await.expect("a connection that can be closed");
    assert_eq!(
        told,
        [
            "user-0 login_started session cookie",
            "user-0 handoff_created session cookie",
            "user-0 handoff_redeemed jwt bearer",
            "user-1 login_started jwt bearer",
            "user-1 handoff_created jwt bearer",
            "user-1 handoff_redeemed session cookie",
        ]
    );
}

async fn client_began(client: &Client) -> chrono::DateTime<chrono::Utc> {
    time(&listed(client).await[0]["created_at"])
}

/// What a sign-in would change.
async fn rows(server: &TestServer) -> Value {
    let mut connection = server.sql().await;
    let query = "select jsonb_build_object(
        'logins', (select count(*) from logins),
        'guesses', (select coalesce(jsonb_agg(to_jsonb(g) order by g::text), '[]') from guesses g),
        'guessers', (select coalesce(jsonb_agg(to_jsonb(g) order by g::text), '[]') from guessers g),
        'mails', (select count(*) from mails))";
    let rows = sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("rows");
    connection.close().await.expect("a connection that can be closed");
    rows
}

#[tokio::test]
async fn the_url_is_the_pages_own_with_the_code_in_its_fragment() {
    for (setting, url) in [
        ("https://auth.example.org", "https://auth.example.org/handoff#"),
        ("https://example.org/auth", "https://example.org/auth/handoff#"),
    ] {
        let server = TestServer::with(&[("PUBLIC_URL", setting)]).await;
        let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
        let asked = ask_for_code(&server, &client).await.expect(201).json();
        assert_eq!(text(&asked["url"]), format!("{url}{}", text(&asked["code"])));
    }
}

#[tokio::test]
async fn a_login_has_one_credential_of_each_mode() {
    let server = TestServer::start().await;
    for (number, (from, to)) in WAYS.into_iter().enumerate() {
        let client = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        let [one, two] = [code(&server, &client).await, code(&server, &client).await];
        for transport in [from.transport, to.transport] {
            server.send(taking_over(&one, from.mode.by(transport))).await.problem(409, "conflict");
        }
        let mut other = Client::new(&server, to);
        other.login(&body(&one, to)).await.ok();
        for transport in [from.transport, to.transport] {
            server.send(taking_over(&two, to.mode.by(transport))).await.problem(409, "conflict");
            server.send(taking_over(&two, from.mode.by(transport))).await.problem(409, "conflict");
        }
        // Handed back, it is no other.
        let back = code(&server, &other).await;
        server.send(taking_over(&back, from)).await.problem(409, "conflict");
        client.assert_goes_on().await;
        other.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_body_with_a_code_says_nothing_else_but_the_transport() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let code = code(&server, &client).await;
    for (member, value) in [
        ("username", json!("ada")),
        ("password", json!("x")),
        ("challenge", json!("dac_")),
        ("code", json!("1")),
        ("passkey", json!({})),
        ("id_token", json!("ey")),
        ("remember_me", json!(false)),
        ("device_name", json!("Phone")),
    ] {
        let body = with(body(&code, Pair::JWT_BEARER), member, value);
        let answer =
            server.send(Request::post("/jwt/login").json(&body)).await.problem(422, "validation_failed");
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/{member}"));
    }
    server
        .send(Request::post("/jwt/login").json(&json!({ "handoff": 7 })))
        .await
        .problem(422, "validation_failed");
    // By default as the mode does, and null counts as absent.
    let plain = json!({ "handoff": code, "username": null, "device_name": null });
    let answer = server.send(Request::post("/jwt/login").json(&plain)).await.ok();
    assert_eq!(answer["kind"], "jwt_bearer");
    assert_eq!(time(&answer["login"]["created_at"]), beginning());
}
