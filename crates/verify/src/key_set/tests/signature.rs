//! Signatures: wrong keys and other signed bytes are refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Forger, NOW, SignatureError, with};

#[test]
fn a_signature_by_another_key_or_of_another_message_is_refused() {
    for forger in Forger::all() {
        let message = forger.message();
        let (header, claims) = message.split_once('.').expect("two parts");
        forger.assert_invalid(&forger.strange().token_of(&forger.header, &forger.claims));
        let other = with(forger.claims.clone(), "jti", json!(Uuid::max()));
        let other = forger.token(&forger.header, &other);
        for other in [
            "",
            header,
            claims,
            &format!("{header}{claims}"),
            &format!("{claims}.{header}"),
            &format!("{message}."),
            &format!("{}.{}", forger.header, forger.claims),
            other.rsplit_once('.').expect("parts").0,
        ] {
            forger.assert_invalid(&format!("{message}.{}", forger.key.signature(other)));
        }
    }
}

#[test]
fn a_token_that_was_changed_is_refused() {
    for forger in Forger::all() {
        let good = forger.good_token();
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for (claim, value) in [
            ("roles", json!(["admin"])),
            ("username", json!("grace")),
            ("sub", json!(Uuid::max())),
            ("sid", json!(Uuid::max())),
            ("exp", json!(NOW + 90_000)),
        ] {
            let claims = encode(with(forger.claims.clone(), claim, value));
            forger.assert_invalid(&format!("{header}.{claims}.{signature}"));
        }
        for signature in [
            &signature[1..],
            &signature[..signature.len() - 1],
            claims,
            &"A".repeat(signature.len()),
            &format!("{signature}{signature}"),
            "",
        ] {
            forger.assert_invalid(&format!("{header}.{claims}.{signature}"));
        }
        forger.assert_accepted(&good);
    }
}

#[test]
fn a_bit_that_is_flipped_anywhere_makes_a_token_invalid() {
    for forger in Forger::all() {
        let good = forger.good_token();
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1 << (at % 7);
            let flipped = String::from_utf8(bytes).expect("ASCII stays ASCII but for the highest bit");
            assert!(forger.verify(&flipped).is_err(), "{flipped}");
        }
    }
}

#[test]
fn a_key_that_is_not_in_the_set_is_told_from_a_wrong_signature() {
    for forger in Forger::all() {
        let token = forger.strange().token(&forger.claims);
        assert_eq!(forger.keys.verify(&token).err(), Some(SignatureError::UnknownKey));
        let token = forger.strange().token_of(&forger.header, &forger.claims);
        assert_eq!(forger.keys.verify(&token).err(), Some(SignatureError::Invalid));
    }
}
