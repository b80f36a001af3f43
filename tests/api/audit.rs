//! The audit trail: every security event is in it, with who, what, from where and in which mode, whatever happens to
//! Postgres or the node meanwhile; and what nobody should read is not.

mod changes;
mod commands;
mod outages;
mod tail;

use serde_json::{Value, json};
use sqlx::Connection;

use crate::nodes::{sql, two_nodes};
use crate::oauth::Service;
use crate::support::{
    DAY, PASSWORD, SECOND,
    client::{Client, Mode, Pair},
    eventually,
    http::Request,
    server::{TestServer, registration},
    text, with,
};

const OTHER_PASSWORD: &str = "another lantern over the weir";
const WRONG: &str = "no lantern, no weir, nothing";
const ADDRESS: &str = "203.0.113.9";
const AGENT: &str = "lantern/1.0";

/// A node behind a proxy that tells where clients are.
const PROXIED: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

/// The whole trail, in the order in which it happened.
async fn trail(server: &TestServer) -> Vec<Value> {
    let mut connection = server.sql().await;
    let query = "select to_jsonb(e) - 'xid' from audit_events e order by id";
    let events = sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("the trail");
    connection.close().await.expect("a connection that can be closed");
    events
}

/// The trail, as soon as it has so many events.
async fn trail_of(server: &TestServer, count: usize) -> Vec<Value> {
    eventually("the events", async || trail(server).await.len() >= count).await;
    let events = trail(server).await;
    assert_eq!(events.len(), count, "{events:#?}");
    events
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| text(&event["event"])).collect()
}

/// As it comes from somewhere far away.
fn from_afar(request: Request) -> Request {
    request.header("X-Forwarded-For", ADDRESS).header("User-Agent", AGENT)
}

async fn send(client: &mut Client, method: &str, path: &str, body: Option<Value>) -> u16 {
    let request = from_afar(client.request(method, path));
    let request = match &body {
        Some(body) => request.json(body),
        None => request,
    };
    client.send(request).await.status
}

#[track_caller]
fn assert_where(event: &Value, pair: Pair) {
    assert_eq!(event["source"], "request", "{event}");
    assert_eq!(event["address"], ADDRESS, "{event}");
    assert_eq!(event["user_agent"], AGENT, "{event}");
    assert_eq!(event["mode"], pair.mode.name(), "{event}");
    assert!(text(&event["at"]).starts_with("2031-"), "{event}");
}

#[tokio::test]
async fn each_event_says_who_from_where_and_in_which_mode() {
    for pair in Pair::ALL {
        let server = TestServer::with(&[PROXIED]).await;
        let mut client = Client::new(&server, pair);
        let login = pair.mode.path("login");
        let change = |old: &str, new: &str| Some(json!({ "current_password": old, "new_password": new }));

        let register = from_afar(Request::post(&pair.mode.path("register")).json(&registration("Ada")));
        let user = server.send(register).await.expect(201).json();
        let wrong = with(pair.credentials("ada@example.org"), "password", WRONG);
        assert_eq!(send(&mut client, "POST", &login, Some(wrong)).await, 401);
        assert_eq!(send(&mut client, "POST", &login, Some(pair.credentials("ADA"))).await, 200);
        let first = client.login_id().await;
        let wrong = change(WRONG, OTHER_PASSWORD);
        assert_eq!(send(&mut client, "POST", "/account/password", wrong).await, 403);
        let right = change(PASSWORD, OTHER_PASSWORD);
        assert_eq!(send(&mut client, "POST", "/account/password", right).await, 204);
        let step_up = pair.mode.path("step-up");
        assert_eq!(send(&mut client, "POST", &step_up, Some(json!({ "password": WRONG }))).await, 403);
        server.clock.advance(60 * SECOND);
        let right = Some(json!({ "password": OTHER_PASSWORD }));
        assert_eq!(send(&mut client, "POST", &step_up, right).await, 200);
        assert_eq!(send(&mut client, "POST", &pair.mode.path("logout"), None).await, 204);
        let mut again = Client::new(&server, pair);
        let body = with(pair.credentials("ada"), "password", OTHER_PASSWORD);
        assert_eq!(send(&mut again, "POST", &login, Some(body)).await, 200);
        let second = again.login_id().await;
        assert_eq!(send(&mut again, "POST", &pair.mode.path("logout-all"), None).await, 204);

        let events = trail_of(&server, 10).await;
        let expected = [
            ("registered", None),
            ("login_failed", None),
            ("login_started", Some(&first)),
            ("password_change_failed", Some(&first)),
            ("password_changed", Some(&first)),
            ("step_up_failed", Some(&first)),
            ("stepped_up", Some(&first)),
            ("logout", Some(&first)),
            ("login_started", Some(&second)),
            ("logout_all", Some(&second)),
        ];
        assert_eq!(names(&events), expected.map(|(name, _)| name));
        for (event, (name, login)) in events.iter().zip(expected) {
            assert_where(event, pair);
            assert_eq!(event["user_id"], user["user_id"], "{pair:?}: {event}");
            assert_eq!(event["username"], "Ada", "{pair:?}: {event}");
            assert_eq!(event["login_id"], json!(login), "{pair:?}: {event}");
            let transport = (name != "registered").then_some(pair.transport.name());
            assert_eq!(event["transport"], json!(transport), "{pair:?}: {event}");
        }
        assert_eq!(events[1]["detail"], json!({ "reason": "wrong_password" }));
        assert_eq!(events[9]["detail"], json!({ "logins": 1 }));
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_used_again_is_told_once() {
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let server = TestServer::with(&[PROXIED]).await;
        let mut client = Client::of_new_user(&server, pair, "ada").await;
        let login = client.login_id().await;
        let stolen = client.clone();
        client.refresh().await.ok();
        server.clock.advance(31 * SECOND);
        for code in ["refresh_token_reused", "token_revoked"] {
            let mut thief = stolen.clone();
            let request = from_afar(thief.refresh_request());
            thief.send(request).await.problem(401, code);
        }

        let events = trail_of(&server, 3).await;
        assert_eq!(names(&events)[2], "refresh_token_reused");
        assert_where(&events[2], pair);
        assert_eq!(events[2]["login_id"], login.as_str());
        assert_eq!(events[2]["username"], "ada");
        assert_eq!(events[2]["transport"], pair.transport.name());
    }
}

#[tokio::test]
async fn who_signs_out_by_refresh_token_is_told_as_well() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let login = client.login_id().await;
    let body = json!({ "refresh_token": client.refresh_token });
    server.send(Request::post("/jwt/logout").json(&body)).await.expect(204);
    server.send(Request::post("/jwt/logout").json(&body)).await.expect(401);

    let events = trail_of(&server, 3).await;
    assert_eq!(names(&events)[2], "logout");
    assert_eq!(events[2]["login_id"], login.as_str());
    assert_eq!(events[2]["username"], "ada");
    assert_eq!((&events[2]["mode"], &events[2]["transport"]), (&json!("jwt"), &json!("bearer")));
}

#[tokio::test]
async fn a_login_that_is_ended_from_another_device_is_told_with_both() {
    let server = TestServer::with(&[PROXIED]).await;
    server.user("ada").await;
    for (pair, ending) in [(Pair::SESSION_COOKIE, Pair::JWT_BEARER), (Pair::JWT_COOKIE, Pair::SESSION_BEARER)]
    {
        let before = trail(&server).await.len();
        let ended = Client::signed_in(&server, pair, "ada").await.login_id().await;
        let mut client = Client::signed_in(&server, ending, "ada").await;
        let path = format!("/account/logins/{ended}");
        assert_eq!(send(&mut client, "DELETE", &path, None).await, 204);
        assert_eq!(send(&mut client, "DELETE", &path, None).await, 404);

        let events = trail_of(&server, before.max(1) + 3).await;
        let event = events.last().expect("an event");
        assert_eq!(event["event"], "login_ended");
        assert_where(event, pair);
        assert_eq!((&event["login_id"], &event["username"]), (&json!(ended), &json!("ada")));
        assert_eq!(event["detail"], json!({ "by_login": client.login_id().await }));
    }
}

#[tokio::test]
async fn a_token_that_a_service_revokes_is_told_with_the_service() {
    let server = TestServer::with(&[PROXIED]).await;
    let service = Service::registered(&server).await;
    server.user("ada").await;
    let mut count = 1;
    for client in Client::in_every_way(&server, "ada").await {
        let token = if client.pair.mode == Mode::Jwt { client.renewal() } else { client.credential() };
        let login = client.login_id().await;
        let revoke =
            Request::post("/jwt/revoke").basic(&service.id, &service.secret).form(&[("token", &token)]);
        for _ in 0..2 {
            server.send(from_afar(revoke.clone())).await.expect(200);
        }
        // A session's cookie is no token.
        if client.pair == Pair::SESSION_COOKIE {
            continue;
        }
        count += 1;
        let events = eventually_revoked(&server, count - 1).await;
        let event = events.last().expect("an event");
        assert_where(event, client.pair);
        assert_eq!((&event["login_id"], &event["username"]), (&json!(login), &json!("ada")));
        assert_eq!(event["client_id"], service.id.as_str());
    }
}

async fn eventually_revoked(server: &TestServer, count: usize) -> Vec<Value> {
    let revoked = async || {
        let events = trail(server).await.into_iter();
        events.filter(|event| event["event"] == "token_revoked").collect::<Vec<_>>()
    };
    eventually("the revocation", async || revoked().await.len() >= count).await;
    let events = revoked().await;
    assert_eq!(events.len(), count, "{events:#?}");
    events
}

#[tokio::test]
async fn a_service_that_is_refused_is_told_and_named_if_there_is_one_of_that_id() {
    let server = TestServer::with(&[PROXIED]).await;
    let service = Service::registered(&server).await;
    let other = Service::registered(&server).await;
    for (id, secret) in [(&service.id, &other.secret), (&"gateway".to_owned(), &other.secret)] {
        let request = Request::post("/jwt/introspect").basic(id, secret).form(&[("token", "x")]);
        server.send(from_afar(request)).await.oauth_problem(401, "invalid_credentials");
    }
    // Who shows nothing at all is asked to, and that is no event.
    server.send(Request::post("/jwt/introspect").form(&[("token", "x")])).await.expect(401);

    let events = trail_of(&server, 2).await;
    assert_eq!(names(&events), ["client_refused"; 2]);
    assert_eq!(events[0]["client_id"], service.id.as_str());
    assert_eq!(events[1]["client_id"], Value::Null);
    assert!(events.iter().all(|event| event["address"] == ADDRESS), "{events:#?}");
}

#[tokio::test]
async fn each_reason_for_a_failed_login_is_told_and_to_the_client_none() {
    let server = TestServer::start().await;
    server.user("ada").await;
    server.user("grace").await;
    sql(&server, "update users set disabled_at = now() where username = 'grace'").await;
    let mut answers = Vec::new();
    for (name, password) in [("nobody", PASSWORD), ("ada", WRONG), ("grace", PASSWORD), ("grace", WRONG)] {
        let body = with(Pair::SESSION_COOKIE.credentials(name), "password", password);
        let response = server.send(Request::post("/session/login").json(&body)).await;
        answers.push(response.problem(401, "invalid_credentials").but_for_the_date());
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");

    let events = trail_of(&server, 6).await;
    let told = events[2..].iter().map(|event| (&event["detail"]["reason"], &event["username"]));
    let expected = [
        (json!("unknown_name"), Value::Null),
        (json!("wrong_password"), json!("ada")),
        (json!("disabled"), json!("grace")),
        (json!("wrong_password"), json!("grace")),
    ];
    assert_eq!(
        told.collect::<Vec<_>>(),
        expected.iter().map(|(one, other)| (one, other)).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_was_typed_for_a_name_that_nobody_has_is_nowhere() {
    const TYPED: &str = "hunter2-hunter2-hunter2";
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in Pair::ALL {
        let body = pair.credentials(TYPED);
        server
            .send(Request::post(&pair.mode.path("login")).json(&body))
            .await
            .problem(401, "invalid_credentials");
    }
    let request = Request::post("/jwt/introspect").basic(TYPED, TYPED).form(&[("token", TYPED)]);
    server.send(request).await.expect(401);

    let events = trail_of(&server, 6).await;
    let written = json!(events).to_string();
    assert!(!written.contains("hunter2") && !written.contains(PASSWORD), "{written}");
}

#[tokio::test]
async fn who_has_tried_too_often_is_told_by_the_limit() {
    let server = TestServer::with(&[PROXIED, ("LOGIN_LIMIT", "1/1h")]).await;
    server.user("ada").await;
    let pair = Pair::JWT_COOKIE;
    let mut client = Client::new(&server, pair);
    let login = pair.mode.path("login");
    let wrong = with(pair.credentials("ada"), "password", WRONG);
    assert_eq!(send(&mut client, "POST", &login, Some(wrong)).await, 401);
    assert_eq!(send(&mut client, "POST", &login, Some(pair.credentials("ada"))).await, 429);

    let events = trail_of(&server, 3).await;
    assert_eq!(names(&events), ["registered", "login_failed", "login_limited"]);
    assert_where(&events[2], pair);
    // Nobody has looked whose name it is.
    assert_eq!(events[2]["username"], Value::Null);
    assert!(events[2]["detail"]["limit"].is_string(), "{}", events[2]);
}

#[tokio::test]
async fn a_password_that_is_hashed_anew_is_told() {
    let server = TestServer::with(&[PROXIED]).await;
    server.user("ada").await;
    let node = server.another_node_with(&[("ARGON2_MEMORY_KIB", "128")]).await;
    let mut client = Client::new(&node, Pair::SESSION_BEARER);
    for _ in 0..2 {
        let body = client.pair.credentials("ada");
        assert_eq!(send(&mut client, "POST", "/session/login", Some(body)).await, 200);
    }
    let events = trail_of(&server, 4).await;
    assert_eq!(names(&events), ["registered", "password_upgraded", "login_started", "login_started"]);
    assert_where(&events[1], client.pair);
    assert_eq!(events[1]["username"], "ada");
}

#[tokio::test]
async fn the_trail_of_all_nodes_is_one() {
    let (server, node) = two_nodes(&[]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    client.at(&node).logout().await.expect(204);
    Client::signed_in(&node, Pair::SESSION_COOKIE, "ada").await;
    let mut names: Vec<String> =
        trail_of(&server, 4).await.iter().map(|event| text(&event["event"]).to_owned()).collect();
    names.sort();
    assert_eq!(names, ["login_started", "login_started", "logout", "registered"]);
}

#[tokio::test]
async fn a_key_that_time_has_sign_is_told_by_the_node() {
    let server = TestServer::with(&[("KEY_ROTATION", "1d")]).await;
    server.clock.advance(2 * DAY);
    let events = trail_of(&server, 1).await;
    assert_eq!((&events[0]["event"], &events[0]["source"]), (&json!("key_rotated"), &json!("node")));
    assert_eq!(events[0]["address"], Value::Null);
    assert_ne!(events[0]["detail"]["active"], events[0]["detail"]["superseded"]);
}

#[tokio::test]
async fn events_stay_when_their_user_is_deleted_and_go_when_they_are_old() {
    let mut server = TestServer::with(&[("AUDIT_RETENTION", "30d")]).await;
    server.user("ada").await;
    server.user("bob").await;
    trail_of(&server, 2).await;
    sql(&server, "delete from users where username = 'ada'").await;
    server.clock.advance(29 * DAY);
    server.user("carol").await;
    trail_of(&server, 3).await;

    // A node sweeps as soon as it starts.
    server.clock.advance(2 * DAY);
    server.stop().await;
    let node = server.another_node().await;
    eventually("old events to go", async || trail(&node).await.len() == 1).await;
    assert_eq!(trail(&node).await[0]["username"], "carol");
}
