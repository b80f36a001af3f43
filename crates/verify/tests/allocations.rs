//! How much memory a request with a good token allocates. A test program of its own: it counts what its threads allocate.

#[path = "../src/testing.rs"]
#[allow(dead_code, clippy::expect_used, reason = "part of the tests, which use the rest")]
mod testing;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use dualauth_verify::{Verifier, VerifyError};

use testing::{CLIENT, Dualauth, HERE, claims, end_of};

/// The answer to a token that needs no waiting.
fn verify(verifier: &Verifier, token: &str) -> Result<(), VerifyError> {
    match pin!(verifier.verify(token)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verified) => verified.map(drop),
        // Nothing here is so.
        Poll::Pending => Err(VerifyError::Unavailable),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_that_was_verified_before_allocates_nothing() {
    let dualauth = Dualauth::start();
    let claims = claims(0);
    let claims = testing::with(claims, "exp", 32_472_144_000_i64);
    let (good, revoked) =
        (dualauth.key.token(&claims), testing::with(claims, "sid", uuid::Uuid::nil().to_string()));
    dualauth.say(end_of(&revoked));
    let revoked = dualauth.key.token(&revoked);
    // It may not get stale, however slow the machine is.
    let verifier = Verifier::builder(HERE, HERE).url(dualauth.url()).client(CLIENT.0, CLIENT.1);
    let verifier = verifier.staleness_bound(Duration::from_secs(60)).build().expect("good settings");
    verifier.ready().await;
    for (token, expected) in [(&good, Ok(())), (&revoked, Err(VerifyError::TokenRevoked))] {
        assert_eq!(verify(&verifier, token), expected);
        let allocated = measure(|| assert_eq!(verify(&verifier, token), expected));
        assert_eq!((allocated.count_total, allocated.bytes_total), (0, 0), "{allocated:?}");
    }
}
