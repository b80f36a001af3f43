//! Signatures: wrong keys, algorithms and signed bytes are refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Forger, NOW, Role, key, sign, signature, with};

#[test]
fn a_signature_by_another_key_or_of_another_message_is_refused() {
    for forger in Forger::all() {
        let message = forger.message();
        let (header, claims) = message.split_once('.').expect("two parts");
        let strange = key(forger.key.algorithm, Role::Strange);
        forger.assert_invalid(&sign(&strange, &message));
        let other = with(forger.claims.clone(), "jti", json!(uuid::Uuid::max()));
        let other_message = super::message(&forger.header, &other);
        for other in [
            String::new(),
            header.to_owned(),
            claims.to_owned(),
            format!("{header}{claims}"),
            format!("{claims}.{header}"),
            format!("{message}."),
            forger.claims.to_string(),
            format!("{}.{}", forger.header, forger.claims),
            other_message,
        ] {
            forger.assert_invalid(&format!("{message}.{}", signature(&forger.key, &other)));
        }
    }
}

#[test]
fn a_token_that_was_changed_is_refused() {
    for forger in Forger::all() {
        let good = forger.good_token();
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            panic!("a token of {} parts", parts.len());
        };
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for (claim, value) in [
            ("roles", json!(["admin"])),
            ("username", json!("grace")),
            ("sub", json!(uuid::Uuid::max())),
            ("sid", json!(uuid::Uuid::max())),
            ("exp", json!(NOW + 90_000)),
        ] {
            let claims = encode(with(forger.claims.clone(), claim, value));
            let token = format!("{header}.{claims}.{signature}");
            forger.assert_invalid(&token);
        }
        for token in [
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{header}..{signature}"),
            format!("{header}.{claims}.{signature}."),
            format!("{header}..{claims}.{signature}"),
            format!("{header}.{claims}..{signature}"),
            format!("{header}.{claims}.{signature}.{signature}"),
            format!("{header}.{header}.{claims}.{signature}"),
            format!("{header}.{claims}.{}", &signature[1..]),
            format!("{header}.{claims}.{}", &signature[..signature.len() - 1]),
            format!("{header}.{claims}.{claims}"),
            format!("{claims}.{header}.{signature}"),
            format!("{header}.{signature}.{claims}"),
            header.to_owned(),
            format!("{header}.."),
            format!("{header}."),
            format!(".{claims}.{signature}"),
            format!(".{good}"),
            format!(" {good}"),
            format!("{header}=.{claims}.{signature}"),
            format!("{header}.{claims}.{}", "A".repeat(signature.len())),
            "..".to_owned(),
            ".".to_owned(),
            String::new(),
        ] {
            forger.assert_invalid(&token);
        }
        forger.assert_accepted(&good);
    }
}
