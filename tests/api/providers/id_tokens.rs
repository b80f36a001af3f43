//! ID tokens and callbacks that must not be believed, and those that must be.

use std::collections::HashMap;

use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use dualauth::config::JwtAlgorithm;
use dualauth::crypto::sha256;
use dualauth::factors::provider::AuthorizationRequest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{CLIENT, SECRET, Trial, callback, reason};
use crate::support::{
    MINUTE,
    signer::{Role, key, message, signed},
    stub_provider::{StubAnswer, published, signer},
};

fn mac(secret: &str, message: &str) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    aws_lc_rs::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

#[tokio::test]
async fn whoever_signed_in_is_known_by_issuer_and_subject() {
    let trial = Trial::with("aal2_amr = ['mfa']").await;
    let identity = trial
        .sign_in(|claims| {
            claims["auth_time"] = json!(claims["iat"]);
            claims["acr"] = json!("gold");
            claims["amr"] = json!(["pwd", "mfa"]);
            claims["preferred_username"] = json!("ada");
        })
        .await
        .expect("a good token");
    assert_eq!((identity.issuer, &*identity.subject), (trial.stub.url(), "17"));
    assert_eq!(identity.email.as_deref(), Some("ada@example.com"));
    assert_eq!(identity.preferred_username.as_deref(), Some("ada"));
    assert_eq!(identity.auth_time, Some(trial.clock.now()));
    assert_eq!((identity.acr.as_deref(), identity.amr.len()), (Some("gold"), 2));
    assert!(identity.proves_both_factors && identity.tokens.is_none());
}

#[tokio::test]
async fn the_browser_and_the_code_are_bound_to_the_attempt() {
    let trial = Trial::new().await;
    let request = AuthorizationRequest { reauthenticate: true };
    let begun = trial.provider.authorization(request).await.expect("a URL");
    let other = trial.provider.authorization(request).await.expect("a URL");
    assert_ne!(begun.state.hash(), other.state.hash());
    let query: HashMap<_, _> = begun.url.query_pairs().into_owned().collect();
    let challenge = data_encoding::BASE64URL_NOPAD.encode(&sha256(begun.verifier.expose_secret().as_bytes()));
    for (name, value) in [
        ("tenant", "x"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://auth.example.com/providers/stub/callback"),
        ("scope", "openid email profile"),
        ("state", begun.state.reveal()),
        ("nonce", begun.nonce.as_deref().expect("one")),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("max_age", "0"),
    ] {
        assert_eq!(query[name], value, "{name}");
    }
    let _ = trial.sign_in(|_| ()).await.expect("a good token");
    let asked = trial.stub.last("/token");
    let form = asked.form();
    assert_eq!((&*form["grant_type"], &*form["code"]), ("authorization_code", "the code"));
    assert_eq!(form["redirect_uri"], "https://auth.example.com/providers/stub/callback");
    assert_eq!(form["code_verifier"].len(), 43);
    // RFC 6749, section 2.3.1: encoded as in a form.
    let basic = data_encoding::BASE64.encode(b"our+client:hunter2+%26+more");
    assert_eq!(asked.header("authorization"), Some(&*format!("Basic {basic}")));
    assert!(!form.contains_key("client_secret"));
}

#[tokio::test]
async fn the_secret_goes_where_the_provider_wants_it() {
    let trial = Trial::new().await;
    let mut discovery = trial.stub.discovery();
    discovery["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt", "client_secret_post"]);
    trial.stub.json("/.well-known/openid-configuration", discovery);
    trial.sign_in(|_| ()).await.expect("a good token");
    let asked = trial.stub.last("/token");
    assert_eq!((&*asked.form()["client_id"], &*asked.form()["client_secret"]), (CLIENT, SECRET));
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn a_claim_that_is_not_right_is_refused() {
    let trial = Trial::with("client_ids = ['our app']").await;
    let now = trial.clock.now().timestamp();
    type Change = (&'static str, Value);
    let table: &[(&[Change], &str)] = &[
        (&[("iss", json!("https://evil.example"))], "another issuer"),
        (&[("iss", json!(format!("{}/", trial.stub.url())))], "another issuer"),
        (&[("sub", json!(""))], "without a subject"),
        (&[("sub", json!("x".repeat(256)))], "without a subject"),
        (&[("sub", json!(17))], "malformed"),
        (&[("sub", Value::Null)], "malformed"),
        (&[("aud", json!("another client"))], "another audience"),
        (&[("aud", json!([]))], "another audience"),
        (&[("aud", json!("our app"))], "another audience"),
        (&[("aud", json!([CLIENT, "another client"])), ("azp", json!(CLIENT))], "another audience"),
        (&[("aud", json!([CLIENT, "our app"]))], "another party"),
        (&[("aud", json!([CLIENT, "our app"])), ("azp", json!("our app"))], "another party"),
        (&[("azp", json!("another client"))], "another party"),
        (&[("azp", json!(""))], "another party"),
        (&[("nonce", Value::Null)], "nonce"),
        (&[("nonce", json!(""))], "nonce"),
        (&[("nonce", json!("another"))], "nonce"),
        (&[("exp", json!(now - 61))], "expired"),
        (&[("exp", Value::Null)], "malformed"),
        (&[("exp", json!("2040"))], "malformed"),
        (&[("exp", json!(-1))], "malformed"),
        (&[("iat", json!(now + 61))], "not valid yet"),
        (&[("iat", Value::Null)], "malformed"),
        (&[("nbf", json!(now + 61))], "not valid yet"),
    ];
    for (changes, expected) in table {
        let changed = trial.sign_in(|claims| {
            for (claim, value) in *changes {
                claims[*claim] = value.clone();
            }
        });
        let told = reason(changed.await);
        assert!(told.contains(expected), "{changes:?}: {told}");
    }
    for (claim, value) in [
        ("aud", json!([CLIENT])),
        ("azp", json!(CLIENT)),
        ("exp", json!(now - 59)),
        ("iat", json!(now + 59)),
        ("exp", json!(1_925_000_300.5)),
    ] {
        trial.sign_in(|claims| claims[claim] = value.clone()).await.expect(claim);
    }
}

#[tokio::test]
async fn a_signature_that_proves_nothing_is_refused() {
    let trial = Trial::new().await;
    let strange = key(JwtAlgorithm::Es256, Role::Strange);
    let kid = signer().kid();
    let good = json!({ "alg": "ES256", "kid": kid });
    let other_header = |header: Value| move |claims: &Value| signer().token(&header, claims);
    let hmac = |secret: &'static str| {
        let header = json!({ "alg": "HS256", "kid": kid });
        move |claims: &Value| {
            let message = message(&header, claims);
            signed(&message, &mac(secret, &message))
        }
    };
    type Make = Box<dyn Fn(&Value) -> String>;
    let table: Vec<(&str, Make, &str)> = vec![
        ("none", Box::new(|claims| format!("{}.", message(&json!({ "alg": "none" }), claims))), "algorithm"),
        ("None", Box::new(other_header(json!({ "alg": "None", "kid": kid }))), "algorithm"),
        ("the client's secret", Box::new(hmac(SECRET)), "algorithm"),
        ("the public key as a secret", Box::new(hmac("public")), "algorithm"),
        ("ES384", Box::new(other_header(json!({ "alg": "ES384", "kid": kid }))), "algorithm"),
        ("RS256 with a P-256 key", Box::new(other_header(json!({ "alg": "RS256", "kid": kid }))), "not in"),
        ("crit", Box::new(other_header(json!({ "alg": "ES256", "kid": kid, "crit": ["x"] }))), "algorithm"),
        ("no alg", Box::new(other_header(json!({ "kid": kid }))), "malformed"),
        (
            "a strange key",
            Box::new({
                let good = good.clone();
                move |claims| strange.token(&good, claims)
            }),
            "signature",
        ),
        (
            "a strange key and its kid",
            Box::new(move |claims| strange.token(&json!({ "alg": "ES256", "kid": strange.kid() }), claims)),
            "not in the issuer's set",
        ),
        (
            "a key in the header",
            Box::new(move |claims| {
                strange.token(&json!({ "alg": "ES256", "jwk": published(strange) }), claims)
            }),
            "signature",
        ),
        (
            "changed claims",
            Box::new({
                let good = good.clone();
                move |claims| {
                    let token = signer().token(&good, claims);
                    let [_, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
                        panic!("{token}")
                    };
                    let other = message(&good, &crate::support::with(claims.clone(), "sub", "18"));
                    format!("{other}.{signature}")
                }
            }),
            "signature",
        ),
        (
            "no signature",
            Box::new({
                let good = good.clone();
                move |claims| format!("{}.", message(&good, claims))
            }),
            "signature",
        ),
        ("no JWT", Box::new(|_| "a.b".to_owned()), "malformed"),
        ("five parts", Box::new(|_| "a.b.c.d.e".to_owned()), "malformed"),
        (
            "too long",
            Box::new({
                let good = good.clone();
                move |claims| {
                    let long = crate::support::with(claims.clone(), "x", "x".repeat(20_000));
                    signer().token(&good, &long)
                }
            }),
            "malformed",
        ),
    ];
    for (what, make, expected) in table {
        let told = reason(trial.sign_in_by(|_| (), make).await);
        assert!(told.contains(expected), "{what}: {told}");
    }
}

#[tokio::test]
async fn each_accepted_algorithm_verifies_whatever_else_is_in_the_set() {
    let trial = Trial::new().await;
    let [rsa, ec, ed] =
        [JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa].map(|it| key(it, Role::Active));
    let mut rsa_key = published(rsa);
    rsa_key.as_object_mut().expect("an object").remove("alg");
    trial.stub.json(
        "/keys",
        json!({ "keys": [
        { "kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256" },
        { "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "521" },
        { "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "alg": "ES256K" },
        { "kty": "OKP", "crv": "X25519", "x": "AA" },
        { "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" },
        { "kty": "RSA", "n": "!", "e": "AQAB" },
        { "kty": "RSA", "n": 5 },
        { "kid": "nothing" },
        "text", null, 7,
        crate::support::with(published(ec), "use", "enc"),
        rsa_key, published(ec), published(ed),
    ] }),
    );
    type Make = Box<dyn Fn(&Value) -> String>;
    let rsa_token = |alg: &'static str, padding: &'static dyn aws_lc_rs::signature::RsaEncoding| -> Make {
        Box::new(move |claims| {
            let message = message(&json!({ "alg": alg, "kid": rsa.kid() }), claims);
            signed(&message, &rsa.rsa_signature(padding, message.as_bytes()).expect("an RSA key"))
        })
    };
    let table: Vec<(&str, Make)> = vec![
        ("RS256", rsa_token("RS256", &RSA_PKCS1_SHA256)),
        ("PS256", rsa_token("PS256", &RSA_PSS_SHA256)),
        ("ES256", Box::new(|claims| ec.token(&json!({ "alg": "ES256", "kid": ec.kid() }), claims))),
        ("EdDSA", Box::new(|claims| ed.token(&json!({ "alg": "EdDSA", "kid": ed.kid() }), claims))),
        ("without a kid", Box::new(|claims| ed.token(&json!({ "alg": "EdDSA" }), claims))),
    ];
    for (what, make) in table {
        trial.sign_in_by(|_| (), make).await.expect(what);
    }
    let mixed = rsa_token("PS256", &RSA_PKCS1_SHA256);
    assert!(reason(trial.sign_in_by(|_| (), mixed).await).contains("signature"));
}

#[tokio::test]
async fn without_a_kid_one_of_several_keys_is_not_guessed() {
    let trial = Trial::new().await;
    let strange = key(JwtAlgorithm::Es256, Role::Strange);
    trial.stub.json("/keys", json!({ "keys": [published(strange), published(signer())] }));
    let told = trial.sign_in_by(|_| (), |claims| signer().token(&json!({ "alg": "ES256" }), claims));
    assert!(reason(told.await).contains("not in the issuer's set"));
}

#[tokio::test]
async fn a_new_key_is_fetched_once_a_minute_at_most() {
    let trial = Trial::new().await;
    trial.sign_in(|_| ()).await.expect("a good token");
    let next = key(JwtAlgorithm::Es256, Role::Next);
    let by_next = |claims: &Value| next.token(&json!({ "alg": "ES256", "kid": next.kid() }), claims);
    let strange = key(JwtAlgorithm::Es256, Role::Strange);
    let by_strange = |claims: &Value| strange.token(&json!({ "alg": "ES256", "kid": strange.kid() }), claims);
    trial.stub.json("/keys", json!({ "keys": [published(next)] }));
    trial.sign_in_by(|_| (), by_next).await.expect("the new key");
    assert_eq!(trial.stub.asked("/keys"), 2);
    for _ in 0..3 {
        assert!(reason(trial.sign_in_by(|_| (), by_strange).await).contains("not in the issuer's set"));
    }
    assert_eq!(trial.stub.asked("/keys"), 2, "whoever makes up a kid is no load on the provider");
    trial.sign_in_by(|_| (), by_next).await.expect("a key that is known");
    trial.stub.json("/keys", json!({ "keys": [published(next), published(strange)] }));
    trial.clock.advance(MINUTE);
    trial.sign_in_by(|_| (), by_strange).await.expect("a key that is there by now");
    assert_eq!(trial.stub.asked("/keys"), 3);
    // A key that is withdrawn is forgotten, if not at once.
    trial.stub.json("/keys", json!({ "keys": [published(next)] }));
    trial.clock.advance(61 * MINUTE);
    assert!(reason(trial.sign_in_by(|_| (), by_strange).await).contains("not in the issuer's set"));
}

#[tokio::test]
async fn a_callback_of_another_issuer_is_refused() {
    let trial = Trial::new().await;
    let begun = trial.begin().await;
    let wrong = Some("https://evil.example");
    assert!(reason(trial.come_back(&begun, wrong).await).contains("callback"));
    let mut discovery = trial.stub.discovery();
    discovery["authorization_response_iss_parameter_supported"] = json!(true);
    let trial = Trial::new().await;
    discovery["issuer"] = json!(trial.stub.url());
    discovery["token_endpoint"] = json!(format!("{}/token", trial.stub.url()));
    trial.stub.json("/.well-known/openid-configuration", discovery);
    let begun = trial.begin().await;
    assert!(reason(trial.come_back(&begun, None).await).contains("callback"), "it is announced, and missing");
    assert!(reason(trial.come_back(&begun, wrong).await).contains("callback"));
    assert_eq!(trial.stub.asked("/token"), 0, "the code of one provider is not shown to another");
    let own = trial.stub.url();
    assert!(!reason(trial.come_back(&begun, Some(&own)).await).contains("callback"));
    assert_eq!(trial.stub.asked("/token"), 1);
}

#[tokio::test]
async fn an_address_counts_if_it_is_verified_and_one() {
    let trial = Trial::new().await;
    for (verified, address, expected) in [
        (json!(true), json!("ada@example.com"), true),
        (json!("true"), json!("ada@example.com"), true),
        (json!(false), json!("ada@example.com"), false),
        (json!("false"), json!("ada@example.com"), false),
        (json!("True"), json!("ada@example.com"), false),
        (json!("yes"), json!("ada@example.com"), false),
        (json!("1"), json!("ada@example.com"), false),
        (json!(1), json!("ada@example.com"), false),
        (json!({}), json!("ada@example.com"), false),
        (Value::Null, json!("ada@example.com"), false),
        (json!(true), json!("no address"), false),
        (json!(true), json!(["ada@example.com"]), false),
        (json!(true), Value::Null, false),
    ] {
        let identity = trial.sign_in(|claims| {
            claims["email"] = address.clone();
            claims["email_verified"] = verified.clone();
            claims["xms_edov"] = json!(true);
        });
        let identity = identity.await.expect("a good token");
        assert_eq!(identity.email.is_some(), expected, "{verified} {address}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_in_the_token_is_asked_for() {
    let trial = Trial::new().await;
    let mut discovery = trial.stub.discovery();
    discovery["userinfo_endpoint"] = json!(format!("{}/userinfo", trial.stub.url()));
    trial.stub.json("/.well-known/openid-configuration", discovery);
    let without_address = |claims: &mut Value| {
        claims["email"] = Value::Null;
        claims["email_verified"] = Value::Null;
    };
    let info = |sub: &str, verified: Value| {
        let info = json!({ "sub": sub, "email": "bea@example.com", "email_verified": verified });
        trial.stub.json("/userinfo", info);
    };
    info("17", json!(true));
    let identity = trial.sign_in(without_address).await.expect("an identity");
    assert_eq!(identity.email.as_deref(), Some("bea@example.com"));
    assert_eq!(trial.stub.last("/userinfo").header("authorization"), Some("Bearer at"));
    info("17", json!(false));
    assert_eq!(trial.sign_in(without_address).await.expect("an identity").email, None);
    info("18", json!(true));
    assert!(reason(trial.sign_in(without_address).await).contains("another subject"));
    trial.stub.answer("/userinfo", StubAnswer::Status(401, json!({})));
    assert!(reason(trial.sign_in(without_address).await).contains("status 401"));
    // What the token denies, no other word makes good.
    info("17", json!(true));
    let denied = trial.sign_in(|claims| claims["email_verified"] = json!(false)).await;
    assert_eq!(denied.expect("an identity").email, None);
    let denied = |claims: &mut Value| {
        claims["email"] = Value::Null;
        claims["email_verified"] = json!(false);
    };
    assert_eq!(trial.sign_in(denied).await.expect("an identity").email, None);
}

#[tokio::test]
async fn a_step_up_believes_only_a_new_authentication() {
    let trial = Trial::new().await;
    let asked_at = trial.clock.now();
    for (auth_time, is_new) in [
        (json!(asked_at.timestamp()), true),
        (json!(asked_at.timestamp() + 20), true),
        (json!(asked_at.timestamp() - 10), true),
        (json!(asked_at.timestamp() - 11), false),
        (json!(asked_at.timestamp() - 61), false),
        (json!(asked_at.timestamp().to_string()), false),
        (Value::Null, false),
    ] {
        let begun = trial.begin().await;
        let mut claims = trial.claims(begun.nonce.as_deref().expect("one"));
        claims["auth_time"] = auth_time.clone();
        let token = signer().token(&json!({ "alg": "ES256", "kid": signer().kid() }), &claims);
        trial.stub.json("/token", json!({ "access_token": "at", "id_token": token }));
        let mut callback = callback(&begun, None);
        callback.authenticated_since = Some(asked_at);
        assert_eq!(trial.provider.identify(callback).await.is_ok(), is_new, "{auth_time}");
    }
}

#[tokio::test]
async fn an_apps_own_id_token_is_bound_by_its_nonce() {
    let trial = Trial::with("client_ids = ['our app']").await;
    let header = json!({ "alg": "ES256", "kid": signer().kid() });
    let token = |change: &dyn Fn(&mut Value)| {
        let mut claims = trial.claims("n");
        change(&mut claims);
        signer().token(&header, &claims)
    };
    for (what, change) in [
        ("the client", &(|_: &mut Value| ()) as &dyn Fn(&mut Value)),
        ("the app", &|claims| claims["aud"] = json!("our app")),
        // As Google's phones have it.
        ("the client's, issued to the app", &|claims| claims["azp"] = json!("our app")),
    ] {
        trial.provider.verify_id_token(&token(change), "n").await.expect(what);
    }
    let other = token(&|claims| claims["aud"] = json!("another app"));
    assert!(reason(trial.provider.verify_id_token(&other, "n").await).contains("audience"));
    let other = token(&|claims| claims["azp"] = json!("another app"));
    assert!(reason(trial.provider.verify_id_token(&other, "n").await).contains("party"));
    let good = token(&|_| ());
    for nonce in ["m", "", "N"] {
        assert!(reason(trial.provider.verify_id_token(&good, nonce).await).contains("nonce"));
    }
    trial.clock.advance(7 * MINUTE);
    assert!(reason(trial.provider.verify_id_token(&good, "n").await).contains("expired"));
}
