//! ID tokens (OpenID Connect Core 1.0, sections 2 and 3.1.3.7).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::Algorithm;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::error::IdTokenError;
use super::expected_issuer::{ExpectedIssuer, may_sign_for};
use super::keys::{self, VerifyingKey};
use crate::crypto::equal;

/// How far a provider's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// The longest token, in bytes: no provider's comes near, and each is read before its signature is verified.
const MOST: usize = 16 * 1024;

/// The longest subject (OpenID Connect Core 1.0, section 2).
const MOST_SUBJECT: usize = 255;

/// The header (RFC 7515, section 4).
#[derive(Deserialize)]
struct IdTokenHeader {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood. There are none.
    crit: Option<Value>,
}

/// The claims, as far as they matter here.
#[derive(Debug, Deserialize)]
pub(super) struct IdTokenClaims {
    pub(super) iss: String,
    pub(super) sub: String,
    #[serde(deserialize_with = "one_or_more")]
    aud: Vec<String>,
    azp: Option<String>,
    exp: Number,
    iat: Number,
    nbf: Option<Number>,
    nonce: Option<String>,
    /// The tenant (Microsoft).
    tid: Option<String>,
    pub(super) auth_time: Option<Value>,
    pub(super) acr: Option<Value>,
    pub(super) amr: Option<Value>,
    #[serde(flatten)]
    pub(super) profile: ProfileClaims,
}

/// What a provider says about somebody, in the ID token or by the userinfo endpoint (section 5.1). Whatever type they have: only a
/// right one counts.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ProfileClaims {
    pub(super) email: Option<Value>,
    pub(super) email_verified: Option<Value>,
    /// Whether the domain's owner has verified the address (Microsoft).
    pub(super) xms_edov: Option<Value>,
    pub(super) preferred_username: Option<Value>,
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(audience) => vec![audience],
        OneOrMore::More(audience) => audience,
    })
}

/// What an ID token must be.
pub(super) struct ExpectedIdToken<'a> {
    pub(super) issuer: &'a ExpectedIssuer,
    /// The client that it must be for. `None`: any of `trusted`.
    pub(super) client: Option<&'a str>,
    /// The clients that it may be for.
    pub(super) trusted: &'a [&'a str],
    pub(super) nonce: &'a str,
    pub(super) now: DateTime<Utc>,
}

/// A token in its parts; nothing of it is believed yet.
pub(super) struct UnverifiedIdToken<'a> {
    message: &'a str,
    signature: &'a str,
    claims: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

impl<'a> UnverifiedIdToken<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`IdTokenError::Malformed`] or [`IdTokenError::Algorithm`].
    pub(super) fn parse(token: &'a str) -> Result<Self, IdTokenError> {
        let parts = || {
            let (message, signature) = token.rsplit_once('.')?;
            let (header, claims) = message.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
            Some((message, signature, header, claims))
        };
        let parts = parts().filter(|_| token.len() <= MOST);
        let (message, signature, header, claims) = parts.ok_or(IdTokenError::Malformed)?;
        let header: IdTokenHeader = decode(header)?;
        let algorithm = keys::algorithm(&header.alg).filter(|_| header.crit.is_none());
        let algorithm = algorithm.ok_or(IdTokenError::Algorithm)?;
        Ok(Self { message, signature, claims, algorithm, kid: header.kid })
    }

    /// The claims, once the signature and all that must be so are verified.
    ///
    /// # Errors
    /// [`IdTokenError`].
    pub(super) fn verify(
        &self,
        key: &VerifyingKey,
        expected: &ExpectedIdToken<'_>,
    ) -> Result<IdTokenClaims, IdTokenError> {
        if !key.verifies(self.message, self.signature, self.algorithm) {
            return Err(IdTokenError::Signature);
        }
        let claims: IdTokenClaims = decode(self.claims)?;
        let tenant = claims.tid.as_deref();
        let is_of_issuer = expected.issuer.issues(&claims.iss, tenant)
            && key.issuer.as_ref().is_none_or(|issuer| may_sign_for(issuer, &claims.iss, tenant));
        check(is_of_issuer, IdTokenError::Issuer)?;
        check((1..=MOST_SUBJECT).contains(&claims.sub.len()), IdTokenError::Subject)?;
        check_audience(&claims, expected)?;
        check_times(&claims, expected.now)?;
        let nonce = claims.nonce.as_deref().unwrap_or_default();
        let is_ours = !nonce.is_empty() && equal(nonce.as_bytes(), expected.nonce.as_bytes());
        check(is_ours, IdTokenError::Nonce)?;
        Ok(claims)
    }
}

fn check(is_right: bool, error: IdTokenError) -> Result<(), IdTokenError> {
    if is_right { Ok(()) } else { Err(error) }
}

/// Every audience is a trusted client, and so is the party that it was issued to, which several audiences want named.
fn check_audience(claims: &IdTokenClaims, expected: &ExpectedIdToken<'_>) -> Result<(), IdTokenError> {
    let is_trusted = |client: &String| expected.trusted.contains(&client.as_str());
    let is_for_us = expected.client.is_none_or(|client| claims.aud.iter().any(|audience| audience == client));
    let is_for_nobody_else = !claims.aud.is_empty() && claims.aud.iter().all(is_trusted);
    check(is_for_us && is_for_nobody_else, IdTokenError::Audience)?;
    let is_issued_to_us = match (&claims.azp, expected.client) {
        (Some(party), Some(client)) => party == client,
        (Some(party), None) => is_trusted(party),
        (None, _) => claims.aud.len() == 1,
    };
    check(is_issued_to_us, IdTokenError::AuthorizedParty)
}

fn check_times(claims: &IdTokenClaims, now: DateTime<Utc>) -> Result<(), IdTokenError> {
    let time = |number: &Number| to_time(number).ok_or(IdTokenError::Malformed);
    check(now < time(&claims.exp)? + LEEWAY, IdTokenError::Time)?;
    for not_before in claims.nbf.iter().chain([&claims.iat]) {
        check(time(not_before)? <= now + LEEWAY, IdTokenError::Time)?;
    }
    Ok(())
}

/// A NumericDate (RFC 7519, section 2), without fractions of seconds.
pub(super) fn to_time(number: &Number) -> Option<DateTime<Utc>> {
    const LAST: i64 = 253_402_300_799;
    let whole = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))?;
    (0..=LAST).contains(&whole).then(|| DateTime::from_timestamp(whole, 0))?
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, IdTokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| IdTokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| IdTokenError::Malformed)
}
