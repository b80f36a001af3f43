//! What the header says.

use std::net::TcpListener;

use aws_lc_rs::hmac;
use dualauth::config::JwtAlgorithm;
use serde_json::{Value, json};

use super::forger::Forger;
use crate::support::{
    signer::{Role, key, message, signed},
    with, without,
};

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    for forger in Forger::all().await {
        for alg in ["none", "None", "NONE", "nOnE", "none ", " none", "none\0", "nоne", "null", ""] {
            for header in [
                with(forger.header.clone(), "alg", alg),
                json!({ "alg": alg }),
                json!({ "alg": alg, "typ": "JWT" }),
                json!({ "alg": alg, "typ": "at+jwt" }),
            ] {
                let unsigned = message(&header, &forger.claims);
                let good = signed(&unsigned, &forger.key.signature(forger.message().as_bytes()));
                for token in [format!("{unsigned}."), unsigned.clone(), good, forger.key.sign(&unsigned)] {
                    forger.assert_refused(&token, "invalid_token").await;
                }
            }
        }
        let unsigned = forger.message();
        for token in [format!("{unsigned}."), unsigned] {
            forger.assert_refused(&token, "invalid_token").await;
        }
    }
}

#[tokio::test]
async fn a_token_under_the_name_of_another_algorithm_is_refused() {
    for forger in Forger::all().await {
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
            forger.assert_header_refused(&header).await;
            // With a good signature of that algorithm, by somebody's own key.
            if let Some(algorithm) = JwtAlgorithm::of_name(alg) {
                let token = key(algorithm, Role::Strange).token(&header, &forger.claims);
                forger.assert_refused(&token, "invalid_token").await;
            }
        }
    }
}

#[tokio::test]
async fn a_header_without_one_of_its_members_or_with_one_that_is_not_a_text_is_refused() {
    for forger in Forger::all().await {
        for member in ["alg", "typ", "kid"] {
            let own = forger.header[member].clone();
            forger.assert_header_refused(without(forger.header.clone(), member)).await;
            for value in [json!(null), json!(1), json!(true), json!({}), json!([]), json!(""), json!([own])] {
                forger.assert_header_refused(with(forger.header.clone(), member, value)).await;
            }
            let capital = member.to_uppercase();
            let respelt = forger.header.to_string().replacen(member, &capital, 1);
            forger.assert_header_refused(respelt).await;
        }
        for nonsense in ["", "null", "[]", "{", "{}", "\"HS256\"", "{\"alg\":\"none\"}{}"] {
            forger.assert_header_refused(nonsense).await;
        }
        let array: Vec<&Value> = ["alg", "typ", "kid"].iter().map(|name| &forger.header[*name]).collect();
        forger.assert_header_refused(json!(array)).await;
    }
}

#[tokio::test]
async fn a_header_that_says_something_twice_is_refused() {
    for forger in Forger::all().await {
        let header = forger.header.to_string();
        let rest = header.strip_prefix('{').expect("an object");
        let but_last = header.strip_suffix('}').expect("an object");
        for (name, escaped) in [("alg", "\\u0061lg"), ("typ", "t\\u0079p"), ("kid", "ki\\u0064")] {
            for name in [name, escaped] {
                for value in
                    [forger.header[if name == escaped { "alg" } else { name }].clone(), json!("none")]
                {
                    forger.assert_header_refused(format!("{{\"{name}\":{value},{rest}")).await;
                    forger.assert_header_refused(format!("{but_last},\"{name}\":{value}}}")).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_header_of_the_same_members_written_in_another_way_is_as_good() {
    for forger in Forger::all().await {
        let [alg, kid] = ["alg", "kid"].map(|name| &forger.header[name]);
        for header in [
            format!(r#"{{"kid":{kid},"typ":"at+jwt","alg":{alg}}}"#),
            format!("{{ \"alg\" : {alg},\n\t\"typ\": \"at\\u002bjwt\", \"kid\": {kid} }} "),
        ] {
            forger.assert_accepted(&forger.token(&header, &forger.claims)).await;
        }
    }
}

#[tokio::test]
async fn a_token_of_another_type_is_refused() {
    for forger in Forger::all().await {
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
            forger.assert_header_refused(with(forger.header.clone(), "typ", typ)).await;
        }
    }
}

#[tokio::test]
async fn a_token_that_names_another_key_is_refused() {
    for forger in Forger::all().await {
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
            forger.assert_header_refused(&header).await;
            // Whoever finds the key by such a name may find an empty one, or a line of a file.
            for secret in ["", "\0", "0\n", "2\n", "secret"] {
                let message = message(&with(header.clone(), "alg", "HS256"), &forger.claims);
                let mac =
                    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
                forger.assert_refused(&signed(&message, mac.as_ref()), "invalid_token").await;
            }
        }
        let own = forger.key.kid();
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
            forger.assert_header_refused(with(forger.header.clone(), "kid", kid)).await;
        }
        let kept: i64 = sqlx::query_scalar("select count(*) from signing_keys")
            .fetch_one(&mut forger.server.sql().await)
            .await
            .expect("the table is still there");
        assert!(kept >= 1);
    }
}

#[tokio::test]
async fn a_token_is_verified_by_the_key_that_it_names_and_by_no_other() {
    for algorithm in JwtAlgorithm::ALL {
        let forger = Forger::after_a_rotation(algorithm).await;
        let mut live = vec![key(algorithm, Role::Active), key(algorithm, Role::Superseded)];
        if algorithm != JwtAlgorithm::Hs256 {
            // A node that has heard of the next rotation before this one signs with it already.
            live.push(key(algorithm, Role::Next));
        }
        for named in &live {
            let header = with(forger.header.clone(), "kid", named.kid());
            for signing in live.iter().chain([&key(algorithm, Role::Strange)]) {
                let token = signing.token(&header, &forger.claims);
                if signing.kid() == named.kid() {
                    forger.assert_accepted(&token).await;
                } else {
                    forger.assert_refused(&token, "invalid_token").await;
                }
            }
        }
        let strange = key(algorithm, Role::Strange);
        let header = with(forger.header.clone(), "kid", strange.kid());
        forger.assert_refused(&strange.token(&header, &forger.claims), "invalid_token").await;
    }
}

#[tokio::test]
async fn a_token_that_brings_its_own_key_is_refused() {
    for forger in Forger::all().await {
        let strange = key(forger.key.algorithm, Role::Strange);
        let jwk = match strange.jwk() {
            Some(jwk) => serde_json::to_value(jwk).expect("a JWK"),
            None => json!({ "kty": "oct", "k": strange.file }),
        };
        for kid in [forger.key.kid(), strange.kid()] {
            let header = with(with(forger.header.clone(), "jwk", jwk.clone()), "kid", kid);
            forger.assert_refused(&strange.token(&header, &forger.claims), "invalid_token").await;
            forger.assert_header_refused(&header).await;
        }
        let own = forger.key.jwk().map_or(json!({}), |jwk| serde_json::to_value(jwk).expect("a JWK"));
        forger.assert_header_refused(with(forger.header.clone(), "jwk", own)).await;
    }
}

#[tokio::test]
async fn no_token_makes_the_server_fetch_a_key() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a listener");
    elsewhere.set_nonblocking(true).expect("it does not wait");
    let url = format!("http://{}/keys.json", elsewhere.local_addr().expect("an address"));
    for forger in Forger::all().await {
        let strange = key(forger.key.algorithm, Role::Strange);
        let pointing = |member: &str| with(forger.header.clone(), member, url.as_str());
        for header in [
            pointing("kid"),
            pointing("jku"),
            pointing("x5u"),
            with(pointing("jku"), "kid", strange.kid()),
            with(pointing("x5u"), "kid", strange.kid()),
        ] {
            forger.assert_refused(&strange.token(&header, &forger.claims), "invalid_token").await;
        }
    }
    let visit = elsewhere.accept().map(|(_, from)| from);
    assert!(visit.is_err(), "it was fetched: {visit:?}");
}

#[tokio::test]
async fn a_header_with_more_members_than_its_three_is_refused() {
    for forger in Forger::all().await {
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
            forger.assert_header_refused(with(forger.header.clone(), member, value)).await;
        }
        let unencoded = with(with(forger.header.clone(), "crit", json!(["b64"])), "b64", false);
        forger.assert_header_refused(&unencoded).await;
        let unknown = with(with(forger.header.clone(), "crit", json!(["x"])), "x", 1);
        forger.assert_header_refused(&unknown).await;
    }
}
