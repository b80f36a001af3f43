//! WHAT A LOGIN IS: one sign-in on one device, which begins, is renewed and ends the same way in every mode.
//!
//! The truth is a row in Postgres ([`store`]). A node answers from what it remembers of it ([`directory`]) for as
//! long as it knows of every end that anybody was told of ([`feed`], [`freshness`]). `docs/revocation.md` has the
//! argument.

mod activity;
mod authentication;
mod cache;
mod credential_generations;
mod directory;
mod ends;
mod feed;
mod freshness;
mod list;
mod login;
mod lookup;
mod renewal;
mod store;
mod sweep;

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::audit::{Actor, Trail};
use crate::clock::Clock;
use crate::config::{DirectoryConfig, Lifetimes};
use crate::database::{ConnectionPool, DatabaseError, Pools};
use crate::metrics::Metrics;

use self::activity::Activity;
pub use self::authentication::{Acr, Amr, Authentication};
pub use self::credential_generations::CredentialGenerations;
use self::directory::Directory;
pub use self::directory::DirectoryStats;
pub use self::feed::{Feed, ReloadOnRevocation};
pub use self::login::{
    Device, FoundLogin, HandleHash, HandleStatus, ListedLogin, Login, LoginIdentity, LoginKey, LoginState,
    NewLogin, PageCursor, PageRequest, RefreshTokenClaims, RenewalOutcome, ReplacedLogin, SecretHash, StepUp,
    StepUpOutcome, Transport,
};
pub use self::lookup::AccessTokenError;

/// The logins of the service.
#[derive(Clone)]
pub struct Logins {
    pools: Pools,
    lifetimes: Lifetimes,
    config: DirectoryConfig,
    clock: Clock,
    trail: Trail,
    directory: Arc<Directory>,
    activity: Arc<Activity>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

impl Logins {
    /// Logins in this database. [`Logins::feed`] keeps them informed of what other nodes end.
    pub fn new(
        pools: Pools,
        lifetimes: Lifetimes,
        config: DirectoryConfig,
        clock: Clock,
        trail: Trail,
    ) -> Self {
        let directory = Arc::new(Directory::new(&config, lifetimes));
        Self { pools, lifetimes, config, clock, trail, directory, activity: Arc::default() }
    }

    /// What follows the ends of logins, here and on other nodes, and has `others` read anew what they remember.
    pub fn feed(&self, others: Vec<Arc<dyn ReloadOnRevocation>>, metrics: Metrics) -> Feed {
        let directory = Arc::clone(&self.directory);
        Feed::new(self.pools.clone(), directory, others, metrics, self.trail.clone(), self.clock.clone())
    }

    /// Writes down which logins were used, each when its use has waited for long enough.
    pub async fn run_activity_writer(self) {
        self.activity.run_writer(&self.pools.upkeep, &self.lifetimes).await;
    }

    /// Writes down, at the end of the program, what is not written down yet.
    pub async fn write_activity(&self) {
        self.activity.write_all(&self.pools.upkeep, &self.lifetimes).await;
    }

    /// Deletes what is long over.
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

    /// Begins a login, and ends the one that it replaces, in one statement. `None` when the user may not sign
    /// in any more, or what proves the account has changed by now.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn start(&self, new: NewLogin, actor: &Actor) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let span = self.lifetimes.span(new.remember_me);
        let expires_at = now + span.absolute;
        let idle_expires_at = expires_at.min(now + span.idle);
        let (handle_hash, secret_hash, token_expires_at) = match new.key {
            LoginKey::Handle(hash) => (Some(hash), None, None),
            LoginKey::Token(hash) => {
                (None, Some(hash), Some(idle_expires_at.min(now + self.lifetimes.access_token)))
            }
        };
        let login = Login {
            id: Uuid::now_v7(),
            user: new.user,
            mode: new.mode.to_owned(),
            transport: new.transport,
            remember_me: new.remember_me,
            authentication: new.authentication,
            created_at: now,
            last_seen_at: now,
            idle_expires_at,
            expires_at,
            generations: CredentialGenerations::default(),
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
            grace_from: now - self.lifetimes.refresh_grace,
        };
        let Some(roles) = store::insert(self.requests(), start).await? else { return Ok(None) };
        self.trail.record(login.started(actor));
        if new.replaces.is_some() {
            self.announce().await;
        }
        let user = crate::users::User { roles, ..login.user };
        Ok(Some(Login { user, ..login }))
    }

    /// Writes down now that a login was used, if that is still to be done.
    async fn settle(&self, id: Uuid) -> Result<(), DatabaseError> {
        match self.activity.seen(id) {
            Some(seen) => store::touch(self.requests(), &[id], &[seen], &self.lifetimes).await,
            None => Ok(()),
        }
    }

    /// To be called after whatever ends or changes a credential: tells other nodes that there is something to read, and
    /// waits until this one has read it, so that what it acknowledges is true here at once. When that can't be done, the
    /// staleness bound has to do.
    pub async fn announce(&self) {
        self.directory.news.notify_one();
        self.directory.freshness.catch_up().await;
    }

    /// Waits until this node knows what has happened up to now, for a request that names something unknown here.
    /// Strangers can name what they like: however many ask, there are a few looks a second. `false` when it can't be
    /// found out.
    pub async fn look_for_unknown(&self) -> bool {
        self.directory.freshness.look_for_unknown().await
    }

    /// How much this node remembers, and how old that is.
    pub fn stats(&self) -> DirectoryStats {
        self.directory.stats()
    }

    /// Whether what this node remembers may be believed.
    pub async fn is_fresh(&self) -> bool {
        self.directory.freshness.is_fresh(self.clock.now()).await
    }
}
