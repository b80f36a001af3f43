//! GitHub, Apple and Microsoft: what each does in its own way.

use dualauth::config::JwtAlgorithm;
use dualauth::factors::provider::{AuthorizationRequest, ProviderError, ProviderIdentity};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Value, json};

use super::{CLIENT, SECRET, Trial, reason};
use crate::support::{
    signer::{Role, key, part},
    stub_provider::{StubAnswer, published, signer},
};

const USER: &str = "/api/v3/user";
const EMAILS: &str = "/api/v3/user/emails";
const GITHUB_TOKEN: &str = "/login/oauth/access_token";

async fn github() -> Trial {
    let trial = Trial::with("kind = 'github'").await;
    trial.stub.json(GITHUB_TOKEN, json!({ "access_token": "gho_x", "scope": "", "token_type": "bearer" }));
    trial.stub.json(USER, json!({ "id": 583_231, "login": "octocat", "email": "public@example.com" }));
    trial.stub.json(EMAILS, json!([]));
    trial
}

async fn sign_in(trial: &Trial) -> Result<ProviderIdentity, ProviderError> {
    trial.come_back(&trial.begin().await, None).await
}

fn email(email: &str, primary: bool, verified: bool) -> Value {
    json!({ "email": email, "primary": primary, "verified": verified, "visibility": null })
}

#[tokio::test]
async fn github_s_users_are_known_by_their_number_and_not_by_what_they_show() {
    let trial = github().await;
    let identity = sign_in(&trial).await.expect("an identity");
    assert_eq!((identity.issuer, &*identity.subject), (trial.stub.url(), "583231"));
    assert_eq!(identity.preferred_username.as_deref(), Some("octocat"));
    assert_eq!((identity.email, identity.auth_time), (None, None), "the public address is not verified");
    trial.stub.json(USER, json!({ "id": 583_231, "login": "renamed", "email": null }));
    assert_eq!(sign_in(&trial).await.expect("an identity").subject, "583231");

    let begun = trial.begin().await;
    assert!(begun.nonce.is_none() && begun.url.path() == "/login/oauth/authorize");
    assert!(begun.url.query_pairs().any(|(name, _)| name == "code_challenge"));
    let asked = trial.stub.last(GITHUB_TOKEN);
    assert_eq!((&*asked.form()["client_id"], &*asked.form()["client_secret"]), (CLIENT, SECRET));
    assert_eq!(asked.header("accept"), Some("application/json"));
    let asked = trial.stub.last(USER);
    assert_eq!(asked.header("authorization"), Some("Bearer gho_x"));
    assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("dualauth")));
    assert!(reason(trial.provider.verify_id_token("a.b.c", "n").await).contains("no ID tokens"));
}

#[tokio::test]
async fn github_s_address_is_the_primary_one_if_it_is_verified() {
    let trial = github().await;
    for (emails, expected) in [
        (json!([email("a@example.com", true, true)]), Some("a@example.com")),
        (
            json!([email("b@example.com", false, true), email("a@example.com", true, true)]),
            Some("a@example.com"),
        ),
        (json!([email("a@example.com", true, false), email("b@example.com", false, true)]), None),
        (json!([email("b@example.com", false, true)]), None),
        (json!([email("", true, true)]), None),
        (json!([]), None),
    ] {
        trial.stub.json(EMAILS, emails.clone());
        assert_eq!(sign_in(&trial).await.expect("an identity").email.as_deref(), expected, "{emails}");
    }
    trial.stub.answer(EMAILS, StubAnswer::Status(404, json!({ "message": "Not Found" })));
    assert_eq!(sign_in(&trial).await.expect("an identity").email, None, "the scope was not granted");
    trial.stub.answer(EMAILS, StubAnswer::Status(500, json!({})));
    assert!(reason(sign_in(&trial).await).contains("status 500"));
}

#[tokio::test]
async fn github_s_errors_come_with_status_200() {
    let trial = github().await;
    trial.stub.json(GITHUB_TOKEN, json!({ "error": "bad_verification_code", "error_description": "x" }));
    assert!(reason(sign_in(&trial).await).contains("bad_verification_code"));
    assert_eq!(trial.stub.asked(USER), 0);
    trial.stub.json(GITHUB_TOKEN, json!({ "error": "incorrect_client_credentials", "access_token": "x" }));
    assert!(reason(sign_in(&trial).await).contains("incorrect_client_credentials"));
    trial.stub.json(GITHUB_TOKEN, json!({}));
    assert!(reason(sign_in(&trial).await).contains("no access_token"));
    let trial = github().await;
    for user in [json!({ "login": "octocat" }), json!({ "id": "583231" }), json!({ "id": -1 }), json!([])] {
        trial.stub.json(USER, user.clone());
        assert!(reason(sign_in(&trial).await).contains("userinfo"), "{user}");
    }
}

#[tokio::test]
async fn apple_s_secret_is_a_jwt_of_our_own() {
    let apple = key(JwtAlgorithm::Es256, Role::Next);
    let trial = Trial::by(&apple.file, "", "kind = 'apple'\nteam_id = 'TEAM'\nkey_id = 'KEY'").await;
    let begun = trial.begin().await;
    assert!(begun.url.query_pairs().any(|pair| pair == ("response_mode".into(), "form_post".into())));
    // Whoever comes by a relay is somebody by the subject; Apple writes the claim as a string.
    let identity = trial.sign_in(|claims| {
        claims["email"] = json!("x@privaterelay.appleid.com");
        claims["email_verified"] = json!("true");
        claims["is_private_email"] = json!("true");
    });
    let identity = identity.await.expect("an identity");
    assert_eq!(identity.email.as_deref(), Some("x@privaterelay.appleid.com"));
    assert_eq!(identity.preferred_username, None, "a name comes outside of the token, signed by nobody");

    let form = trial.stub.last("/token").form();
    let secret = &form["client_secret"];
    assert_eq!(form["client_id"], CLIENT);
    assert_eq!((&part(secret, 0)["alg"], &part(secret, 0)["kid"]), (&json!("ES256"), &json!("KEY")));
    let claims = part(secret, 1);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("TEAM"), &json!(CLIENT)));
    assert_eq!(claims["aud"], json!(trial.stub.url()));
    let lifetime = claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time");
    assert!((1..15_777_000).contains(&lifetime) && claims["iat"] == json!(trial.clock.now().timestamp()));
    let (message, signature) = secret.rsplit_once('.').expect("three parts");
    let public = DecodingKey::from_jwk(&apple.jwk().expect("a public half")).expect("a key");
    assert!(crypto::verify(signature, message.as_bytes(), &public, Algorithm::ES256).expect("a signature"));
}

const TENANT: &str = "4a2f7d1e-0b5c-4e0a-9f1d-2f6f0c3b8a11";
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

async fn microsoft(tenant: &str) -> Trial {
    let trial = Trial::at(&format!("/{tenant}/v2.0"), "kind = 'microsoft'").await;
    let in_document = match tenant {
        "common" | "organizations" => "{tenantid}",
        "consumers" => PERSONAL,
        tenant => tenant,
    };
    let issuer = format!("{}/{in_document}/v2.0", trial.stub.url());
    let discovery = crate::support::with(trial.stub.discovery(), "issuer", issuer);
    trial.stub.json(&format!("/{tenant}/v2.0/.well-known/openid-configuration"), discovery);
    trial
}

async fn of_tenant(trial: &Trial, issuer: &str, tid: Value) -> Result<ProviderIdentity, ProviderError> {
    let issuer = format!("{}/{issuer}/v2.0", trial.stub.url());
    let changed = trial.sign_in(|claims| {
        claims["iss"] = json!(issuer);
        claims["tid"] = tid;
    });
    changed.await
}

#[tokio::test]
async fn microsoft_s_issuer_is_that_of_the_tenant_in_the_token() {
    let other = "5b3f7d1e-0b5c-4e0a-9f1d-2f6f0c3b8a11";
    for (setting, issuer, tid, is_right) in [
        ("common", TENANT, json!(TENANT), true),
        ("common", PERSONAL, json!(PERSONAL), true),
        ("common", TENANT, json!(other), false),
        ("common", TENANT, Value::Null, false),
        ("common", "{tenantid}", json!("{tenantid}"), false),
        ("common", "common", json!("common"), false),
        ("common", "evil.example", json!("evil.example"), false),
        ("organizations", TENANT, json!(TENANT), true),
        ("organizations", PERSONAL, json!(PERSONAL), false),
        ("consumers", PERSONAL, json!(PERSONAL), true),
        ("consumers", TENANT, json!(TENANT), false),
        (TENANT, TENANT, json!(TENANT), true),
        (TENANT, other, json!(other), false),
    ] {
        let outcome = of_tenant(&microsoft(setting).await, issuer, tid.clone()).await;
        assert_eq!(outcome.is_ok(), is_right, "{setting} {issuer} {tid} {outcome:?}");
        assert!(is_right || reason(outcome).contains("another issuer"));
    }
}

#[tokio::test]
async fn a_key_of_one_tenant_does_not_sign_for_another() {
    let trial = microsoft("common").await;
    let set = |issuer: String| {
        let key = crate::support::with(published(signer()), "issuer", issuer);
        trial.stub.json("/keys", json!({ "keys": [key] }));
    };
    set(format!("{}/{PERSONAL}/v2.0", trial.stub.url()));
    assert!(reason(of_tenant(&trial, TENANT, json!(TENANT)).await).contains("another issuer"));
    let trial = microsoft("common").await;
    let template = format!("{}/{{tenantid}}/v2.0", trial.stub.url());
    let key = crate::support::with(published(signer()), "issuer", template);
    trial.stub.json("/keys", json!({ "keys": [key] }));
    of_tenant(&trial, TENANT, json!(TENANT)).await.expect("a key of every tenant");
}

#[tokio::test]
async fn microsoft_s_address_counts_only_where_the_domain_s_owner_has_verified_it() {
    let trial = microsoft(TENANT).await;
    let issuer = format!("{}/{TENANT}/v2.0", trial.stub.url());
    for (verified, edov, expected) in [
        (Value::Null, json!(true), true),
        (Value::Null, json!("1"), true),
        (Value::Null, json!(1), true),
        (json!(true), json!(true), true),
        (json!(true), Value::Null, false),
        (Value::Null, Value::Null, false),
        (Value::Null, json!(false), false),
        (Value::Null, json!("0"), false),
        (json!(true), json!(false), false),
        (json!(false), json!(true), false),
    ] {
        let identity = trial.sign_in(|claims| {
            claims["iss"] = json!(issuer);
            claims["tid"] = json!(TENANT);
            claims["email_verified"] = verified.clone();
            claims["xms_edov"] = edov.clone();
        });
        let identity = identity.await.expect("an identity");
        assert_eq!(identity.email.is_some(), expected, "{verified} {edov}");
        assert_eq!(identity.issuer, issuer);
    }
    let request = AuthorizationRequest::default();
    trial.provider.authorization(request).await.expect("a URL");
}
