//! One login in both modes: access tokens of a session, hand-offs, and sessions that an app opens. Whatever the mode, it is one login.

mod codes;
mod ends;
mod handoffs;
mod open;
mod page;
mod step_ups;
mod tokens;

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Pair},
    http::{Request, Response},
    server::TestServer,
    text,
};

/// Every way to be signed in, and every way to which it can be handed off.
pub const WAYS: [(Pair, Pair); 8] = [
    (Pair::SESSION_COOKIE, Pair::JWT_BEARER),
    (Pair::SESSION_COOKIE, Pair::JWT_COOKIE),
    (Pair::SESSION_BEARER, Pair::JWT_BEARER),
    (Pair::SESSION_BEARER, Pair::JWT_COOKIE),
    (Pair::JWT_BEARER, Pair::SESSION_COOKIE),
    (Pair::JWT_BEARER, Pair::SESSION_BEARER),
    (Pair::JWT_COOKIE, Pair::SESSION_COOKIE),
    (Pair::JWT_COOKIE, Pair::SESSION_BEARER),
];

/// One way for each mode to begin in, which is enough where the transports don't matter.
pub const DIRECTIONS: [(Pair, Pair); 2] =
    [(Pair::SESSION_COOKIE, Pair::JWT_BEARER), (Pair::JWT_BEARER, Pair::SESSION_COOKIE)];

pub async fn ask_for_code(server: &TestServer, client: &Client) -> Response {
    server.send(client.request("POST", "/account/handoff")).await
}

/// A code that hands the login of a client off.
pub async fn code(server: &TestServer, client: &Client) -> String {
    text(&ask_for_code(server, client).await.expect(201).json()["code"]).to_owned()
}

pub fn body(code: &str, pair: Pair) -> Value {
    json!({ "handoff": code, "transport": pair.transport.name() })
}

pub fn taking_over(code: &str, pair: Pair) -> Request {
    Request::post(&pair.mode.path("login")).json(&body(code, pair))
}

/// Another device, to which a client hands its login off.
pub async fn hand_off(server: &TestServer, client: &Client, to: Pair) -> Client {
    let code = code(server, client).await;
    let mut other = Client::new(server, to);
    other.login(&body(&code, to)).await.ok();
    other
}

pub async fn token(client: &Client, server: &TestServer) -> Response {
    server.send(client.request("POST", "/session/token")).await
}

/// A client with an access token of a session's login, and nothing else.
pub async fn with_token(server: &TestServer, session: &Client) -> Client {
    let answer = token(session, server).await.ok();
    let mut client = Client::new(server, Pair::JWT_BEARER);
    client.bearer = Some(text(&answer["access_token"]).to_owned());
    client
}

pub fn opening(token: &str) -> Request {
    Request::get("/session/open?to=/account").bearer(token)
}

/// The session that an app opens.
pub async fn open(server: &TestServer, app: &Client) -> Client {
    let mut view = Client::new(server, Pair::SESSION_COOKIE);
    view.send(opening(&app.credential())).await.expect(303);
    let csrf = view.get("/session/csrf").await.ok();
    view.csrf_token = Some(text(&csrf["csrf_token"]).to_owned());
    view
}

/// The logins in a client's list.
pub async fn listed(client: &Client) -> Vec<Value> {
    client.get("/account/logins").await.ok()["logins"].as_array().expect("a list").clone()
}

/// The modes of a client's login in the list.
pub async fn modes(client: &Client) -> Vec<String> {
    let listed = listed(client).await;
    let current = listed.iter().find(|login| login["current"] == true).expect("the one that asks");
    current["modes"].as_array().expect("modes").iter().map(|mode| text(mode).to_owned()).collect()
}

/// What a credential is refused with that a step-up in the other mode has ended.
pub fn dead(pair: Pair) -> &'static str {
    if pair == Pair::SESSION_COOKIE { "session_expired" } else { "invalid_token" }
}
