//! A provider's public keys (JWK Set, RFC 7517): those that can verify ID tokens; whatever else is in the set is left out.

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use url::Url;

use super::error::ProviderError;
use super::http_client::{ProviderHttpClient, ProviderRequest, Step};

/// The accepted algorithms (RFC 7518, section 3.1; RFC 8037). No symmetric one: a client's secret signs nothing.
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

/// The algorithm of this name, if it is accepted.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// A JWK (RFC 7517, section 4), as far as it matters here.
#[derive(Deserialize)]
struct PublishedKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Microsoft's own member: of which tenants it is.
    issuer: Option<String>,
}

#[derive(Deserialize)]
struct PublishedKeys<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// A key that verifies ID tokens.
pub(super) struct VerifyingKey {
    pub(super) kid: Option<String>,
    /// The issuer that it signs for, where the set says that.
    pub(super) issuer: Option<String>,
    /// One, or both of RSA's.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl VerifyingKey {
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether this is the signature of the message, in base64url.
    pub(super) fn verifies(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.is_for(algorithm)
            && crypto::verify(signature, message.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }

    /// `None`: it is for something else, or can't be used.
    fn new(published: PublishedKey) -> Option<Self> {
        let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let (mut algorithms, key) = match (published.kty.as_str(), published.crv.as_deref()) {
            ("RSA", _) => {
                let key = DecodingKey::from_rsa_components(&text(&published.n)?, &text(&published.e)?);
                (vec![Algorithm::RS256, Algorithm::PS256], key)
            }
            ("EC", Some("P-256")) => {
                let key = DecodingKey::from_ec_components(&text(&published.x)?, &text(&published.y)?);
                (vec![Algorithm::ES256], key)
            }
            ("OKP", Some("Ed25519")) => {
                (vec![Algorithm::EdDSA], DecodingKey::from_ed_components(&text(&published.x)?))
            }
            _ => return None,
        };
        if let Some(named) = &published.alg {
            algorithms.retain(|known| algorithm(named) == Some(*known));
        }
        let signs = published.purpose.is_none_or(|purpose| purpose == "sig")
            && published.key_ops.is_none_or(|uses| uses.iter().any(|one| one == "verify"));
        let key = key.ok().filter(|_| signs && !algorithms.is_empty())?;
        Some(Self { kid: published.kid, issuer: published.issuer, algorithms, key })
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The keys of a provider.
#[derive(Debug)]
pub(super) struct ProviderKeys(Vec<VerifyingKey>);

impl ProviderKeys {
    /// Loads them.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn load(
        client: &ProviderHttpClient,
        url: &Url,
        deadline: Instant,
    ) -> Result<Self, ProviderError> {
        let answer = client.send(ProviderRequest::get(Step::Keys, url.clone()), deadline).await?;
        let published: Box<RawValue> = answer.ok()?;
        let keys = Self::parse(published.get());
        keys.ok_or_else(|| ProviderError::Malformed { step: Step::Keys, what: "no set of keys".to_owned() })
    }

    /// Each key is read by itself, so that one of an unknown kind does not take the others along.
    pub(super) fn parse(set: &str) -> Option<Self> {
        let published: PublishedKeys<'_> = serde_json::from_str(set).ok()?;
        let keys = published.keys.iter().filter_map(|key| serde_json::from_str(key.get()).ok());
        Some(Self(keys.filter_map(VerifyingKey::new).collect()))
    }

    /// How many can verify something.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The key that a token's header names; without a `kid` the only one for its algorithm (OpenID Connect Core 1.0, section 10.1).
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut suitable = self.0.iter().filter(|key| key.is_for(algorithm));
        match kid {
            Some(kid) => suitable.find(|key| key.kid.as_deref() == Some(kid)),
            None => suitable.next().filter(|_| suitable.next().is_none()),
        }
    }
}
