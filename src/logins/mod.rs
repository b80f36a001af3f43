//! Logins: one sign-in on one device, which begins, is renewed and ends in the same way for every mode.
//!
//! The source of truth is a row in Postgres ([`store`]). A node answers from memory ([`session_cache_and_revocations`]) as long as it
//! knows every end that was acknowledged to a client ([`feed`], [`freshness`]), and tells other services what it knows
//! ([`followers`]). See `docs/revocation.md` for the reasoning.

mod activity;
mod authentication;
mod cache;
mod credential_rotation_history;
mod ends;
mod feed;
mod followers;
mod freshness;
mod handoff;
mod list;
mod login;
mod lookup;
mod renewal;
mod replaced_login;
mod revocation_index;
mod session_cache_and_revocations;
mod store;
mod sweep;

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::audit::{Actor, Trail};
use crate::clock::Clock;
use crate::config::{Lifetimes, SessionCacheAndRevocationConfig};
use crate::database::{ConnectionPool, DatabaseError, RequestAndBackgroundPools};
use crate::metrics::Metrics;

use self::activity::Activity;
pub use self::authentication::{Acr, Amr, Authentication};
pub use self::credential_rotation_history::CredentialRotationHistory;
pub use self::feed::{Feed, ReloadableCache};
pub use self::followers::{ChangedRoles, EndedLoginId, FeedAnswer, FeedChanges, FeedCursor, FollowError};
pub use self::handoff::{ExchangeError, HANDOFF_LIFETIME, HandoffCode, HandoffOutcome};
pub use self::login::{
    ClaimedLogin, Device, FoundLogin, HandleHash, HandleStatus, ListedLogin, Login, LoginCredentialHash,
    LoginIdentity, LoginState, NewLogin, PageCursor, PageRequest, Presentation, RefreshTokenClaims,
    RenewalOutcome, SecretHash, StepUp, StepUpOutcome, Transport,
};
pub use self::lookup::RevocationCheckError;
pub use self::replaced_login::ReplacedLogin;
pub use self::session_cache_and_revocations::SessionCacheAndRevocationStats;
use self::session_cache_and_revocations::SessionCacheAndRevocations;

/// The logins of the service.
#[derive(Clone)]
pub struct Logins {
    pools: RequestAndBackgroundPools,
    lifetimes: Lifetimes,
    config: SessionCacheAndRevocationConfig,
    clock: Clock,
    trail: Trail,
    memory: Arc<SessionCacheAndRevocations>,
    activity: Arc<Activity>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

impl Logins {
    /// Logins in this database. [`Logins::feed`] keeps this node informed of changes by other nodes.
    pub fn new(
        pools: RequestAndBackgroundPools,
        lifetimes: Lifetimes,
        config: SessionCacheAndRevocationConfig,
        clock: Clock,
        trail: Trail,
    ) -> Self {
        let memory = Arc::new(SessionCacheAndRevocations::new(&config, lifetimes));
        Self { pools, lifetimes, config, clock, trail, memory, activity: Arc::default() }
    }

    /// The follower of the revocation feed. It also makes `others` reload what they cache.
    pub fn feed(&self, others: Vec<Arc<dyn ReloadableCache>>, metrics: Metrics) -> Feed {
        let memory = Arc::clone(&self.memory);
        Feed::new(self.pools.clone(), memory, others, metrics, self.trail.clone(), self.clock.clone())
    }

    /// Runs the task that writes last-seen times.
    pub async fn run_activity_writer(self) {
        self.activity.run_writer(&self.pools.upkeep, &self.lifetimes).await;
    }

    /// Writes the pending last-seen times, at shutdown.
    pub async fn write_activity(&self) {
        self.activity.write_all(&self.pools.upkeep, &self.lifetimes).await;
    }

    /// Runs the task that deletes logins, revocations and hand-off codes some time after their end.
    pub async fn run_sweep(self) {
        sweep::run_sweep(&self.pools.upkeep, &self.clock).await;
    }

    fn requests(&self) -> &ConnectionPool {
        &self.pools.requests
    }

    /// The lifetimes in force.
    pub fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Starts a login, and ends the one that it replaces, in one statement. `None` when the user is disabled, or
    /// their password has changed since the authentication.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn start(&self, new: NewLogin, actor: &Actor) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let span = self.lifetimes.of_login(new.remember_me);
        let expires_at = now + span.absolute;
        let idle_expires_at = expires_at.min(now + span.idle);
        let (handle_hash, secret_hash, token_expires_at) = match new.key {
            LoginCredentialHash::Handle(hash) => (Some(hash), None, None),
            LoginCredentialHash::Token(hash) => {
                (None, Some(hash), Some(idle_expires_at.min(now + self.lifetimes.access_token)))
            }
        };
        let login = Login {
            id: Uuid::now_v7(),
            user: new.user,
            mode: new.mode.to_owned(),
            transport: new.transport,
            handle_transport: None,
            is_presented: true,
            remember_me: new.remember_me,
            authentication: new.authentication,
            created_at: now,
            last_seen_at: now,
            idle_expires_at,
            expires_at,
            generations: CredentialRotationHistory::default(),
            secret_hash,
            token_expires_at,
            ended_at: None,
            user_disabled: false,
        };
        let start = store::Start {
            login: &login,
            device: &new.device,
            handle_hash: handle_hash.as_ref(),
            password_version: new.password_version,
            replaces: new.replaces,
            notice: new.notice.as_ref(),
            proof: &new.proof,
            grace_from: now - self.lifetimes.refresh_grace,
        };
        let Some(roles) = store::insert(self.requests(), start).await? else { return Ok(None) };
        self.trail.record(login.started(actor));
        if new.replaces.is_some() {
            self.notify_and_catch_up().await;
        }
        let user = crate::users::User { roles, ..login.user };
        Ok(Some(Login { user, ..login }))
    }

    /// Writes the pending last-seen time of a login now.
    async fn flush_last_seen(&self, id: Uuid) -> Result<(), DatabaseError> {
        match self.activity.seen(id) {
            Some(seen) => store::touch(self.requests(), &[id], &[seen], &self.lifetimes).await,
            None => Ok(()),
        }
    }

    /// Must be called after every change that ends or replaces a credential. Notifies other nodes and waits until
    /// this node has read the change, so that an acknowledged change is effective here at once. If that fails, it
    /// takes effect within the staleness bound.
    pub async fn notify_and_catch_up(&self) {
        self.memory.news.notify_one();
        self.memory.freshness.catch_up().await;
    }

    /// Waits until this node knows everything that was committed before this call, for a request that names something
    /// unknown here. Clients choose these names, so the number of polls is limited to a few per second for all
    /// callers together. `false` when the poll fails.
    pub async fn poll_for_unknown(&self) -> bool {
        self.memory.freshness.poll_for_unknown().await
    }

    /// Size and age of this node's in-memory knowledge.
    pub fn stats(&self) -> SessionCacheAndRevocationStats {
        self.memory.stats()
    }

    /// Whether this node's knowledge is within the staleness bound.
    pub async fn is_fresh(&self) -> bool {
        self.memory.freshness.is_fresh(self.clock.now()).await
    }
}
