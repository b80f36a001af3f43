//! The compact serialisation: other spellings and forms of a good token are refused.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{Forger, with};

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Other spellings of a part, by the unused bits of its last character.
fn with_other_last_bits(part: &str) -> Vec<String> {
    let (but_last, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.find(last).expect("base64url");
    let unused = [1, 1, 16, 4][part.len() % 4];
    let start = value - value % unused;
    let others = (start..start + unused).filter(|other| *other != value);
    others.map(|other| format!("{but_last}{}", &ALPHABET[other..=other])).collect()
}

#[test]
fn a_token_has_one_spelling() {
    for forger in Forger::all() {
        // With characters of which the standard alphabet has others.
        let token = (0..200)
            .map(|number| forger.token(&forger.header, &with(forger.claims.clone(), "number", number)))
            .find(|token| token.contains('-') && token.contains('_'))
            .expect("one of two hundred signatures");
        forger.assert_accepted(&token);
        for respelt in [token.replace('-', "+"), token.replace('_', "/"), token.replace('.', "%2E")] {
            forger.assert_invalid(&respelt);
        }
        let (message, signature) = token.rsplit_once('.').expect("parts");
        let mut spellings = with_other_last_bits(signature);
        assert!(spellings.len() > 2, "{signature}");
        spellings.extend(["=", "==", "A", "AA", " ", "\n"].map(|more| format!("{signature}{more}")));
        spellings.extend([format!("={signature}"), format!(" {signature}")]);
        for signature in spellings {
            forger.assert_invalid(&format!("{message}.{signature}"));
        }
        for padded in [format!(" {token}"), format!("{token}="), format!("{token} "), format!("\t{token}")] {
            forger.assert_invalid(&padded);
        }
    }
}

/// Even with a good signature over exactly these bytes.
#[test]
fn parts_in_another_base64_are_refused_though_they_are_signed() {
    for forger in Forger::all() {
        // A length that needs padding, and characters that differ between the alphabets.
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
        spellings.extend([URL_SAFE.encode(&claims), STANDARD_NO_PAD.encode(&claims)]);
        spellings.extend([
            format!("{part}A"),
            format!("{part}="),
            format!("{part}%3D"),
            part[1..].to_owned(),
        ]);
        for part in spellings {
            forger.assert_invalid(&forger.sign(&format!("{header}.{part}")));
        }
        for header in [format!("{header}="), format!("{header}A"), format!("{header}%")] {
            forger.assert_invalid(&forger.sign(&format!("{header}.{part}")));
        }
    }
}

#[test]
fn a_token_of_more_or_fewer_parts_or_in_another_form_is_refused() {
    for forger in Forger::all() {
        let good = forger.good_token();
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{} parts", parts.len()) };
        let json = json!({ "protected": header, "payload": claims, "signature": signature });
        for token in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            header.to_owned(),
            format!("{header}.."),
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{header}..{signature}"),
            format!(".{claims}.{signature}"),
            format!(".{good}"),
            format!("{good}."),
            format!("{good}~"),
            format!("{good}.{good}"),
            format!("{header}..{claims}.{signature}"),
            format!("{header}.{claims}..{signature}"),
            format!("{header}.{claims}.{signature}.{signature}"),
            format!("{header}..{}.{claims}.{signature}", "A".repeat(16)),
            format!("{claims}.{header}.{signature}"),
            // Signed, and still no token.
            forger.sign(&good),
            forger.sign(&forger.sign(&good)),
            forger.sign(header),
            forger.token(&forger.header, &good),
            forger.token(&forger.header, &json!(good)),
            forger.token(&forger.header, &json),
            json.to_string(),
            // dualauth's other credentials.
            "dur_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            "das_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        ] {
            forger.assert_invalid(&token);
        }
    }
}
