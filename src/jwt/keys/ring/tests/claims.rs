//! Claims that are accepted or refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use serde_json::{Value, json};

use super::{Forger, NOW, signature, text, verify_at, with, without};
use crate::auth::AuthError;

const ALL: [&str; 9] = ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"];

#[test]
fn a_token_without_one_of_its_claims_or_with_one_of_another_type_is_refused() {
    for forger in Forger::all() {
        for claim in ALL {
            forger.assert_claims_refused(without(forger.claims.clone(), claim));
            for value in [json!(null), json!(true), json!({}), json!({ "": forger.claims[claim] })] {
                forger.assert_claims_refused(with(forger.claims.clone(), claim, value));
            }
            if claim != "roles" {
                let array = json!([forger.claims[claim]]);
                forger.assert_claims_refused(with(forger.claims.clone(), claim, array));
            }
            let capital = forger.claims.to_string().replacen(claim, &claim.to_uppercase(), 1);
            forger.assert_claims_refused(capital);
        }
        for (claim, value) in [
            ("sub", json!("ada")),
            ("sub", json!("")),
            ("sub", json!(1)),
            ("sid", json!("1")),
            ("jti", json!("1")),
            ("roles", json!("admin")),
            ("roles", json!([1])),
            ("roles", json!([null])),
            ("roles", json!([["admin"]])),
            ("username", json!(1)),
        ] {
            forger.assert_claims_refused(with(forger.claims.clone(), claim, value));
        }
    }
}

#[test]
fn a_token_that_says_something_twice_is_refused() {
    for forger in Forger::all() {
        let claims = forger.claims.to_string();
        let rest = claims.strip_prefix('{').expect("an object");
        let but_last = claims.strip_suffix('}').expect("an object");
        for claim in ALL.into_iter().chain(["client_id", "auth_time", "acr", "amr"]) {
            // The name of a claim can be spelt in several ways.
            let (first, others) = claim.split_at(1);
            let escaped = format!("\\u{:04x}{others}", u32::from(first.as_bytes()[0]));
            for name in [claim, &escaped] {
                for value in [&forger.claims[claim], &Value::Null] {
                    forger.assert_claims_refused(format!("{{\"{name}\":{value},{rest}"));
                    forger.assert_claims_refused(format!("{but_last},\"{name}\":{value}}}"));
                }
            }
        }
        forger.assert_claims_refused(format!("{{\"r\\u006fles\":[\"admin\"],{rest}"));
        forger.assert_claims_refused(format!("{but_last},\"r\\u006fles\":[\"admin\"]}}"));
    }
}

/// A node of a later version may have signed unknown claims. They are ignored, and can't replace a known claim.
#[test]
fn a_claim_that_ours_do_not_have_is_ignored_and_refused_when_it_is_repeated() {
    for forger in Forger::all() {
        for (claim, value) in [
            ("scope", json!("admin")),
            ("cnf", json!({})),
            ("act", json!({ "sub": "ada" })),
            ("nonce", json!("another")),
            ("admin", json!(true)),
            ("Roles", json!(["admin"])),
            ("_sd", json!([])),
            ("", json!(null)),
        ] {
            let more = with(forger.claims.clone(), claim, value.clone());
            let token = forger.token(&forger.header, &more);
            forger.assert_accepted(&token);
            let Ok(opened) = forger.ring.verify(&token, DateTime::UNIX_EPOCH) else { panic!("it opens") };
            assert_eq!(serde_json::to_value(&opened.claims).expect("JSON"), forger.claims);

            let claims = more.to_string();
            let but_last = claims.strip_suffix('}').expect("an object");
            let escaped: String =
                claim.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
            for name in [claim, &escaped] {
                forger.assert_claims_refused(format!("{but_last},\"{name}\":{value}}}"));
                forger.assert_claims_refused(format!("{but_last},\"{name}\":null}}"));
            }
        }
    }
}

/// Nodes of the previous version sign no `client_id`, and JWT_CLIENT_ID may have changed.
#[test]
fn a_token_of_another_client_id_or_none_is_accepted_and_one_of_no_string_is_not() {
    for forger in Forger::all() {
        forger.assert_accepted(&forger.token(&forger.header, &without(forger.claims.clone(), "client_id")));
        for client_id in ["another", "", "Dualauth"] {
            let claims = with(forger.claims.clone(), "client_id", client_id);
            forger.assert_accepted(&forger.token(&forger.header, &claims));
        }
        for client_id in [json!(null), json!(1), json!(["dualauth"]), json!({})] {
            forger.assert_claims_refused(with(forger.claims.clone(), "client_id", client_id));
        }
    }
}

/// A newer node may know more values than this one.
#[test]
fn methods_and_an_assurance_that_are_not_known_raise_nothing_and_what_is_of_another_type_is_refused() {
    for forger in Forger::all() {
        let newer = with(with(forger.claims.clone(), "acr", "aal3"), "amr", json!(["face", "pwd", "otp"]));
        let token = forger.token(&forger.header, &newer);
        forger.assert_accepted(&token);
        let Ok(opened) = forger.ring.verify(&token, DateTime::UNIX_EPOCH) else { panic!("it opens") };
        let read = serde_json::to_value(&opened.claims).expect("JSON");
        assert_eq!((&read["acr"], &read["amr"]), (&json!("aal1"), &json!(["pwd", "otp"])));
        for (claim, value) in [
            ("acr", json!(null)),
            ("acr", json!(2)),
            ("acr", json!(["aal2"])),
            ("amr", json!(null)),
            ("amr", json!("pwd")),
            ("amr", json!([1])),
            ("auth_time", json!(null)),
            ("auth_time", json!("1925000000")),
            ("auth_time", json!(0.5)),
        ] {
            forger.assert_claims_refused(with(forger.claims.clone(), claim, value));
        }
    }
}

#[test]
fn a_token_is_not_accepted_before_its_time_but_for_what_clocks_differ_by() {
    let now = NOW;
    for forger in Forger::all() {
        let not_before = |nbf: Value| with(forger.claims.clone(), "nbf", nbf);
        for nbf in [now - 600, now, now + 5, i64::MIN] {
            forger.assert_accepted(&forger.token(&forger.header, &not_before(json!(nbf))));
        }
        for nbf in [json!(now + 6), json!(i64::MAX), json!("never"), json!(null), json!(0.5), json!([now])] {
            forger.assert_claims_refused(not_before(nbf));
        }
    }
}

#[test]
fn a_token_from_elsewhere_or_for_elsewhere_is_refused() {
    for forger in Forger::all() {
        for claim in ["iss", "aud"] {
            let own = text(&forger.claims[claim]);
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
                json!(own.replace("auth", "AUTH")),
                json!(own.replace("http:", "https:")),
                json!(own.trim_start_matches("http:")),
                json!([own]),
                json!(["https://evil.example.org", "https://evil.example.net"]),
                json!([]),
                json!({ "0": own }),
            ] {
                forger.assert_claims_refused(with(forger.claims.clone(), claim, other));
            }
        }
    }
}

#[test]
fn a_token_is_over_when_its_time_is() {
    let now = NOW;
    for forger in Forger::all() {
        let expiring = |exp: i64| forger.token(&forger.header, &with(forger.claims.clone(), "exp", exp));
        forger.assert_accepted(&expiring(now + 1));
        for exp in [now, now - 1, now - 60, 1, 0, -1, i64::MIN] {
            forger.assert_expired(&expiring(exp));
        }
        let later = verify_at(&forger.ring, &expiring(now + 1), now + 1);
        assert!(matches!(later, Err(AuthError::TokenExpired)), "{later:?}");
    }
}

#[test]
fn a_token_that_is_not_issued_yet_is_refused_but_for_what_clocks_differ_by() {
    let now = NOW;
    for forger in Forger::all() {
        let issued = |iat: i64| forger.token(&forger.header, &with(forger.claims.clone(), "iat", iat));
        for iat in [now + 5, now, 0, -1, i64::MIN] {
            forger.assert_accepted(&issued(iat));
        }
        for iat in [now + 6, now + 60, i64::MAX] {
            forger.assert_invalid(&issued(iat));
        }
    }
}

#[test]
fn a_time_that_is_no_whole_number_of_seconds_is_refused() {
    let now = NOW;
    for forger in Forger::all() {
        for claim in ["exp", "iat"] {
            // As text, because JSON numbers have no limit.
            for number in [
                format!("{now}.0"),
                format!("{now}.5"),
                format!("{now}e0"),
                "1e30".to_owned(),
                "1e308".to_owned(),
                "1e309".to_owned(),
                "-1e309".to_owned(),
                "-0".to_owned(),
                "-0.0".to_owned(),
                "0x7fffffff".to_owned(),
                format!("0{now}"),
                format!("+{now}"),
                "9223372036854775808".to_owned(),
                "-9223372036854775809".to_owned(),
                "18446744073709551616".to_owned(),
                "9".repeat(400),
                "NaN".to_owned(),
                "Infinity".to_owned(),
                format!("\"{now}\""),
                "\"2031-01-01T00:00:00Z\"".to_owned(),
                "\"\"".to_owned(),
            ] {
                let own = format!("\"{claim}\":{}", forger.claims[claim]);
                let claims = forger.claims.to_string();
                assert!(claims.contains(&own), "{own} in {claims}");
                forger.assert_claims_refused(claims.replace(&own, &format!("\"{claim}\":{number}")));
            }
        }
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
            "true".to_owned(),
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
            format!("/**/{good}"),
            format!("\u{feff}{good}"),
            good.replace('"', "'"),
            good.replacen('}', ",}", 1),
            json!(good).to_string(),
            forger.claims.as_object().expect("claims").values().cloned().collect::<Value>().to_string(),
            "[".repeat(4_000),
            format!("{{\"roles\":{}", "[".repeat(4_000)),
            format!("{{\"roles\":{}{}}}", "[".repeat(4_000), "]".repeat(4_000)),
            "{\"roles\":".repeat(900),
        ] {
            forger.assert_claims_refused(nonsense);
        }
        // Not UTF-8, and half a surrogate pair.
        let message = forger.message();
        let (header, _) = message.split_once('.').expect("two parts");
        for name in
            [&b"ad\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\\ud800", b"\\udc00\\ud800", b"\\u0000\n"]
        {
            let own = format!("\"username\":{}", forger.claims["username"]);
            let at = good.find(&own).expect("a name");
            let other = [b"\"username\":\"".as_slice(), name, b"\""].concat();
            let claims = [&good.as_bytes()[..at], &other, &good.as_bytes()[at + own.len()..]].concat();
            let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
            let token = format!("{message}.{}", signature(&forger.key, &message));
            forger.assert_invalid(&token);
        }
    }
}
