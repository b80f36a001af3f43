//! Claims that are accepted or refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Forger, NOW, with, without};
use crate::VerifyError;

const REQUIRED: [&str; 9] = ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"];
const OPTIONAL: [&str; 4] = ["client_id", "auth_time", "acr", "amr"];

#[test]
fn a_token_without_a_required_claim_or_with_one_of_another_type_is_refused() {
    for forger in Forger::all() {
        for claim in REQUIRED {
            forger.assert_claims_refused(without(forger.claims.clone(), claim));
            let own = &forger.claims[claim];
            for value in [json!(null), json!(true), json!({}), json!({ "": own }), json!([[own]])] {
                forger.assert_claims_refused(with(forger.claims.clone(), claim, value));
            }
            forger.assert_claims_refused(forger.claims.to_string().replacen(claim, &claim.to_uppercase(), 1));
        }
        for (claim, value) in [
            ("sub", json!("ada")),
            ("sub", json!("")),
            ("sub", json!(1)),
            ("sid", json!("1")),
            ("jti", json!("1")),
            ("username", json!(1)),
            ("username", json!(["ada"])),
            ("roles", json!("admin")),
            ("roles", json!([1])),
            ("roles", json!([null])),
            ("roles", json!({ "admin": true })),
        ] {
            forger.assert_claims_refused(with(forger.claims.clone(), claim, value));
        }
    }
}

#[test]
fn an_optional_claim_may_be_absent_and_may_not_be_null_or_of_another_type() {
    for forger in Forger::all() {
        for claim in OPTIONAL {
            forger.assert_accepted(&forger.token(&forger.header, &without(forger.claims.clone(), claim)));
            for value in [json!(null), json!({}), json!([1]), json!(0.5)] {
                forger.assert_claims_refused(with(forger.claims.clone(), claim, value));
            }
        }
        for (claim, value) in [("acr", json!(2)), ("amr", json!("pwd")), ("auth_time", json!("1925000000"))] {
            forger.assert_claims_refused(with(forger.claims.clone(), claim, value));
        }
    }
}

#[test]
fn a_token_that_says_something_twice_is_refused() {
    for forger in Forger::all() {
        let claims = with(forger.claims.clone(), "unknown", json!({ "a": 1 })).to_string();
        let (but_first, but_last) = (&claims[1..], &claims[..claims.len() - 1]);
        for claim in REQUIRED.into_iter().chain(OPTIONAL).chain(["unknown"]) {
            // A name can be spelt in several ways.
            let escaped = format!("\\u{:04x}{}", u32::from(claim.as_bytes()[0]), &claim[1..]);
            for name in [claim, &escaped] {
                for value in [&forger.claims[claim], &Value::Null, &json!(["admin"])] {
                    forger.assert_claims_refused(format!("{{\"{name}\":{value},{but_first}"));
                    forger.assert_claims_refused(format!("{but_last},\"{name}\":{value}}}"));
                }
            }
        }
    }
}

/// A later dualauth may sign claims that are not known here.
#[test]
fn a_claim_that_is_not_known_is_ignored() {
    for forger in Forger::all() {
        for (claim, value) in [
            ("scope", json!("admin")),
            ("cnf", json!({})),
            ("act", json!({ "sub": "ada" })),
            ("Roles", json!(["admin"])),
            ("", json!(null)),
        ] {
            let claims = with(forger.claims.clone(), claim, value);
            let accepted = forger.assert_accepted(&forger.token(&forger.header, &claims));
            assert_eq!(accepted.roles, ["user"]);
        }
        let later = with(with(forger.claims.clone(), "acr", "aal3"), "amr", json!(["face"]));
        let accepted = forger.assert_accepted(&forger.token(&forger.header, &later));
        assert_eq!((accepted.acr.as_deref(), accepted.amr), (Some("aal3"), vec!["face".to_owned()]));
    }
}

#[test]
fn a_token_is_not_accepted_before_its_time_but_for_what_clocks_differ_by() {
    for forger in Forger::all() {
        let token =
            |claim, time: Value| forger.token(&forger.header, &with(forger.claims.clone(), claim, time));
        for claim in ["iat", "nbf"] {
            for time in [NOW + 5, NOW, 0, -1, i64::MIN] {
                forger.assert_accepted(&token(claim, json!(time)));
            }
            for time in [NOW + 6, NOW + 60, i64::MAX] {
                forger.assert_invalid(&token(claim, json!(time)));
            }
        }
        for nbf in [json!("never"), json!(null), json!(0.5), json!([NOW])] {
            forger.assert_invalid(&token("nbf", nbf));
        }
    }
}

#[test]
fn a_token_is_over_when_its_time_is() {
    for forger in Forger::all() {
        let expiring = |exp: i64| forger.token(&forger.header, &with(forger.claims.clone(), "exp", exp));
        forger.assert_accepted(&expiring(NOW + 1));
        for exp in [NOW, NOW - 1, NOW - 60, 0, -1, i64::MIN] {
            forger.assert_refused(&expiring(exp), VerifyError::TokenExpired);
        }
        let later = forger.verify_at(&expiring(NOW + 1), NOW + 1);
        assert_eq!(later.err(), Some(VerifyError::TokenExpired));
    }
}

#[test]
fn a_time_that_is_no_whole_number_of_seconds_is_refused() {
    for forger in Forger::all() {
        let claims = forger.claims.to_string();
        for claim in ["exp", "iat", "auth_time"] {
            let own = format!("\"{claim}\":{}", forger.claims[claim]);
            assert!(claims.contains(&own), "{own} in {claims}");
            // As text, because JSON numbers have no limit.
            for number in [
                format!("{NOW}.0"),
                format!("{NOW}e0"),
                format!("0{NOW}"),
                format!("+{NOW}"),
                format!("\"{NOW}\""),
                "1e309".to_owned(),
                "-1e309".to_owned(),
                "-0".to_owned(),
                "0x7fffffff".to_owned(),
                "9223372036854775808".to_owned(),
                "-9223372036854775809".to_owned(),
                "9".repeat(400),
                "NaN".to_owned(),
                "Infinity".to_owned(),
                "\"2031-01-01T00:00:00Z\"".to_owned(),
                "\"\"".to_owned(),
            ] {
                forger.assert_claims_refused(claims.replace(&own, &format!("\"{claim}\":{number}")));
            }
        }
    }
}

#[test]
fn a_token_from_elsewhere_or_for_elsewhere_is_refused() {
    for forger in Forger::all() {
        for claim in ["iss", "aud"] {
            let own = forger.claims[claim].as_str().expect("a string");
            for other in [
                json!("https://evil.example.org"),
                json!(""),
                json!("*"),
                json!(format!("{own}/")),
                json!(format!("{own} ")),
                json!(format!(" {own}")),
                json!(format!("{own}\0")),
                json!(format!("{own}.evil.example.org")),
                json!(format!("{own}#")),
                json!(format!("{own}:80")),
                json!(own.to_uppercase()),
                json!(own.replace("http:", "https:")),
                json!([own]),
                json!(["https://evil.example.org", "https://evil.example.net"]),
                json!([own, 1]),
                json!([]),
                json!({ "0": own }),
            ] {
                forger.assert_claims_refused(with(forger.claims.clone(), claim, other));
            }
        }
        let two =
            with(forger.claims.clone(), "aud", json!(["https://api.example.org", forger.claims["aud"]]));
        forger.assert_accepted(&forger.token(&forger.header, &two));
    }
}

#[test]
fn claims_that_are_no_object_are_refused() {
    for forger in Forger::all() {
        let good = forger.claims.to_string();
        for nonsense in [
            String::new(),
            " ".to_owned(),
            "null".to_owned(),
            "0".to_owned(),
            "[]".to_owned(),
            "{".to_owned(),
            "{}".to_owned(),
            "\"ada\"".to_owned(),
            format!("[{good}]"),
            format!("{good}{good}"),
            format!("{good},"),
            format!("{good}\0"),
            format!("{good}//"),
            format!("\u{feff}{good}"),
            good.replace('"', "'"),
            good.replacen('}', ",}", 1),
            json!(good).to_string(),
            forger.claims.as_object().expect("claims").values().cloned().collect::<Value>().to_string(),
            "[".repeat(4_000),
            format!("{{\"roles\":{}{}}}", "[".repeat(4_000), "]".repeat(4_000)),
            "{\"unknown\":".repeat(900),
        ] {
            forger.assert_claims_refused(nonsense);
        }
    }
}

#[test]
fn claims_that_are_not_utf_8_are_refused() {
    for forger in Forger::all() {
        let (header, good) = (forger.message(), forger.claims.to_string());
        let (header, _) = header.split_once('.').expect("two parts");
        for name in
            [&b"ad\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\\ud800", b"\\udc00\\ud800", b"\\u0000\n"]
        {
            let at = good.find("\"ada\"").expect("a name") + 1;
            let claims = [&good.as_bytes()[..at], name, &good.as_bytes()[at + 3..]].concat();
            forger.assert_invalid(&forger.sign(&format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims))));
        }
    }
}
