//! Passkeys and security keys (Web Authentication Level 3): options for browsers, and verification of what comes back.
//!
//! A passkey verifies the user, and is both factors. A security key is a second factor, and need not verify anybody. Where a
//! challenge can be answered by either, a passkey that has not verified its user is a second factor as well.

mod assertion;
mod authenticator_data;
mod base64url;
mod cbor;
mod client_data;
mod enrolment;
mod error;
mod options;
mod public_key;
mod registration;
mod relying_party;
mod response;
#[cfg(test)]
mod software_authenticator;
mod store;
#[cfg(test)]
mod tests;
mod verification;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::challenges::{Challenges, Purpose};
use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};
use crate::http::client::Client;
use crate::logins::{Amr, Logins};
use crate::mail::Mails;
use crate::metrics::Metrics;
use crate::network_rate_limits::{LimitedAttempt, Limiter};

use super::email_code::CodeError;
use super::{FactorContext, Proof};

pub use self::assertion::{ChallengedUser, VerifiedAssertion};
pub use self::enrolment::{CheckedRegistration, EnrolledPasskey};
pub use self::error::{PasskeyAttemptError, PasskeyError};
pub use self::options::{CreationOptions, RequestOptions};
pub use self::public_key::PasskeyAlgorithm;
pub use self::registration::VerifiedRegistration;
pub use self::relying_party::RelyingParty;
pub use self::response::{AssertionResponse, RegistrationResponse};
pub use self::store::count_by_rp_id;
pub use self::verification::{
    CheckedAnswer, CheckedPasskey, ConfirmedPasskey, PasskeyHalves, VerifiedPasskeyUser,
};

/// What a credential is registered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyKind {
    /// Both factors: the authenticator verifies the user, and knows whose it is.
    Passkey,
    /// A second factor.
    SecurityKey,
}

impl PasskeyKind {
    /// Its name, in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passkey => "passkey",
            Self::SecurityKey => "security_key",
        }
    }

    /// The name of a credential that was given none.
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Passkey => "Passkey",
            Self::SecurityKey => "Security key",
        }
    }

    /// The kind with a name of the database.
    fn of_name(name: &str) -> Self {
        if name == Self::Passkey.as_str() { Self::Passkey } else { Self::SecurityKey }
    }

    /// The methods that a proof by such a credential stands for.
    pub(super) fn amr(self, synced: bool, user_verified: bool) -> Amr {
        // A key that may be copied is secured by software. The user's presence is told where the user was verified.
        match self {
            Self::Passkey => {
                let key = if synced { Amr::SOFTWARE_KEY } else { Amr::HARDWARE_KEY };
                if user_verified { key.and(Amr::USER_VERIFIED) } else { key }
            }
            Self::SecurityKey => Amr::HARDWARE_KEY,
        }
    }

    /// What the use of such a credential proves. A security key is not synced.
    fn proof(self, synced: bool, user_verified: bool, version: i32) -> Proof {
        match self {
            Self::Passkey => Proof::Passkey { synced, user_verified, version },
            Self::SecurityKey => Proof::SecurityKey { version },
        }
    }
}

/// A stored passkey or security key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPasskey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The credential's id, by which authenticators know it.
    pub credential_id: Vec<u8>,
    /// The public key, as a COSE_Key.
    pub public_key: Vec<u8>,
    /// What it was registered as.
    pub kind: PasskeyKind,
    /// The name that its user gave it.
    pub name: String,
    /// Whether it may be copied to other devices.
    pub backup_eligible: bool,
    /// How browsers reach the authenticator.
    pub transports: Vec<String>,
    /// The relying party id under which it was registered.
    pub rp_id: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A passkey or security key in the list of factors.
#[derive(Debug)]
pub struct ListedPasskey {
    /// Its id.
    pub id: Uuid,
    /// What it was registered as.
    pub kind: PasskeyKind,
    /// The name that its user gave it.
    pub name: String,
    /// Whether it may be copied to other devices.
    pub synced: bool,
    /// The relying party id under which it was registered: no browser offers it under another one.
    pub rp_id: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl From<StoredPasskey> for ListedPasskey {
    fn from(passkey: StoredPasskey) -> Self {
        let StoredPasskey { id, kind, name, backup_eligible, rp_id, created_at, last_used_at, .. } = passkey;
        Self { id, kind, name, synced: backup_eligible, rp_id, created_at, last_used_at }
    }
}

/// All passkeys and security keys of a user, under whichever relying party id, the oldest first.
///
/// # Errors
/// If the query fails.
pub async fn list(pool: &ConnectionPool, user: Uuid) -> Result<Vec<ListedPasskey>, DatabaseError> {
    let all = store::of_user(pool, user, None).await?;
    Ok(all.into_iter().map(ListedPasskey::from).collect())
}

/// Enrols and verifies passkeys and security keys under one relying party id.
pub struct PasskeyFactor {
    pool: ConnectionPool,
    party: RelyingParty,
    challenges: Arc<Challenges>,
    mails: Arc<Mails>,
    /// `LOGIN_LIMIT`.
    limit: Limiter,
    clock: Clock,
    logins: Logins,
    trail: Trail,
    metrics: Metrics,
}

impl PasskeyFactor {
    /// Enrols and verifies the passkeys of this relying party.
    pub fn new(context: &FactorContext<'_>, party: RelyingParty) -> Self {
        Self {
            pool: context.pool.clone(),
            party,
            challenges: Arc::clone(&context.challenges),
            mails: Arc::clone(&context.mails),
            limit: context.limit.clone(),
            clock: context.clock.clone(),
            logins: context.logins.clone(),
            trail: context.trail.clone(),
            metrics: context.metrics.clone(),
        }
    }

    async fn of_user(&self, user: Uuid) -> Result<Vec<StoredPasskey>, DatabaseError> {
        store::of_user(&self.pool, user, Some(self.party.id())).await
    }

    /// Begins an attempt, which counts as a failure unless it is told that it was none.
    async fn begin(
        &self,
        client: &Client,
        failure: Kind,
        purpose: Purpose,
        actor: &Actor,
    ) -> Result<LimitedAttempt<'_>, PasskeyAttemptError> {
        self.limit.begin(client.network()).await.map_err(|limited| {
            let error = CodeError::from(limited).into();
            self.record_failure(&error, failure, purpose, actor);
            error
        })
    }

    /// Records an answer that was refused, with the check that failed, as an event of this kind; the counter and the limits
    /// have their own. Counts what did not come to a check.
    fn record_failure(&self, error: &PasskeyAttemptError, kind: Kind, purpose: Purpose, actor: &Actor) {
        match error {
            PasskeyAttemptError::Refused { why, user } => {
                let kind =
                    if *why == PasskeyError::CounterBehind { Kind::PasskeyCounterBehind } else { kind };
                let entry = NewEvent::to_oneself(kind, actor).with("for", purpose.as_str());
                let entry = entry.with("reason", why.to_string());
                self.trail.record(match user {
                    Some(user) => entry.of_user(user.id, &user.username),
                    None => entry,
                });
            }
            PasskeyAttemptError::Challenge(error) => {
                if let Some(entry) = error.limited_event(purpose, actor) {
                    self.trail.record(entry);
                }
                if let Some(outcome) = error.metric_outcome() {
                    self.metrics.challenge(purpose.as_str(), PasskeyKind::Passkey.as_str(), outcome);
                }
            }
            PasskeyAttemptError::Malformed | PasskeyAttemptError::AlreadyRegistered => {}
        }
    }
}
