//! Tokens of keys that are not known yet.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{LIMIT, claims_of, ready, verify};
use crate::Verifier;
use crate::VerifyError::{InvalidToken, Unavailable};
use crate::testing::{Dualauth, TestKey, with};

/// A token of a key that does not exist.
fn made_up(dualauth: &Dualauth, number: u8) -> String {
    let kid = URL_SAFE_NO_PAD.encode([number; 32]);
    dualauth.key.token_of(&with(dualauth.key.header(), "kid", kid), &claims_of(1))
}

/// Has a second pass, after which keys are fetched again.
fn pass_a_second(verifier: &Verifier) {
    verifier.clock().pass(std::time::Duration::from_secs(1));
}

#[tokio::test]
async fn a_token_of_a_new_key_is_accepted_before_the_feed_tells_of_it() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    for alg in crate::testing::ALGORITHMS {
        let key = TestKey::new(alg);
        dualauth.change(|behaviour| behaviour.keys.push(key.jwk.clone()));
        pass_a_second(&verifier);
        // The follower may not have asked since that second.
        super::becomes(&verifier, &key.token(&claims_of(1)), Ok(())).await;
    }
    assert_eq!(verify(&verifier, &dualauth.key.token(&claims_of(1))).await, Ok(()));
}

#[tokio::test]
async fn whatever_keys_tokens_name_they_are_fetched_once_in_a_second() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    pass_a_second(&verifier);
    let before = dualauth.behaviour().fetches;
    let refusals = (0..50).map(|number| {
        let (verifier, token) = (verifier.clone(), made_up(&dualauth, number));
        tokio::spawn(async move { verify(&verifier, &token).await })
    });
    for refusal in refusals.collect::<Vec<_>>() {
        let refusal = tokio::time::timeout(LIMIT, refusal).await.expect("an answer").expect("no panic");
        assert!(matches!(refusal, Err(InvalidToken | Unavailable)), "{refusal:?}");
    }
    assert_eq!(dualauth.behaviour().fetches - before, 1);
    pass_a_second(&verifier);
    let _ = verify(&verifier, &made_up(&dualauth, 7)).await;
    assert_eq!(dualauth.behaviour().fetches - before, 2);
}

/// A key leaves the set when its time is over, and no answer of the feed tells of that.
#[tokio::test]
async fn keys_are_fetched_again_in_time_though_nothing_says_that_they_changed() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let token = dualauth.key.token(&claims_of(1));
    assert_eq!(verify(&verifier, &token).await, Ok(()));
    dualauth.behaviour().keys = vec![TestKey::new("EdDSA").jwk.clone()];
    verifier.clock().pass(std::time::Duration::from_secs(301));
    super::becomes(&verifier, &token, Err(InvalidToken)).await;
}

#[tokio::test]
async fn a_token_that_can_t_be_dualauth_s_is_no_reason_to_fetch_keys() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    pass_a_second(&verifier);
    let before = dualauth.behaviour().fetches;
    let header = dualauth.key.header();
    for header in [with(header.clone(), "kid", "another"), with(header, "alg", "HS256")] {
        let token = dualauth.key.token_of(&header, &claims_of(1));
        assert_eq!(verify(&verifier, &token).await, Err(InvalidToken));
    }
    assert_eq!(dualauth.behaviour().fetches, before);
}

#[tokio::test]
async fn a_token_of_an_unknown_key_is_unavailable_while_keys_can_t_be_fetched() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    dualauth.change(|behaviour| behaviour.keys_fail = usize::MAX);
    pass_a_second(&verifier);
    for number in 0..3 {
        assert_eq!(verify(&verifier, &made_up(&dualauth, number)).await, Err(Unavailable));
    }
    super::becomes(&verifier, &dualauth.key.token(&claims_of(1)), Ok(())).await;
    dualauth.change(|behaviour| behaviour.keys_fail = 0);
    pass_a_second(&verifier);
    super::becomes(&verifier, &made_up(&dualauth, 4), Err(InvalidToken)).await;
}
