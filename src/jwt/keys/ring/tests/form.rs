//! The compact serialisation: other spellings and forms of a valid token are refused.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{Forger, with};

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Other spellings of a part, by the unused bits of its last base64url character.
fn with_other_last_bits(part: &str) -> Vec<String> {
    let (but_last, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.find(last).expect("base64url");
    let unused = [0, 0, 16, 4][part.len() % 4];
    let others = (0..unused).filter(|bits| *bits != value % unused.max(1));
    others.map(|bits| format!("{but_last}{}", &ALPHABET[value - value % unused + bits..][..1])).collect()
}

#[test]
fn a_token_has_one_spelling() {
    for forger in Forger::all() {
        // The standard base64 alphabet, where the two differ.
        let token = (0..100)
            .map(|number| with(forger.claims.clone(), "jti", uuid::Uuid::from_u128(number).to_string()))
            .map(|claims| forger.token(&forger.header, &claims))
            .find(|token| token.contains('-') && token.contains('_'))
            .expect("one of a hundred signatures has such characters");
        forger.assert_accepted(&token);
        for respelt in [token.replace('-', "+"), token.replace('_', "/"), token.replace('.', "%2E")] {
            forger.assert_invalid(&respelt);
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
        let mut spellings = with_other_last_bits(signature);
        let unused = if signature.len() % 4 == 2 { 15 } else { 3 };
        assert_eq!(spellings.len(), unused);
        spellings.extend([format!("{signature}="), format!("{signature}=="), format!("{signature}A")]);
        spellings.extend([format!("{signature}AA"), format!("={signature}")]);
        for signature in spellings {
            forger.assert_invalid(&format!("{header}.{claims}.{signature}"));
        }
        for (at, byte) in [(0, ' '), (header.len(), ' '), (header.len() + 1, '\t'), (token.len() - 1, ' ')] {
            let mut spaced = token.clone();
            spaced.insert(at, byte);
            // Space around a header's value is not part of it.
            if at > 0 {
                forger.assert_invalid(&spaced);
            }
        }
    }
}

/// Other forms with a valid signature over exactly these bytes: even then they are refused.
#[test]
fn parts_in_another_base64_are_refused_though_they_are_signed() {
    for forger in Forger::all() {
        // A length that needs padding, and characters that differ between the two alphabets.
        let claims = (0..9)
            .map(|spaces| with(forger.claims.clone(), "username", format!("{}>>>???", " ".repeat(spaces))))
            .map(|claims| claims.to_string())
            .find(|claims| claims.len() % 3 == 1 && URL_SAFE_NO_PAD.encode(claims).contains(['-', '_']))
            .expect("one of nine");
        let header = URL_SAFE_NO_PAD.encode(forger.header.to_string());
        let part = URL_SAFE_NO_PAD.encode(&claims);
        forger.assert_accepted(&forger.sign(&format!("{header}.{part}")));
        let mut spellings = with_other_last_bits(&part);
        assert_eq!(spellings.len(), 15);
        spellings.extend([URL_SAFE.encode(&claims), STANDARD_NO_PAD.encode(&claims), format!("{part}A")]);
        spellings.extend([format!("{part}="), part[..part.len() - 1].to_owned(), format!("{part}%3D")]);
        for part in spellings {
            forger.assert_invalid(&forger.sign(&format!("{header}.{part}")));
        }
        for header in [format!("{header}="), format!("{header}A"), format!("{header}%")] {
            forger.assert_invalid(&forger.sign(&format!("{header}.{part}")));
        }
    }
}

#[test]
fn a_token_in_a_token_is_refused() {
    for forger in Forger::all() {
        let good = forger.good_token();
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
        let encrypted = json!({ "alg": "dir", "enc": "A128GCM", "typ": "at+jwt", "kid": forger.key.kid });
        let encrypted = URL_SAFE_NO_PAD.encode(encrypted.to_string());
        let nested = with(forger.header.clone(), "cty", "JWT");
        for token in [
            forger.token(&forger.header, &good),
            forger.token(&forger.header, &json!(good)),
            forger.token(&nested, &good),
            // A JWS in JSON (RFC 7515, section 7.2).
            forger.token(
                &forger.header,
                &json!({ "protected": header, "payload": claims, "signature": signature }),
            ),
            forger.sign(&good),
            forger.sign(&forger.sign(&good)),
            // A JWE has five parts (RFC 7516, section 7.1).
            format!("{encrypted}..{}.{claims}.{signature}", "A".repeat(16)),
            format!("{header}..{}.{claims}.{signature}", "A".repeat(16)),
            format!("{header}.{claims}.{signature}.{claims}.{signature}"),
            format!("{good}.{good}"),
            format!("{good}~"),
        ] {
            forger.assert_invalid(&token);
        }
        let object = json!({ "protected": header, "payload": claims, "signature": signature });
        forger.assert_invalid(&object.to_string());
    }
}
