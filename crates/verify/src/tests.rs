//! Tests of the verifier against a dualauth that can be made to fail.

mod following;
mod http;
mod keys;
mod roles;
mod settings;
mod staleness;

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use crate::clock::Clock;
use crate::testing::{CLIENT, Dualauth, HERE, claims, with};
use crate::{Builder, Verifier, VerifyError};

/// The staleness bound: a busy machine should not make a follower stale.
const BOUND: Duration = Duration::from_secs(4);

/// More than the bound.
const LONG: Duration = Duration::from_millis(4_001);

/// How long something may take that happens in milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// Settings of a follower of this dualauth.
fn follower_of(dualauth: &Dualauth) -> Builder {
    let settings = Verifier::builder(HERE, HERE).url(dualauth.url()).client(CLIENT.0, CLIENT.1);
    settings.staleness_bound(BOUND)
}

/// A follower of this dualauth, which has read everything.
async fn ready(dualauth: &Dualauth) -> Verifier {
    ready_with(follower_of(dualauth)).await
}

/// A follower with these settings, which has read everything.
async fn ready_with(settings: Builder) -> Verifier {
    let verifier = settings.build().expect("good settings");
    tokio::time::timeout(LIMIT, verifier.ready()).await.expect("it gets ready");
    verifier
}

/// The claims of a token of this login, issued now.
fn claims_of(login: u128) -> Value {
    with(claims(Clock::default().now()), "sid", Uuid::from_u128(login).to_string())
}

/// What a token gets, without its claims.
async fn verify(verifier: &Verifier, token: &str) -> Result<(), VerifyError> {
    verifier.verify(token).await.map(drop)
}

/// Waits until the token gets this answer.
#[track_caller]
fn becomes(verifier: &Verifier, token: &str, expected: Result<(), VerifyError>) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let reached = async {
            while verify(verifier, token).await != expected {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let outcome = tokio::time::timeout(LIMIT, reached).await;
        assert!(outcome.is_ok(), "never {expected:?} at {place}");
    }
}

/// Waits until a condition holds.
#[track_caller]
fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let reached = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(LIMIT, reached).await.is_ok(), "never at {place}");
    }
}
