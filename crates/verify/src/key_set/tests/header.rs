//! Headers that are accepted or refused.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Forger, Role, SignatureError, key, set_of, with, without};
use crate::testing::ALGORITHMS;

#[test]
fn a_token_without_a_signature_is_refused() {
    for forger in Forger::all() {
        for alg in ["none", "None", "NONE", "nOnE", "none ", "none\0", "nоne", "null", ""] {
            for header in [with(forger.header.clone(), "alg", alg), json!({ "alg": alg, "typ": "at+jwt" })] {
                let signed = forger.token(&header, &forger.claims);
                let (unsigned, _) = signed.rsplit_once('.').expect("parts");
                for token in [unsigned.to_owned(), format!("{unsigned}."), signed.clone()] {
                    forger.assert_invalid(&token);
                }
            }
        }
    }
}

#[test]
fn a_token_under_the_name_of_another_algorithm_is_refused() {
    for forger in Forger::all() {
        for alg in [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS512", "ES256", "ES384",
            "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", "RSA1_5", "dir", "hs256", "eddsa", "es256",
            "rs256",
        ] {
            if alg == forger.key.alg {
                continue;
            }
            let header = with(forger.header.clone(), "alg", alg);
            forger.assert_header_refused(&header);
            // With a good signature of that algorithm, by a key of the attacker.
            if let Some(algorithm) = ALGORITHMS.iter().position(|known| *known == alg) {
                forger.assert_invalid(&key(algorithm, Role::Strange).token_of(&header, &forger.claims));
            }
        }
    }
}

/// The public key as the secret of an HMAC: the classic confusion of algorithms.
#[test]
fn a_token_with_an_hmac_of_the_public_key_is_refused() {
    for forger in Forger::all() {
        let header = URL_SAFE_NO_PAD.encode(with(forger.header.clone(), "alg", "HS256").to_string());
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(forger.claims.to_string()));
        let member = ["x", "n"].into_iter().find_map(|name| forger.key.jwk[name].as_str()).expect("a key");
        let raw = URL_SAFE_NO_PAD.decode(member).expect("base64url");
        for secret in [raw.as_slice(), member.as_bytes(), forger.key.jwk.to_string().as_bytes(), b""] {
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
            forger.assert_invalid(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac)));
        }
    }
}

#[test]
fn a_header_without_one_of_its_members_or_with_one_that_is_no_text_is_refused() {
    for forger in Forger::all() {
        for member in ["alg", "typ", "kid"] {
            let own = forger.header[member].clone();
            forger.assert_header_refused(without(forger.header.clone(), member));
            for value in [json!(null), json!(1), json!(true), json!({}), json!([]), json!(""), json!([own])] {
                forger.assert_header_refused(with(forger.header.clone(), member, value));
            }
            forger.assert_header_refused(forger.header.to_string().replacen(
                member,
                &member.to_uppercase(),
                1,
            ));
        }
        for nonsense in ["", "null", "[]", "{", "{}", "\"EdDSA\"", "{\"alg\":\"none\"}{}"] {
            forger.assert_header_refused(nonsense);
        }
        let array: Vec<&Value> = ["alg", "typ", "kid"].iter().map(|name| &forger.header[*name]).collect();
        forger.assert_header_refused(json!(array));
    }
}

#[test]
fn a_header_that_says_something_twice_is_refused() {
    for forger in Forger::all() {
        let header = forger.header.to_string();
        let (but_first, but_last) = (&header[1..], &header[..header.len() - 1]);
        for (name, escaped) in [("alg", "\\u0061lg"), ("typ", "t\\u0079p"), ("kid", "ki\\u0064")] {
            for spelling in [name, escaped] {
                for value in [&forger.header[name], &json!("none")] {
                    forger.assert_header_refused(format!("{{\"{spelling}\":{value},{but_first}"));
                    forger.assert_header_refused(format!("{but_last},\"{spelling}\":{value}}}"));
                }
            }
        }
    }
}

#[test]
fn a_header_of_the_same_members_in_another_spelling_is_as_good() {
    for forger in Forger::all() {
        let [alg, kid] = ["alg", "kid"].map(|name| &forger.header[name]);
        for header in [
            format!(r#"{{"kid":{kid},"typ":"at+jwt","alg":{alg}}}"#),
            format!("{{ \"alg\" : {alg},\n\t\"typ\": \"at\\u002bjwt\", \"kid\": {kid} }} "),
        ] {
            forger.assert_accepted(&forger.token(&header, &forger.claims));
        }
    }
}

#[test]
fn a_token_of_another_type_is_refused() {
    for forger in Forger::all() {
        for typ in [
            "JWT",
            "jwt",
            "at-jwt",
            "rt+jwt",
            "dpop+jwt",
            "logout+jwt",
            "token-introspection+jwt",
            "at+jwt ",
            " at+jwt",
            "at+jwt\0",
            "AT+JWT",
            "application/at+jwt",
            "at+jwt; charset=utf-8",
            "JOSE",
        ] {
            forger.assert_header_refused(with(forger.header.clone(), "typ", typ));
        }
    }
}

#[test]
fn a_header_with_more_members_than_its_three_is_refused() {
    for forger in Forger::all() {
        for (member, value) in [
            ("crit", json!(["b64"])),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("crit", json!(null)),
            ("b64", json!(false)),
            ("b64", json!(true)),
            ("jku", json!("https://evil.example.org/keys.json")),
            ("x5u", json!("file:///etc/passwd")),
            ("x5c", json!(["MIIB"])),
            ("x5t", json!("AAAA")),
            ("x5t#S256", json!("AAAA")),
            ("jwk", forger.key.jwk.clone()),
            ("cty", json!("JWT")),
            ("zip", json!("DEF")),
            ("enc", json!("A128GCM")),
            ("unknown", json!(null)),
            ("", json!("")),
        ] {
            forger.assert_header_refused(with(forger.header.clone(), member, value));
        }
    }
}

#[test]
fn a_token_that_brings_its_own_key_is_refused() {
    for forger in Forger::all() {
        let strange = forger.strange();
        for kid in [&forger.key.kid, &strange.kid] {
            let header = with(forger.header.clone(), "kid", kid.as_str());
            let header = with(header, "jwk", strange.jwk.clone());
            forger.assert_invalid(&strange.token_of(&header, &forger.claims));
        }
    }
}

#[test]
fn a_token_that_names_another_key_is_refused() {
    for forger in Forger::all() {
        let own = &forger.key.kid;
        for kid in [
            "another",
            "../../../../dev/null",
            "https://evil.example.org/key.pem",
            "' or '1'='1",
            "\0",
            "0",
            &format!("{own}="),
            &format!("{own}\0"),
            &format!(" {own}"),
            &own[1..],
            &own.to_lowercase(),
            &own.to_uppercase(),
            &own.repeat(100),
            &"A".repeat(own.len()),
        ] {
            forger.assert_header_refused(with(forger.header.clone(), "kid", kid));
        }
    }
}

#[test]
fn a_token_is_verified_by_the_key_that_it_names_and_by_no_other() {
    for forger in Forger::all() {
        let live = [Role::Published, Role::Next].map(|role| key(forger.algorithm, role));
        let forger = Forger { keys: set_of(live.map(|key| key.jwk.clone())), ..forger };
        for named in live {
            for signing in live.into_iter().chain([forger.strange()]) {
                let token = signing.token_of(&named.header(), &forger.claims);
                if signing.kid == named.kid {
                    forger.assert_accepted(&token);
                } else {
                    forger.assert_invalid(&token);
                }
            }
        }
    }
}

/// Only a header that may be dualauth's is a reason to ask for keys.
#[test]
fn a_key_is_looked_for_only_if_it_may_be_dualauth_s() {
    for forger in Forger::all() {
        let refusal = |header: &Value| forger.keys.verify(&forger.token(header, &forger.claims)).err();
        let unknown = with(forger.header.clone(), "kid", URL_SAFE_NO_PAD.encode([7; 32]));
        assert_eq!(refusal(&unknown), Some(SignatureError::UnknownKey));
        for header in [
            with(unknown.clone(), "alg", "HS256"),
            with(unknown.clone(), "alg", "HS384"),
            with(unknown.clone(), "typ", "JWT"),
            with(unknown.clone(), "kid", URL_SAFE_NO_PAD.encode([7; 31])),
            with(unknown.clone(), "kid", "another"),
            with(unknown.clone(), "jwk", json!({})),
            // A known key under another algorithm's name.
            with(forger.header.clone(), "alg", ALGORITHMS[(forger.algorithm + 1) % 3]),
        ] {
            assert_eq!(refusal(&header), Some(SignatureError::Invalid), "{header}");
        }
    }
}
