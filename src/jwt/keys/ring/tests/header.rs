//! Headers that are accepted or refused.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Forger, Role, key, message, ring_of, secret, signature, token, with, without};
use crate::config::JwtAlgorithm;
use crate::jwt::keys::key::JwtKey;

#[test]
fn a_token_without_a_signature_is_refused() {
    for forger in Forger::all() {
        for alg in ["none", "None", "NONE", "nOnE", "none ", " none", "none\0", "nоne", "null", ""] {
            for header in [
                with(forger.header.clone(), "alg", alg),
                json!({ "alg": alg }),
                json!({ "alg": alg, "typ": "JWT" }),
                json!({ "alg": alg, "typ": "at+jwt" }),
            ] {
                let unsigned = message(&header, &forger.claims);
                let good = format!("{unsigned}.{}", signature(&forger.key, &forger.message()));
                for token in [format!("{unsigned}."), unsigned.clone(), good, forger.sign(&unsigned)] {
                    forger.assert_invalid(&token);
                }
            }
        }
        let unsigned = forger.message();
        for token in [format!("{unsigned}."), unsigned] {
            forger.assert_invalid(&token);
        }
    }
}

#[test]
fn a_token_under_the_name_of_another_algorithm_is_refused() {
    for forger in Forger::all() {
        let own = forger.key.algorithm.as_str();
        for alg in [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
            "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", "RSA1_5", "RSA-OAEP", "dir", "ECDH-ES",
            "A128KW", "hs256", "eddsa", "es256", "rs256", "HS256 ", "SHA256",
        ] {
            if alg == own {
                continue;
            }
            let header = with(forger.header.clone(), "alg", alg);
            forger.assert_header_refused(&header);
            // With a valid signature of that algorithm, by a key of the attacker.
            if let Some(algorithm) = JwtAlgorithm::of_name(alg) {
                let token = token(&key(algorithm, Role::Strange), &header, &forger.claims);
                forger.assert_invalid(&token);
            }
        }
    }
}

#[test]
fn a_header_without_one_of_its_members_or_with_one_that_is_not_a_text_is_refused() {
    for forger in Forger::all() {
        for member in ["alg", "typ", "kid"] {
            let own = forger.header[member].clone();
            forger.assert_header_refused(without(forger.header.clone(), member));
            for value in [json!(null), json!(1), json!(true), json!({}), json!([]), json!(""), json!([own])] {
                forger.assert_header_refused(with(forger.header.clone(), member, value));
            }
            let capital = member.to_uppercase();
            let respelt = forger.header.to_string().replacen(member, &capital, 1);
            forger.assert_header_refused(respelt);
        }
        for nonsense in ["", "null", "[]", "{", "{}", "\"HS256\"", "{\"alg\":\"none\"}{}"] {
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
        let rest = header.strip_prefix('{').expect("an object");
        let but_last = header.strip_suffix('}').expect("an object");
        for (name, escaped) in [("alg", "\\u0061lg"), ("typ", "t\\u0079p"), ("kid", "ki\\u0064")] {
            for name in [name, escaped] {
                for value in
                    [forger.header[if name == escaped { "alg" } else { name }].clone(), json!("none")]
                {
                    forger.assert_header_refused(format!("{{\"{name}\":{value},{rest}"));
                    forger.assert_header_refused(format!("{but_last},\"{name}\":{value}}}"));
                }
            }
        }
    }
}

#[test]
fn a_header_of_the_same_members_written_in_another_way_is_as_good() {
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
            "JOSE+JSON",
        ] {
            forger.assert_header_refused(with(forger.header.clone(), "typ", typ));
        }
    }
}

#[test]
fn a_token_that_names_another_key_is_refused() {
    for forger in Forger::all() {
        for kid in [
            "another",
            "../../../../dev/null",
            "/dev/null",
            "/proc/sys/kernel/randomize_va_space",
            "file:///dev/null",
            "https://evil.example.org/key.pem",
            "' or '1'='1",
            "x' union select 'secret' --",
            "'; drop table signing_keys; --",
            "$(id)",
            "| id",
            "%s%n",
            "\0",
            "0",
        ] {
            let header = with(forger.header.clone(), "kid", kid);
            forger.assert_header_refused(&header);
            // An implementation that looks up keys by path might find an empty key or a line of a file.
            for secret in ["", "\0", "0\n", "2\n", "secret"] {
                let message = message(&with(header.clone(), "alg", "HS256"), &forger.claims);
                let mac =
                    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
                forger.assert_invalid(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac)));
            }
        }
        let own = &forger.key.kid;
        for kid in [
            format!("{own}="),
            format!("{own}\0"),
            format!(" {own}"),
            format!("{own}, {own}"),
            own[1..].to_owned(),
            own.to_lowercase(),
            own.to_uppercase(),
            own.repeat(100),
            "A".repeat(own.len()),
        ] {
            forger.assert_header_refused(with(forger.header.clone(), "kid", kid));
        }
    }
}

/// A node that learned of the rotation earlier already signs with the next key.
fn live(algorithm: JwtAlgorithm) -> [JwtKey; 3] {
    [Role::Active, Role::Superseded, Role::Next].map(|role| key(algorithm, role))
}

#[test]
fn a_token_is_verified_by_the_key_that_it_names_and_by_no_other() {
    for algorithm in JwtAlgorithm::ALL {
        let forger = Forger::of(ring_of(live(algorithm)));
        for named in live(algorithm) {
            let header = with(forger.header.clone(), "kid", named.kid.as_str());
            for signing in live(algorithm).into_iter().chain([key(algorithm, Role::Strange)]) {
                let token = token(&signing, &header, &forger.claims);
                if signing.kid == named.kid {
                    forger.assert_accepted(&token);
                } else {
                    forger.assert_invalid(&token);
                }
            }
        }
        let strange = key(algorithm, Role::Strange);
        let header = with(forger.header.clone(), "kid", strange.kid.as_str());
        forger.assert_invalid(&token(&strange, &header, &forger.claims));
    }
}

#[test]
fn a_token_that_brings_its_own_key_is_refused() {
    for forger in Forger::all() {
        let strange = key(forger.key.algorithm, Role::Strange);
        let jwk = match &strange.public {
            Some(jwk) => json!(jwk),
            None => {
                let secret = secret(strange.algorithm, Role::Strange);
                json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret.reveal()) })
            }
        };
        for kid in [&forger.key.kid, &strange.kid] {
            let header = with(with(forger.header.clone(), "jwk", jwk.clone()), "kid", kid.as_str());
            forger.assert_invalid(&token(&strange, &header, &forger.claims));
            forger.assert_header_refused(&header);
        }
        let own = forger.key.public.as_ref().map_or(json!({}), |jwk| json!(jwk));
        forger.assert_header_refused(with(forger.header.clone(), "jwk", own));
    }
}

#[test]
fn a_header_with_more_members_than_its_three_is_refused() {
    for forger in Forger::all() {
        for (member, value) in [
            ("crit", json!(["b64"])),
            ("crit", json!(["exp"])),
            ("crit", json!(["http://example.org/unknown"])),
            ("crit", json!([])),
            ("crit", json!(null)),
            ("b64", json!(false)),
            ("b64", json!(true)),
            ("jku", json!("")),
            ("x5u", json!("file:///etc/passwd")),
            ("x5c", json!(["MIIB"])),
            ("x5c", json!([])),
            ("x5t", json!("AAAA")),
            ("x5t#S256", json!("AAAA")),
            ("cty", json!("JWT")),
            ("zip", json!("DEF")),
            ("enc", json!("A128GCM")),
            ("epk", json!({})),
            ("p2c", json!(2_000_000_000)),
            ("unknown", json!(null)),
            ("", json!("")),
        ] {
            forger.assert_header_refused(with(forger.header.clone(), member, value));
        }
        let unencoded = with(with(forger.header.clone(), "crit", json!(["b64"])), "b64", false);
        forger.assert_header_refused(&unencoded);
        let unknown = with(with(forger.header.clone(), "crit", json!(["x"])), "x", 1);
        forger.assert_header_refused(&unknown);
    }
}
