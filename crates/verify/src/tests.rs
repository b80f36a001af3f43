//! Tests of the verifier against a dualauth that can be made to fail.

mod following;

use std::time::Duration;

use serde_json::Value;

use crate::testing::{CLIENT, Dualauth, HERE, claims};
use crate::{Builder, Verifier, VerifyError};

/// How long something may take that happens in milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// Settings of a follower of this dualauth.
fn follower_of(dualauth: &Dualauth) -> Builder {
    Verifier::builder(HERE, HERE).url(dualauth.url()).client(CLIENT.0, CLIENT.1)
}

/// A follower of this dualauth, which has read everything.
async fn ready(dualauth: &Dualauth) -> Verifier {
    let verifier = follower_of(dualauth).build().expect("good settings");
    tokio::time::timeout(LIMIT, verifier.ready()).await.expect("it gets ready");
    verifier
}

/// The claims of a token that is issued now.
fn claims_of_now(verifier: &Verifier) -> Value {
    claims(verifier.clock().now())
}

/// Waits until the token gets this answer.
#[track_caller]
fn becomes(verifier: &Verifier, token: &str, expected: Result<(), VerifyError>) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let reached = async {
            while verifier.verify(token).await.map(drop) != expected {
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
