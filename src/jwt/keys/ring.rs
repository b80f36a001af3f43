//! The signing keys that a node knows, as they were when it last read them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet};

use super::KeyState;
use super::key::{Key, named_kid};
use crate::jwt::claims::{Claims, decode};

/// A key in the ring.
pub(super) struct Entry {
    pub(super) key: Arc<Key>,
    pub(super) state: KeyState,
    pub(super) created_at: DateTime<Utc>,
    pub(super) activated_at: Option<DateTime<Utc>>,
    /// It is retired from then on.
    pub(super) verify_until: Option<DateTime<Utc>>,
}

impl Entry {
    fn verifies_at(&self, now: DateTime<Utc>) -> bool {
        self.verify_until.is_none_or(|until| now < until)
    }
}

/// A token whose signature is good, and the key that it is good by.
pub(in crate::jwt) struct Opened {
    key: Arc<Key>,
    pub(in crate::jwt) claims: Claims,
}

/// Why a token does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Its signature is bad, or it is no token.
    Invalid,
    /// It names a key that is not in the ring, and that may be newer.
    UnknownKey,
}

/// All keys that verify, and the one that signs.
#[derive(Default)]
pub(super) struct Ring {
    entries: Vec<Entry>,
    signing: Option<String>,
}

impl Ring {
    /// Of these keys, of which one signs.
    pub(super) fn new(entries: Vec<Entry>, signing: Option<String>) -> Self {
        Self { entries, signing }
    }

    pub(super) fn of_state(&self, state: KeyState) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.state == state)
    }

    pub(super) fn of_kid(&self, kid: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.kid == kid)
    }

    /// The key that this node signs with.
    pub(super) fn signing(&self) -> Option<&Entry> {
        self.of_kid(self.signing.as_ref()?).filter(|entry| entry.key.can_sign())
    }

    /// What a token says, if it is of one of these keys.
    pub(super) fn open(&self, token: &str, now: DateTime<Utc>) -> Result<Opened, Closed> {
        let (message, signature) = token.rsplit_once('.').ok_or(Closed::Invalid)?;
        let (header, claims) = message.split_once('.').ok_or(Closed::Invalid)?;
        let Some(entry) = self.entries.iter().find(|entry| entry.key.is_of(header)) else {
            // A key that is known does not change its algorithm: no look would tell more.
            let names_an_unknown = named_kid(header).is_some_and(|kid| self.of_kid(&kid).is_none());
            return Err(if names_an_unknown { Closed::UnknownKey } else { Closed::Invalid });
        };
        if !entry.verifies_at(now) || !entry.key.verifies(message.as_bytes(), signature) {
            return Err(Closed::Invalid);
        }
        let claims = decode(claims).ok_or(Closed::Invalid)?;
        Ok(Opened { key: Arc::clone(&entry.key), claims })
    }

    /// Whether what was opened before would open now.
    pub(super) fn accepts(&self, opened: &Opened, now: DateTime<Utc>) -> bool {
        self.entries.iter().any(|entry| Arc::ptr_eq(&entry.key, &opened.key) && entry.verifies_at(now))
    }

    /// The algorithms by which others verify (RFC 7518, section 3.1).
    pub(super) fn published_algorithms(&self, now: DateTime<Utc>) -> Vec<&'static str> {
        let published = |entry: &&Entry| entry.verifies_at(now) && entry.key.public.is_some();
        let algorithms: BTreeSet<_> =
            self.entries.iter().filter(published).map(|entry| entry.key.algorithm.as_str()).collect();
        algorithms.into_iter().collect()
    }

    /// The public halves of all that verify, also of the next one (RFC 7517, section 5).
    pub(super) fn public(&self, now: DateTime<Utc>) -> JwkSet {
        let verifying = self.entries.iter().filter(|entry| entry.verifies_at(now));
        JwkSet { keys: verifying.filter_map(|entry| entry.key.public.clone()).collect::<Vec<Jwk>>() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::auth::Audience;
    use crate::auth::AuthError;
    use crate::config::JwtAlgorithm;
    use crate::jwt::keys::key::generate;
    use crate::tokens::SecretBytes;

    const NOW: i64 = 1_790_000_000;

    pub(super) fn secret(algorithm: JwtAlgorithm) -> SecretBytes {
        static SECRETS: LazyLock<Vec<SecretBytes>> =
            LazyLock::new(|| JwtAlgorithm::ALL.map(|it| generate(it).expect("a new key")).to_vec());
        SECRETS[algorithm as usize].clone()
    }

    fn key() -> Key {
        Key::private(JwtAlgorithm::Hs256, &secret(JwtAlgorithm::Hs256)).expect("a good key")
    }

    pub(super) fn ring_of(key: Key) -> Ring {
        let entry = Entry {
            key: Arc::new(key),
            state: KeyState::Active,
            created_at: DateTime::UNIX_EPOCH,
            activated_at: Some(DateTime::UNIX_EPOCH),
            verify_until: None,
        };
        Ring::new(vec![entry], None)
    }

    pub(super) fn claims() -> Value {
        json!({
            "iss": "here", "aud": "there", "sub": Uuid::nil(), "iat": NOW, "exp": NOW + 900, "jti": Uuid::nil(),
            "sid": Uuid::nil(), "username": "ada", "roles": ["user"],
        })
    }

    fn header() -> Value {
        json!({"alg": "HS256", "typ": "at+jwt", "kid": key().kid})
    }

    /// Signed by the real key, whatever it says: what is refused is refused for what it says.
    fn signed(header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{message}.{}", key().signature(message.as_bytes()).expect("a signature"))
    }

    fn verify(ring: &Ring, token: &str) -> Result<(), AuthError> {
        let opened = ring.open(token, DateTime::UNIX_EPOCH).map_err(|_| AuthError::InvalidToken)?;
        opened.claims.check("here", &Audience::One("there".to_owned()), NOW)
    }

    fn outcome(header: &str, claims: &str) -> &'static str {
        match verify(&ring_of(key()), &signed(header, claims)) {
            Ok(()) => "accepted",
            Err(AuthError::TokenExpired) => "expired",
            Err(_) => "invalid",
        }
    }

    fn with(mut object: Value, name: &str, value: Value) -> String {
        object[name] = value;
        object.to_string()
    }

    fn without(mut object: Value, name: &str) -> String {
        object.as_object_mut().expect("an object").remove(name);
        object.to_string()
    }

    #[test]
    fn this_header_and_these_claims_are_accepted() {
        assert_eq!(outcome(&header().to_string(), &claims().to_string()), "accepted");
    }

    #[test]
    fn a_header_with_more_less_or_other_members_is_refused() {
        let claims = claims().to_string();
        for (name, value) in [
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("jku", json!("https://evil.example/keys")),
            ("x5u", json!("https://evil.example/cert")),
            ("jwk", json!({"kty": "oct", "k": "AA"})),
            ("cty", json!("JWT")),
            ("typ", json!("JWT")),
            ("typ", json!("AT+JWT")),
            ("alg", json!("HS384")),
            ("alg", json!("none")),
            ("alg", json!("RS256")),
            ("kid", json!("../../dev/null")),
            ("kid", json!(null)),
        ] {
            assert_eq!(outcome(&with(header(), name, value.clone()), &claims), "invalid", "{name}: {value}");
        }
        for name in ["alg", "typ", "kid"] {
            assert_eq!(outcome(&without(header(), name), &claims), "invalid", "without {name}");
        }
        let repeated = format!(r#"{{"alg":"HS256","alg":"HS256","typ":"at+jwt","kid":"{}"}}"#, key().kid);
        assert_eq!(outcome(&repeated, &claims), "invalid");
        let array = format!(r#"["HS256","at+jwt","{}"]"#, key().kid);
        assert_eq!(outcome(&array, &claims), "invalid");
    }

    #[test]
    fn claims_with_less_or_other_members_are_refused() {
        let header = header().to_string();
        for (name, value) in [
            ("iss", json!("elsewhere")),
            ("iss", json!(["here"])),
            ("aud", json!("elsewhere")),
            ("aud", json!(["there"])),
            ("iat", json!(NOW + 6)),
            ("exp", json!("tomorrow")),
            ("exp", json!(1e300)),
            ("nbf", json!(NOW + 6)),
            ("nbf", json!(null)),
            ("sub", json!("ada")),
        ] {
            assert_eq!(outcome(&header, &with(claims(), name, value.clone())), "invalid", "{name}: {value}");
        }
        for name in ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"] {
            assert_eq!(outcome(&header, &without(claims(), name)), "invalid", "without {name}");
        }
        let repeated = claims().to_string().replacen('{', &format!(r#"{{"exp":{},"#, NOW + 9_000), 1);
        assert_eq!(outcome(&header, &repeated), "invalid");
        assert_eq!(outcome(&header, r#"["here","there"]"#), "invalid");
        assert_eq!(outcome(&header, "null"), "invalid");
    }

    #[test]
    fn claims_of_a_later_version_are_ignored() {
        let header = header().to_string();
        for (name, value) in
            [("client_id", json!("dualauth")), ("act", json!({})), ("", json!(null)), ("nbf", json!(NOW))]
        {
            assert_eq!(outcome(&header, &with(claims(), name, value.clone())), "accepted", "{name}: {value}");
        }
        let repeated = claims().to_string().replacen('{', r#"{"later":1,"l\u0061ter":1,"#, 1);
        assert_eq!(outcome(&header, &repeated), "invalid");
    }

    #[test]
    fn a_token_is_expired_at_the_very_second_of_its_end() {
        let header = header().to_string();
        assert_eq!(outcome(&header, &with(claims(), "exp", json!(NOW))), "expired");
        assert_eq!(outcome(&header, &with(claims(), "exp", json!(NOW + 1))), "accepted");
    }

    #[test]
    fn another_form_of_the_same_token_is_refused() {
        let token = signed(&header().to_string(), &claims().to_string());
        let verifies = |token: &str| verify(&ring_of(key()), token).is_ok();
        assert!(verifies(&token));
        let parts: Vec<&str> = token.split('.').collect();
        for other in [
            format!("{token}="),
            format!("{token}."),
            format!(" {token}"),
            format!(".{token}"),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][..parts[2].len() - 1]),
            format!("{}.{}.{}", parts[0], parts[1], "A".repeat(parts[2].len())),
        ] {
            assert!(!verifies(&other), "{other}");
        }
    }

    #[test]
    fn another_key_s_token_is_refused() {
        for algorithm in JwtAlgorithm::ALL {
            let own = Key::private(algorithm, &secret(algorithm)).expect("a good key");
            let other =
                Key::private(algorithm, &generate(algorithm).expect("a new key")).expect("a good key");
            let claims: Claims = serde_json::from_value(claims()).expect("claims");
            let token = |key: &Key| key.sign(&claims).expect("a token");
            let (good, bad) = (token(&own), token(&other));
            let (signed, _) = good.rsplit_once('.').expect("a signature");
            let (_, foreign) = bad.rsplit_once('.').expect("a signature");
            let ring = ring_of(own);
            assert!(verify(&ring, &good).is_ok());
            assert_eq!(ring.open(&bad, DateTime::UNIX_EPOCH).err(), Some(Closed::UnknownKey));
            let mixed = format!("{signed}.{foreign}");
            assert_eq!(ring.open(&mixed, DateTime::UNIX_EPOCH).err(), Some(Closed::Invalid));
        }
    }

    #[test]
    fn a_known_key_under_another_algorithm_s_name_is_not_looked_for() {
        let closed = |alg, kid: &str| {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid});
            let token = signed(&header.to_string(), &claims().to_string());
            ring_of(key()).open(&token, DateTime::UNIX_EPOCH).err()
        };
        let other = URL_SAFE_NO_PAD.encode([7; 32]);
        for alg in ["EdDSA", "ES256", "RS256"] {
            assert_eq!(closed(alg, &key().kid), Some(Closed::Invalid), "{alg}");
            assert_eq!(closed(alg, &other), Some(Closed::UnknownKey), "{alg}");
        }
        assert_eq!(closed("HS384", &other), Some(Closed::Invalid));
    }

    #[test]
    fn a_token_is_accepted_until_its_key_is_retired() {
        let at = |seconds| DateTime::from_timestamp(NOW + seconds, 0).expect("a time");
        let mut ring = ring_of(key());
        ring.entries[0].verify_until = Some(at(10));
        let token = signed(&header().to_string(), &claims().to_string());
        let Ok(opened) = ring.open(&token, at(9)) else { panic!("it verifies") };
        assert!(ring.accepts(&opened, at(9)) && !ring.accepts(&opened, at(10)));
        assert!(ring.open(&token, at(10)).is_err());
        assert!(!Ring::default().accepts(&opened, at(9)), "the key is gone");
    }
}

#[cfg(test)]
mod properties {
    use std::sync::LazyLock;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use serde_json::json;
    use uuid::Uuid;

    use super::tests::{claims, ring_of, secret};
    use super::*;
    use crate::config::JwtAlgorithm;
    use crate::properties::{check, near_misses};

    /// Those that sign fast, each with its own ring.
    static RINGS: LazyLock<[Ring; 2]> = LazyLock::new(|| {
        let key = |algorithm| Key::private(algorithm, &secret(algorithm)).expect("a good key");
        [JwtAlgorithm::Hs256, JwtAlgorithm::EdDsa].map(|algorithm| ring_of(key(algorithm)))
    });

    fn opens(token: &str) -> bool {
        RINGS.iter().any(|ring| ring.open(token, DateTime::UNIX_EPOCH).is_ok())
    }

    fn of_one_of_the_keys() -> impl Strategy<Value = &'static Key> {
        (0..RINGS.len()).prop_map(|at| RINGS[at].entries[0].key.as_ref())
    }

    fn tokens() -> impl Strategy<Value = String> {
        (of_one_of_the_keys(), any::<u128>(), any::<String>()).prop_map(|(key, id, username)| {
            let mut claims = claims();
            claims["jti"] = json!(Uuid::from_u128(id));
            claims["username"] = json!(username);
            key.sign(&serde_json::from_value(claims).expect("claims")).expect("a token")
        })
    }

    #[test]
    fn a_token_opens_and_nothing_that_a_slip_makes_of_it() {
        check(near_misses(tokens()), |(token, other)| {
            prop_assert!(opens(&token));
            prop_assert!(!opens(&other), "{other}");
            Ok(())
        });
    }

    #[test]
    fn a_bit_that_is_flipped_closes_a_token() {
        check((tokens(), any::<Index>(), 0..7_u32), |(token, at, bit)| {
            let mut bytes = token.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let flipped = String::from_utf8(bytes).expect("ASCII stays ASCII but for the highest bit");
            prop_assert!(!opens(&flipped));
            Ok(())
        });
    }

    #[test]
    fn no_other_token_is_put_together_from_the_parts_of_two() {
        let two = (tokens(), tokens(), prop::collection::vec(0..6_usize, 0..6));
        check(two, |(one, other, picks)| {
            let parts: Vec<&str> = one.split('.').chain(other.split('.')).collect();
            let mixed = picks.iter().map(|at| parts[*at]).collect::<Vec<_>>().join(".");
            prop_assert_eq!(opens(&mixed), mixed == one || mixed == other, "{}", mixed);
            Ok(())
        });
    }

    #[test]
    fn no_other_token_begins_as_one_and_ends_as_another() {
        check((tokens(), tokens(), any::<Index>(), any::<Index>()), |(one, other, end, start)| {
            let (end, start) = (end.index(one.len() + 1), start.index(other.len() + 1));
            let mixed = format!("{}{}", &one[..end], &other[start..]);
            prop_assert_eq!(opens(&mixed), mixed == one || mixed == other, "{}", mixed);
            Ok(())
        });
    }

    #[test]
    fn nothing_that_somebody_makes_up_opens() {
        let part = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes)),
            "[A-Za-z0-9_-]{0,60}",
            tokens().prop_map(|token| token.split('.').next().unwrap_or_default().to_owned()),
        ];
        let parts = prop::collection::vec(part, 0..6).prop_map(|parts| parts.join("."));
        check(prop_oneof![parts, any::<String>()], |token| {
            prop_assert!(!opens(&token));
            Ok(())
        });
    }

    /// Whoever has the key can sign anything; only claims are read.
    #[test]
    fn nothing_that_is_signed_opens_unless_it_is_claims() {
        let json = prop_oneof![
            any::<String>(),
            select(vec!["null", "{}", "[]", "{\"iss\":", "1e999", "\"\\ud800\""]).prop_map(str::to_owned),
            near_misses(Just(claims().to_string())).prop_map(|(_, other)| other),
        ];
        let bytes =
            prop_oneof![json.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..200)];
        check((of_one_of_the_keys(), bytes), |(key, bytes)| {
            let good = key.sign(&serde_json::from_value(claims()).expect("claims")).expect("a token");
            let (header, _) = good.split_once('.').expect("parts");
            let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&bytes));
            let token = format!("{message}.{}", key.signature(message.as_bytes()).expect("a signature"));
            // A slip can leave good claims: another name, say.
            let is_claims = bytes.trim_ascii_start().starts_with(b"{")
                && serde_json::from_slice::<Claims>(&bytes).is_ok();
            prop_assert_eq!(opens(&token), is_claims);
            Ok(())
        });
    }
}
