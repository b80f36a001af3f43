//! What all clones of a verifier share: knowledge, the cache of verified tokens, and how a token is judged by them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;

use crate::claims::Claims;
use crate::client::Client;
use crate::clock::Clock;
use crate::feed::Feed;
use crate::key::PublicKey;
use crate::key_fetch::KeyFetch;
use crate::key_set::{KeySet, SignatureError};
use crate::revocations::{Revocations, Standing};
use crate::settings::{Builder, WhenStale};
use crate::verified_tokens::VerifiedTokens;
use crate::{BuildError, VerifyError};

pub(crate) struct Core {
    issuer: String,
    audience: String,
    when_stale: WhenStale,
    pub(crate) bound: Duration,
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    pub(crate) feed: Feed,
    pub(crate) key_fetch: KeyFetch,
    tokens: VerifiedTokens,
    knowledge: RwLock<Knowledge>,
    /// The minute of the last warning about a token's audience, by the uptime.
    warned_in_minute: AtomicU64,
    is_ready: watch::Sender<bool>,
}

/// How far apart the clocks of dualauth and of this service are at most, in seconds, where tokens are good here at all.
const CLOCK_DIFFERENCE: i64 = 60;

/// What dualauth has said.
#[derive(Default)]
pub(crate) struct Knowledge {
    /// `None`: not fetched yet.
    pub(crate) keys: Option<Arc<KeySet>>,
    /// `None`: not completely read yet, or not followed.
    pub(crate) revocations: Option<Revocations>,
}

/// Why a token is not accepted, or what has to be asked before it can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    Refused(VerifyError),
    /// Its key is not known: the keys have to be fetched once more.
    UnknownKey,
    /// Its owner's name or roles are others than it says: the feed has to be asked once more.
    OwnerChanged,
}

impl From<VerifyError> for Doubt {
    fn from(error: VerifyError) -> Self {
        Self::Refused(error)
    }
}

impl From<SignatureError> for Doubt {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Invalid => Self::Refused(VerifyError::InvalidToken),
            SignatureError::UnknownKey => Self::UnknownKey,
        }
    }
}

impl Core {
    pub(crate) fn new(settings: Builder) -> Result<Self, BuildError> {
        if settings.staleness_bound.is_zero() {
            return Err(BuildError::StalenessBound);
        }
        let base = settings.url.as_ref().unwrap_or(&settings.issuer);
        let tokens = VerifiedTokens::new(settings.cache_size.max(1));
        Ok(Self {
            client: Client::new(base, settings.client.as_ref())?,
            issuer: settings.issuer,
            audience: settings.audience,
            when_stale: settings.when_stale,
            bound: settings.staleness_bound,
            clock: Clock::default(),
            feed: Feed::default(),
            key_fetch: KeyFetch::default(),
            tokens: tokens.map_err(|_| BuildError::NoRandomNumbers)?,
            knowledge: RwLock::default(),
            warned_in_minute: AtomicU64::default(),
            is_ready: watch::Sender::new(false),
        })
    }

    /// Judges a token by what is known. Allocates nothing for a token that was verified before.
    pub(crate) fn judge(&self, token: &str) -> Result<Arc<Claims>, Doubt> {
        let fingerprint = self.tokens.fingerprint(token);
        let keys = {
            let knowledge = self.knowledge();
            let keys = self.loaded_keys(&knowledge)?;
            if let Some(claims) = self.tokens.find(&fingerprint, |key| keys.accepts(key)) {
                return self.judge_claims(&knowledge, &claims).map(|()| claims);
            }
            Arc::clone(keys)
        };
        // Without the lock: this takes long.
        let (key, claims) = keys.verify(token)?;
        self.warn_of_another_audience(&claims);
        let claims = Arc::new(claims);
        self.tokens.insert(fingerprint, Arc::clone(&key), Arc::clone(&claims));
        self.judge_verified(&key, &claims).map(|()| claims)
    }

    /// Once a minute at most: a token that dualauth signed for somebody else is most likely a wrong setting here.
    fn warn_of_another_audience(&self, claims: &Claims) {
        let Err(found) = claims.check_audience(&self.issuer, &self.audience) else { return };
        let minute = self.clock.uptime().as_secs() / 60 + 1;
        if self.warned_in_minute.swap(minute, Ordering::Relaxed) != minute {
            let (issuer, audience) = (&self.issuer, &self.audience);
            tracing::warn!(found, issuer, audience, "a token of another issuer or for another audience came");
        }
    }

    fn judge_verified(&self, key: &Arc<PublicKey>, claims: &Claims) -> Result<(), Doubt> {
        let knowledge = self.knowledge();
        if !self.loaded_keys(&knowledge)?.accepts(key) {
            return Err(VerifyError::InvalidToken.into());
        }
        self.judge_claims(&knowledge, claims)
    }

    /// Judges what may change while a token lives: its time, its login and its owner.
    fn judge_claims(&self, knowledge: &Knowledge, claims: &Claims) -> Result<(), Doubt> {
        let now = self.clock.now();
        claims.check(&self.issuer, &self.audience, now)?;
        let Some(revocations) = &knowledge.revocations else { return Ok(()) };
        if self.when_stale == WhenStale::Refuse && !self.is_in_bound(revocations, now) {
            return Err(VerifyError::Unavailable.into());
        }
        match revocations.standing(claims) {
            Standing::Good => Ok(()),
            Standing::Ended => Err(VerifyError::TokenRevoked.into()),
            Standing::OwnerChanged if self.is_older_than(claims, revocations, now) => {
                Err(VerifyError::TokenRevoked.into())
            }
            Standing::OwnerChanged => Err(Doubt::OwnerChanged),
        }
    }

    /// Whether a token was issued so long before what is known that it can't be newer, whatever the clocks. Nobody has to wait
    /// for such a one.
    fn is_older_than(&self, claims: &Claims, revocations: &Revocations, now: i64) -> bool {
        let age = revocations.age(self.clock.uptime()).as_secs();
        claims.iat.saturating_add(CLOCK_DIFFERENCE) < now.saturating_sub_unsigned(age)
    }

    /// The keys, once everything was read that tokens are judged by.
    fn loaded_keys<'a>(&self, knowledge: &'a Knowledge) -> Result<&'a Arc<KeySet>, VerifyError> {
        let is_complete = knowledge.revocations.is_some() || !self.client.can_follow();
        knowledge.keys.as_ref().filter(|_| is_complete).ok_or(VerifyError::Unavailable)
    }

    /// Whether knowledge is complete and no older than the bound.
    pub(crate) fn is_fresh(&self) -> bool {
        let knowledge = self.knowledge();
        let is_in_bound = |revocations| self.is_in_bound(revocations, self.clock.now());
        self.loaded_keys(&knowledge).is_ok() && knowledge.revocations.as_ref().is_none_or(is_in_bound)
    }

    fn is_in_bound(&self, revocations: &Revocations, now: i64) -> bool {
        revocations.age(self.clock.uptime()) <= self.bound && !revocations.lacks_entries(now)
    }

    /// Waits until everything was read for the first time.
    pub(crate) async fn ready(&self) {
        // Fails only without a sender, which is this one's.
        let _ = self.is_ready.subscribe().wait_for(|is_ready| *is_ready).await;
    }

    pub(crate) fn knowledge(&self) -> RwLockReadGuard<'_, Knowledge> {
        self.knowledge.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the knowledge.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Knowledge)) {
        let mut knowledge: RwLockWriteGuard<'_, _> =
            self.knowledge.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut knowledge);
        if self.loaded_keys(&knowledge).is_ok() {
            self.is_ready.send_if_modified(|is_ready| !std::mem::replace(is_ready, true));
        }
    }
}
