//! Following the feed: what is known when, and what is refused then.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{becomes, claims_of, follower_of, ready, ready_with, until, verify};
use crate::VerifyError::{InvalidToken, TokenRevoked, Unavailable};
use crate::core::Core;
use crate::feed::Outcome;
use crate::revocations::Answer;
use crate::testing::{CLIENT, Dualauth, HERE, TestKey, end_of, with};
use crate::{Verifier, VerifyError, WhenStale};

#[tokio::test]
async fn a_good_token_is_accepted_until_its_login_ends() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let (token, other) = (dualauth.key.token(&claims_of(1)), dualauth.key.token(&claims_of(2)));
    let claims = verifier.verify(&token).await.expect("a good token");
    assert_eq!((claims.username.as_str(), claims.has_role("user")), ("ada", true));
    dualauth.end(&claims_of(1));
    becomes(&verifier, &token, Err(TokenRevoked)).await;
    assert_eq!(verify(&verifier, &other).await, Ok(()));
}

#[tokio::test]
async fn a_login_that_ended_before_is_refused_from_the_first_answer_on() {
    let dualauth = Dualauth::start();
    dualauth.end(&claims_of(1));
    let verifier = ready(&dualauth).await;
    assert_eq!(verify(&verifier, &dualauth.key.token(&claims_of(1))).await, Err(TokenRevoked));
}

#[tokio::test]
async fn every_token_is_unavailable_before_the_first_complete_answer() {
    let dualauth = Dualauth::start();
    let (good, strange) = (claims_of(1), TestKey::new("EdDSA").token(&claims_of(1)));
    dualauth.change(|behaviour| {
        (behaviour.page, behaviour.answers_left) = (1, 2);
        behaviour.log = (2..6).map(|login| end_of(&claims_of(login))).collect();
    });
    let verifier = follower_of(&dualauth).build().expect("good settings");
    until(|| dualauth.behaviour().requests.len() > 4).await;
    for token in [dualauth.key.token(&good), strange, "nonsense".to_owned()] {
        assert_eq!(verify(&verifier, &token).await, Err(Unavailable));
    }
    assert!(!verifier.is_fresh());
    dualauth.change(|behaviour| behaviour.answers_left = usize::MAX);
    becomes(&verifier, &dualauth.key.token(&good), Ok(())).await;
    for login in 2..6 {
        assert_eq!(verify(&verifier, &dualauth.key.token(&claims_of(login))).await, Err(TokenRevoked));
    }
    // Where it was interrupted, and not from the beginning.
    let requests = dualauth.behaviour().requests.clone();
    assert_eq!(requests.iter().filter(|(cursor, _)| cursor.is_empty()).count(), 1, "{requests:?}");
}

#[tokio::test]
async fn a_verifier_that_dualauth_does_not_know_accepts_nothing() {
    let dualauth = Dualauth::start();
    let settings = follower_of(&dualauth).client(CLIENT.0, "duc_another");
    let verifier = settings.build().expect("good settings");
    until(|| dualauth.behaviour().refused > 2).await;
    assert_eq!(verify(&verifier, &dualauth.key.token(&claims_of(1))).await, Err(Unavailable));
}

#[tokio::test]
async fn a_feed_that_begins_anew_counts_once_all_of_it_is_there() {
    let dualauth = Dualauth::start();
    // Long enough not to get stale meanwhile.
    let verifier = ready_with(follower_of(&dualauth).staleness_bound(Duration::from_secs(60))).await;
    let token = |login| dualauth.key.token(&claims_of(login));
    dualauth.end(&claims_of(1));
    becomes(&verifier, &token(1), Err(TokenRevoked)).await;
    let times_asked =
        |cursor: &str| dualauth.behaviour().requests.iter().filter(|(asked, _)| asked == cursor).count();
    until(|| times_asked("1.1") > 0).await;
    dualauth.change(|behaviour| {
        // That request is answered with the first of two pages.
        (behaviour.page, behaviour.answers_left, behaviour.history) = (1, 0, 2);
        behaviour.log = [2, 3].map(|login| end_of(&claims_of(login))).to_vec();
    });
    until(|| times_asked("2.1") > 1).await;
    // By what was known before.
    assert_eq!(verify(&verifier, &token(1)).await, Err(TokenRevoked));
    assert_eq!(verify(&verifier, &token(2)).await, Ok(()));
    dualauth.change(|behaviour| behaviour.answers_left = usize::MAX);
    becomes(&verifier, &token(2), Err(TokenRevoked)).await;
    assert_eq!(verify(&verifier, &token(3)).await, Err(TokenRevoked));
    assert_eq!(verify(&verifier, &token(1)).await, Ok(()), "the new feed does not say that it ended");
}

/// Roles may go back between parts, since one node tells the first and another one, that is behind, the next.
#[tokio::test]
async fn between_the_parts_of_an_answer_nothing_is_known_for_certain() {
    let dualauth = Dualauth::start();
    // Longer than anything here takes.
    let verifier = ready_with(follower_of(&dualauth).staleness_bound(Duration::from_secs(60))).await;
    let token = dualauth.key.token(&claims_of(9));
    assert_eq!(verify(&verifier, &token).await, Ok(()));
    dualauth.change(|behaviour| {
        (behaviour.page, behaviour.answers_left) = (1, 0);
        behaviour.log = [1, 2].map(|login| end_of(&claims_of(login))).to_vec();
    });
    becomes(&verifier, &token, Err(Unavailable)).await;
    dualauth.change(|behaviour| behaviour.answers_left = usize::MAX);
    becomes(&verifier, &token, Ok(())).await;
}

#[tokio::test]
async fn an_answer_counts_only_once_the_keys_are_fetched_that_it_says_have_changed() {
    let dualauth = Dualauth::start();
    let verifier = ready_with(follower_of(&dualauth).when_stale(WhenStale::Serve)).await;
    let next = TestKey::new("EdDSA");
    let (ended, new) = (dualauth.key.token(&claims_of(1)), next.token(&claims_of(2)));
    dualauth.change(|behaviour| {
        behaviour.keys_fail = usize::MAX;
        behaviour.log = vec![json!(null), end_of(&claims_of(1))];
    });
    let asked = || dualauth.behaviour().requests.iter().filter(|(cursor, _)| cursor == "1.0").count();
    // With the old cursor again.
    until(|| asked() > 3).await;
    assert_eq!(verify(&verifier, &ended).await, Ok(()), "the answer was applied without the keys");
    dualauth.change(|behaviour| {
        behaviour.keys = vec![next.jwk.clone(), dualauth.key.jwk.clone()];
        behaviour.keys_fail = 0;
    });
    becomes(&verifier, &ended, Err(TokenRevoked)).await;
    assert_eq!(verify(&verifier, &new).await, Ok(()), "the keys are at least as new as what is revoked");
}

#[tokio::test]
async fn a_token_of_a_retired_key_is_refused_though_it_was_accepted_before() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let (next, old) = (TestKey::new("EdDSA"), dualauth.key.token(&claims_of(1)));
    assert_eq!(verify(&verifier, &old).await, Ok(()));
    dualauth.change(|behaviour| {
        behaviour.keys = vec![next.jwk.clone()];
        behaviour.log.push(json!(null));
    });
    becomes(&verifier, &old, Err(InvalidToken)).await;
    assert_eq!(verify(&verifier, &next.token(&claims_of(1))).await, Ok(()));
}

#[tokio::test]
async fn the_follower_ends_with_the_last_clone() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let core = Arc::downgrade(verifier.core());
    let clone = verifier.clone();
    drop(verifier);
    assert_eq!(verify(&clone, &dualauth.key.token(&claims_of(1))).await, Ok(()));
    drop(clone);
    until(|| core.upgrade().is_none()).await;
}

#[tokio::test]
async fn without_a_client_revocations_are_not_known_and_keys_are() {
    let dualauth = Dualauth::start();
    let verifier = ready_with(Verifier::builder(HERE, HERE).url(dualauth.url())).await;
    dualauth.end(&claims_of(1));
    let token = dualauth.key.token(&claims_of(1));
    assert_eq!((verify(&verifier, &token).await, verifier.is_fresh()), (Ok(()), true));
    verifier.clock().pass(Duration::from_secs(3_600));
    assert_eq!((verify(&verifier, &token).await, verifier.is_fresh()), (Ok(()), true));
    assert_eq!(verify(&verifier, "dur_AAAA").await, Err(InvalidToken));
    assert_eq!(dualauth.behaviour().requests, []);
}

#[tokio::test]
async fn a_token_expires_though_it_was_accepted_before() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let claims = claims_of(1);
    let expiring = with(claims.clone(), "exp", verifier.clock().now() + 60);
    let token = dualauth.key.token(&expiring);
    assert_eq!(verify(&verifier, &token).await, Ok(()));
    verifier.clock().set(60);
    assert_eq!(verify(&verifier, &token).await, Err(VerifyError::TokenExpired));
}

/// Two requests may be under way: the follower's, and one because of a token.
#[test]
fn an_answer_that_another_one_has_overtaken_changes_nothing() {
    let core = Core::new(Verifier::builder(HERE, HERE).client(CLIENT.0, CLIENT.1)).expect("good settings");
    let apply = |asked: &str, cursor: &str, login: u128| {
        let end = &end_of(&claims_of(login))["ended"];
        let answer = json!({
            "cursor": cursor, "anew": asked.is_empty(), "more": false, "age_ms": 0, "ended": [end], "roles": [],
            "keys_changed": false,
        });
        let answer: Answer = serde_json::from_value(answer).expect("an answer");
        core.apply(asked, core.clock.uptime(), answer)
    };
    let knows = |login: u128| {
        let claims = serde_json::from_value(claims_of(login)).expect("claims");
        let knowledge = core.knowledge();
        knowledge
            .revocations
            .as_ref()
            .is_some_and(|known| known.standing(&claims) != crate::revocations::Standing::Good)
    };
    assert_eq!(apply("", "a", 1), Outcome::Complete { news: true });
    assert_eq!(apply("a", "b", 2), Outcome::Complete { news: true });
    assert_eq!(apply("a", "c", 3), Outcome::Overtaken);
    assert_eq!(apply("b", "c", 4), Outcome::Complete { news: true });
    assert_eq!([1, 2, 3, 4].map(knows), [true, true, false, true]);
}
