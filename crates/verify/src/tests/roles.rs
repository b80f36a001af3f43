//! Tokens whose owner's name or roles are others than those known.

use std::sync::Arc;

use serde_json::json;

use super::{LIMIT, becomes, claims_of, ready, verify};
use crate::VerifyError::{TokenRevoked, Unavailable};
use crate::testing::{Dualauth, with};

#[tokio::test]
async fn a_token_with_the_roles_or_the_name_from_before_is_refused() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let before = dualauth.key.token(&claims_of(1));
    assert_eq!(verify(&verifier, &before).await, Ok(()));
    dualauth.set_roles(&claims_of(1), &["admin", "user"]);
    becomes(&verifier, &before, Err(TokenRevoked)).await;
    let promoted = with(claims_of(1), "roles", json!(["admin", "user"]));
    assert_eq!(verify(&verifier, &dualauth.key.token(&promoted)).await, Ok(()));
    let renamed = with(promoted, "username", "grace");
    assert_eq!(verify(&verifier, &dualauth.key.token(&renamed)).await, Err(TokenRevoked));
}

#[tokio::test]
async fn a_token_that_is_newer_than_what_is_known_is_asked_about_and_accepted() {
    let dualauth = Dualauth::start();
    dualauth.set_roles(&claims_of(1), &["admin"]);
    let verifier = ready(&dualauth).await;
    // The follower hears nothing of what is next.
    dualauth.behaviour().holds = true;
    super::until(|| dualauth.behaviour().is_holding()).await;
    dualauth.behaviour().log.push(json!({ "roles": {
        "sub": claims_of(1)["sub"], "username": "ada", "roles": ["user"], "until": "2999-01-01T00:00:00.000000Z",
    } }));
    assert_eq!(verify(&verifier, &dualauth.key.token(&claims_of(1))).await, Ok(()));
    let before = with(claims_of(1), "roles", json!(["admin"]));
    assert_eq!(verify(&verifier, &dualauth.key.token(&before)).await, Err(TokenRevoked));
}

/// The node that answers may be behind the one that signed the token.
#[tokio::test]
async fn a_token_is_asked_about_until_the_answer_is_newer_than_the_token() {
    let dualauth = Dualauth::start();
    dualauth.set_roles(&claims_of(1), &["admin"]);
    let verifier = ready(&dualauth).await;
    dualauth.change(|behaviour| behaviour.age_ms = 900);
    let token = dualauth.key.token(&claims_of(1));
    dualauth.behaviour().requests.clear();
    let judged = tokio::spawn({
        let (verifier, token) = (verifier.clone(), token.clone());
        async move { verify(&verifier, &token).await }
    });
    let asked = || dualauth.behaviour().requests.iter().filter(|(_, wait)| *wait == 0.0).count();
    super::until(|| asked() >= 2).await;
    assert!(!judged.is_finished(), "what is that old says nothing of the token");
    dualauth.set_roles(&claims_of(1), &["user"]);
    dualauth.change(|behaviour| behaviour.age_ms = 0);
    assert_eq!(judged.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_token_that_is_long_older_than_what_is_known_is_refused_without_asking() {
    let dualauth = Dualauth::start();
    dualauth.set_roles(&claims_of(1), &["admin"]);
    let verifier = ready(&dualauth).await;
    let issued = verifier.clock().now() - 120;
    let old = dualauth.key.token(&with(claims_of(1), "iat", issued));
    assert_eq!(verify(&verifier, &old).await, Err(TokenRevoked));
    let asked = dualauth.behaviour().requests.iter().skip(1).filter(|(_, wait)| *wait == 0.0).count();
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn a_token_is_unavailable_if_it_can_t_be_asked_about() {
    let dualauth = Dualauth::start();
    dualauth.set_roles(&claims_of(1), &["admin"]);
    let verifier = ready(&dualauth).await;
    dualauth.change(|behaviour| behaviour.answers_left = 0);
    assert_eq!(verify(&verifier, &dualauth.key.token(&claims_of(1))).await, Err(Unavailable));
}

#[tokio::test]
async fn tokens_that_come_at_once_share_a_request() {
    let dualauth = Dualauth::start();
    dualauth.set_roles(&claims_of(1), &["admin"]);
    let verifier = ready(&dualauth).await;
    let token: Arc<str> = dualauth.key.token(&claims_of(1)).into();
    dualauth.behaviour().requests.clear();
    let refusals = (0..100).map(|_| {
        let (verifier, token) = (verifier.clone(), Arc::clone(&token));
        tokio::spawn(async move { verify(&verifier, &token).await })
    });
    for refusal in refusals.collect::<Vec<_>>() {
        let refusal = tokio::time::timeout(LIMIT, refusal).await.expect("an answer").expect("no panic");
        assert_eq!(refusal, Err(TokenRevoked));
    }
    // Those that came while one was under way share the next one.
    let asked = dualauth.behaviour().requests.iter().filter(|(_, wait)| *wait == 0.0).count();
    assert!((1..=3).contains(&asked), "{asked}");
}
