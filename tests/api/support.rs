//! What the tests stand on: a Postgres, servers on it, and clients that can say anything.

pub mod client;
pub mod cluster;
pub mod collector;
pub mod http;
pub mod mail_server;
pub mod other_service;
pub mod people;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod random;
pub mod server;
pub mod signer;
pub mod statements;
pub mod stub_provider;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Everybody's password: long enough, and on no list of common ones.
pub const PASSWORD: &str = "a quiet lantern over the weir";

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// How long a test waits for what must come, before it says that it did not.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asserts that an object has these members, and no others.
#[track_caller]
pub fn assert_members(object: &Value, expected: &[&str]) {
    let members: BTreeSet<&str> = object
        .as_object()
        .unwrap_or_else(|| panic!("an object was expected, not {object}"))
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members, expected.iter().copied().collect(), "in {object}");
}

#[track_caller]
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string was expected, not {value}"))
}

/// A time as the contract writes it: RFC 3339, UTC, `Z`.
#[track_caller]
pub fn time(value: &Value) -> DateTime<Utc> {
    let written = text(value);
    assert!(written.ends_with('Z'), "{written} is not written with Z");
    DateTime::parse_from_rfc3339(written)
        .unwrap_or_else(|error| panic!("{written} is not RFC 3339: {error}"))
        .to_utc()
}

/// The object with one member set.
pub fn with(mut object: Value, member: &str, value: impl Into<Value>) -> Value {
    object[member] = value.into();
    object
}

/// The object with one member left out.
pub fn without(mut object: Value, member: &str) -> Value {
    object.as_object_mut().expect("an object").remove(member).expect("a member to leave out");
    object
}

/// Asks again until the answer is the one that must come in the end; `attempt` itself judges the answers on the way.
pub async fn eventually(what: &str, mut attempt: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !attempt().await {
        assert!(began.elapsed() < PATIENCE, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port that PUBLIC_URL can name before the server has it: below those that the system gives to whoever asks for any.
pub fn free_port() -> u16 {
    let mut random = random::Random::new(std::process::id().into(), 0);
    let ports = std::iter::repeat_with(|| u16::try_from(20_000 + random.below(10_000)).expect("a port"));
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("there are many")
}
