//! What the claims say to the routes. Which of them are refused is tried beside the code that reads them.

use dualauth::config::JwtAlgorithm;
use serde_json::json;

use super::forger::Forger;
use crate::support::{SECOND, http::Request, server::beginning, with, without};

/// A node of a later version may have signed them. They say nothing to this one, and take nothing's place.
#[tokio::test]
async fn a_claim_that_ours_do_not_have_gives_nobody_anything() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    let profile = forger.client.profile().await.json();
    for (claim, value) in
        [("scope", json!("admin")), ("act", json!({ "sub": "ada" })), ("Roles", json!(["admin"]))]
    {
        let token = forger.token(&forger.header, &with(forger.claims.clone(), claim, value));
        forger.assert_accepted(&token).await;
        let other = forger.server.send(Request::get("/jwt/profile").bearer(&token)).await.expect(200);
        assert_eq!(other.json(), profile);
    }
}

/// A node of the version before signs none of these.
#[tokio::test]
async fn a_token_that_does_not_say_how_its_login_was_proved_counts_as_one_factor_of_no_known_time() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    let old = ["auth_time", "acr", "amr"].iter().fold(forger.claims.clone(), |it, claim| without(it, claim));
    let token = forger.token(&forger.header, &old);
    forger.assert_accepted(&token).await;
    let ask = async |path: &str| forger.server.send(Request::get(path).bearer(&token)).await;
    let auth = ask("/profile").await.ok()["auth"].clone();
    assert_eq!((&auth["amr"], &auth["acr"], &auth["auth_time"]), (&json!([]), &json!("aal1"), &json!(null)));
    let told = ask("/verify").await.expect(200);
    assert_eq!((told.header("x-auth-amr"), told.header("x-auth-time")), (Some(""), Some("")));
    ask("/verify?acr_values=aal1").await.expect(200);
    for path in ["/verify?max_age=4294967295", "/verify?acr_values=aal2"] {
        ask(path).await.problem(401, "insufficient_user_authentication");
    }
}

/// A newer node may know more of them than this one.
#[tokio::test]
async fn methods_and_an_assurance_that_are_not_known_raise_nothing() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    let newer = with(with(forger.claims.clone(), "acr", "aal3"), "amr", json!(["face", "pwd", "otp"]));
    let token = forger.token(&forger.header, &newer);
    forger.assert_accepted(&token).await;
    let profile = forger.server.send(Request::get("/profile").bearer(&token)).await.ok();
    assert_eq!(profile["auth"]["acr"], "aal1");
    assert_eq!(profile["auth"]["amr"], json!(["pwd", "otp"]));
}

#[tokio::test]
async fn a_token_is_over_when_its_time_is() {
    let now = beginning().timestamp();
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    let expiring = |exp: i64| forger.token(&forger.header, &with(forger.claims.clone(), "exp", exp));
    forger.assert_accepted(&expiring(now + 1)).await;
    forger.server.clock.advance(SECOND);
    forger.assert_refused(&expiring(now + 1), "token_expired").await;
}

/// No token that dualauth signs lives so long; whatever makes a date of it must not break on it.
#[tokio::test]
async fn a_time_beyond_every_calendar_breaks_nothing() {
    let forger = Forger::of(JwtAlgorithm::Hs256).await;
    for exp in [253_402_300_799, 253_402_300_800, 8_210_266_876_799, 8_210_266_876_800, i64::MAX] {
        forger.assert_accepted(&forger.token(&forger.header, &with(forger.claims.clone(), "exp", exp))).await;
    }
}
