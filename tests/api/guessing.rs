//! Guessing: how far a stranger gets, and that nobody else notices.

mod accounts;
mod addresses;
mod enumeration;

use serde_json::Value;

use crate::support::{
    client::Mode,
    http::{Request, Response},
    server::{TestServer, credentials},
    with,
};

/// The proxy that the tests are, which says whom it speaks for.
const BEHIND_A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1");

fn wrong(name: &str) -> Value {
    with(credentials(name), "password", "no lantern, no weir, no river")
}

/// A try to sign in from this address.
async fn tries(server: &TestServer, address: &str, credentials: &Value) -> Response {
    let login = Request::post(&Mode::Jwt.path("login")).header("X-Forwarded-For", address);
    server.send(login.json(credentials)).await
}

/// Asserts that somebody is to come again, and gives when, in seconds.
#[track_caller]
fn assert_limited(response: &Response, policy: &str) -> u64 {
    let response = response.clone().problem(429, "rate_limited");
    let wait: u64 = response.header("retry-after").expect("Retry-After").parse().expect("whole seconds");
    assert!(wait > 0);
    assert_eq!(response.header("ratelimit"), Some(format!("{policy};r=0;t={wait}").as_str()));
    let policies = response.header("ratelimit-policy").expect("RateLimit-Policy");
    assert!(policies.starts_with(&format!("{policy};q=")), "{policies}");
    wait
}
