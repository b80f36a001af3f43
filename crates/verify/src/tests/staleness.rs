//! When dualauth can't be reached, or knows little itself.

use std::time::Duration;

use super::{LONG, becomes, claims_of, follower_of, ready, ready_with, until, verify};
use crate::VerifyError::{TokenRevoked, Unavailable};
use crate::WhenStale;
use crate::testing::Dualauth;

#[tokio::test]
async fn beyond_the_bound_a_good_token_is_unavailable_and_accepted_when_dualauth_is_back() {
    let mut dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let token = dualauth.key.token(&claims_of(1));
    assert_eq!((verify(&verifier, &token).await, verifier.is_fresh()), (Ok(()), true));
    dualauth.stop();
    verifier.clock().pass(LONG);
    assert_eq!((verify(&verifier, &token).await, verifier.is_fresh()), (Err(Unavailable), false));
    dualauth.serve();
    becomes(&verifier, &token, Ok(())).await;
    assert!(verifier.is_fresh());
}

#[tokio::test]
async fn a_login_that_ended_while_dualauth_was_away_is_never_accepted_again() {
    let mut dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let token = dualauth.key.token(&claims_of(1));
    assert_eq!(verify(&verifier, &token).await, Ok(()));
    dualauth.stop();
    verifier.clock().pass(LONG);
    dualauth.end(&claims_of(1));
    dualauth.serve();
    let refused = async {
        loop {
            match verify(&verifier, &token).await {
                Err(Unavailable) => tokio::time::sleep(Duration::from_millis(1)).await,
                other => return other,
            }
        }
    };
    let refused = tokio::time::timeout(super::LIMIT, refused).await;
    assert_eq!(refused, Ok(Err(TokenRevoked)));
}

#[tokio::test]
async fn with_serve_what_is_not_known_to_be_revoked_is_accepted_beyond_the_bound() {
    let mut dualauth = Dualauth::start();
    let verifier = ready_with(follower_of(&dualauth).when_stale(WhenStale::Serve)).await;
    let [one, two, three] = [1, 2, 3].map(|login| dualauth.key.token(&claims_of(login)));
    dualauth.end(&claims_of(1));
    becomes(&verifier, &one, Err(TokenRevoked)).await;
    dualauth.stop();
    verifier.clock().pass(LONG);
    dualauth.end(&claims_of(2));
    assert!(!verifier.is_fresh());
    assert_eq!(verify(&verifier, &one).await, Err(TokenRevoked));
    assert_eq!(verify(&verifier, &two).await, Ok(()));
    assert_eq!(verify(&verifier, &three).await, Ok(()));
    dualauth.serve();
    becomes(&verifier, &two, Err(TokenRevoked)).await;
    assert_eq!(verify(&verifier, &three).await, Ok(()));
}

#[tokio::test]
async fn a_node_that_is_behind_makes_nothing_fresh() {
    let dualauth = Dualauth::start();
    dualauth.change(|behaviour| behaviour.age_ms = 4_001);
    let verifier = ready(&dualauth).await;
    let token = dualauth.key.token(&claims_of(1));
    let asked = dualauth.behaviour().requests.len();
    until(|| dualauth.behaviour().requests.len() > asked + 1).await;
    assert_eq!((verify(&verifier, &token).await, verifier.is_fresh()), (Err(Unavailable), false));
    dualauth.change(|behaviour| behaviour.age_ms = 0);
    becomes(&verifier, &token, Ok(())).await;
}

/// Only its own request tells how old an answer is: it may have been held anywhere on its way.
#[tokio::test]
async fn an_answer_that_took_longer_than_the_bound_makes_nothing_fresh() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    dualauth.behaviour().holds = true;
    until(|| dualauth.behaviour().is_holding()).await;
    verifier.clock().pass(LONG);
    dualauth.behaviour().holds = false;
    dualauth.behaviour().answers_left = 0;
    dualauth.release();
    // The held answer has come when the next request is sent.
    let asked = dualauth.behaviour().requests.len();
    until(|| dualauth.behaviour().requests.len() > asked).await;
    assert!(!verifier.is_fresh());
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_the_feed_be_read_again() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    // With this time of day, entries are dropped that matter.
    verifier.clock().set(3_600);
    let asked = dualauth.behaviour().requests.len();
    until(|| dualauth.behaviour().requests.len() > asked + 1).await;
    dualauth.behaviour().requests.clear();
    verifier.clock().set(-3_600);
    let token = dualauth.key.token(&claims_of(1));
    let from_the_beginning = || dualauth.behaviour().requests.iter().any(|(cursor, _)| cursor.is_empty());
    if !from_the_beginning() {
        let answer = verify(&verifier, &token).await;
        assert!(answer == Err(Unavailable) || from_the_beginning(), "{answer:?}");
    }
    until(from_the_beginning).await;
    becomes(&verifier, &token, Ok(())).await;
}
