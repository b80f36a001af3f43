//! WHAT A LOGIN IS: one sign-in on one device, which begins, is renewed and ends the same way in every mode.
//!
//! The truth is a row in Postgres ([`store`]). A node answers from what it remembers of it ([`directory`]) for as
//! long as it knows of every end that anybody was told of ([`feed`], [`freshness`]). `docs/revocation.md` has the
//! argument.

mod activity;
mod cache;
mod directory;
mod feed;
mod freshness;
mod login;
mod store;
mod sweep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{DirectoryConfig, JwtRevocation, Lifetimes, SessionLookup, WhenStale};
use crate::database::{DatabaseError, Pools};
use crate::metrics::Metrics;

use self::activity::Activity;
pub use self::directory::Census;
use self::directory::{Directory, Revoked};
pub use self::feed::{Feed, Reload};
pub use self::login::{
    Access, Device, EndedLogin, HandleHash, ListedLogin, Login, NewLogin, Presented, Principal, Renewal,
    Replaced, State, Transport,
};

/// Why an access token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Its login has ended.
    #[error("the token's login has ended")]
    Ended,
    /// Its owner has other roles now.
    #[error("the token's owner has other roles now")]
    OtherRoles,
    /// Whether it was revoked can't be found out.
    #[error("the revocation feed can't be read")]
    Stale,
}

/// The logins of the service.
#[derive(Clone)]
pub struct Logins {
    pools: Pools,
    lifetimes: Lifetimes,
    config: DirectoryConfig,
    clock: Clock,
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
    pub fn new(pools: Pools, lifetimes: Lifetimes, config: DirectoryConfig, clock: Clock) -> Self {
        let directory = Arc::new(Directory::new(&config, lifetimes));
        Self { pools, lifetimes, config, clock, directory, activity: Arc::default() }
    }

    /// What follows the ends of logins, here and on other nodes, and has `others` read anew what they remember.
    pub fn feed(&self, others: Vec<Arc<dyn Reload>>, metrics: Metrics) -> Feed {
        let directory = Arc::clone(&self.directory);
        Feed::new(self.pools.upkeep.clone(), directory, others, metrics, self.clock.clone())
    }

    /// Writes down which logins were used, each when its use has waited for long enough.
    pub async fn keep_activity(self) {
        self.activity.keep(&self.pools.upkeep, &self.lifetimes).await;
    }

    /// Writes down, at the end of the program, what is not written down yet.
    pub async fn write_activity(&self) {
        self.activity.write_all(&self.pools.upkeep, &self.lifetimes).await;
    }

    /// Deletes what is long over.
    pub async fn keep_swept(self) {
        sweep::keep_swept(&self.pools.upkeep, &self.clock).await;
    }

    fn requests(&self) -> &PgPool {
        &self.pools.requests
    }

    /// The lifetimes in force.
    pub fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Begins a login, and ends the one that it replaces, in one statement. `None` when the user may not sign
    /// in any more, or has another password by now.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn start(&self, new: NewLogin) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let span = self.lifetimes.span(new.remember_me);
        let expires_at = now + span.absolute;
        let idle_expires_at = expires_at.min(now + span.idle);
        let (handle_hash, token_expires_at) = match new.access {
            Access::Handle(hash) => (Some(hash), None),
            Access::Token => (None, Some(idle_expires_at.min(now + self.lifetimes.access_token))),
        };
        let login = Login {
            id: Uuid::now_v7(),
            user: new.owner.user,
            mode: new.mode.to_owned(),
            transport: new.transport,
            remember_me: new.remember_me,
            created_at: now,
            last_seen_at: now,
            idle_expires_at,
            expires_at,
            renewed_at: now,
            generation: 0,
            token_expires_at,
            ended_at: None,
            user_disabled: false,
        };
        let start = store::Start {
            login: &login,
            device: &new.device,
            handle_hash: handle_hash.as_ref(),
            password_version: new.owner.password_version,
            replaces: new.replaces,
        };
        let Some(roles) = store::insert(self.requests(), start).await? else { return Ok(None) };
        if new.replaces.is_some() {
            self.catch_up().await;
        }
        let user = crate::users::User { roles, ..login.user };
        Ok(Some(Login { user, ..login }))
    }

    /// The login that a handle stands for, live or not. A live one counts as used. No SQL while what is remembered
    /// of it is fresh.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_by_handle(&self, hash: &HandleHash) -> Result<Option<Presented>, DatabaseError> {
        let now = self.clock.now();
        if self.remembers_sessions()
            && self.directory.freshness.is_fresh(now).await
            && let Some(found) = self.directory.sessions.find(hash, now)
        {
            self.activity.note(found.principal.login_id, found.principal.remember_me, now);
            return Ok(Some(found));
        }
        // In a box of its own: a request that finds the session remembered shall not carry the query's future.
        Box::pin(self.look_up(hash, now)).await
    }

    fn remembers_sessions(&self) -> bool {
        self.config.session_lookup == SessionLookup::Cached
    }

    async fn look_up(
        &self,
        hash: &HandleHash,
        now: DateTime<Utc>,
    ) -> Result<Option<Presented>, DatabaseError> {
        let sessions = &self.directory.sessions;
        let ticket = sessions.ticket(hash);
        let Some(login) = store::find_by_handle(self.requests(), hash).await? else { return Ok(None) };
        let login = self.activity.overlay(login, &self.lifetimes);
        let state = login.state(now);
        let presented = sessions.presented(login, state, now);
        if state == State::Live {
            self.activity.note(presented.principal.login_id, presented.principal.remember_me, now);
            if self.remembers_sessions() {
                sessions.admit(hash, ticket, &presented);
            }
        }
        Ok(Some(presented))
    }

    /// Has a live login looked up by another handle from now on, and starts its idle time anew. `None` when the
    /// old handle stands for no login any more. The caller has just found that login live.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn change_handle(
        &self,
        old: &HandleHash,
        new: &HandleHash,
    ) -> Result<Option<Login>, DatabaseError> {
        let change = store::Renewal { current: store::Current::Handle(old), new_handle: Some(new) };
        let changed = store::renew(self.requests(), change, self.clock.now(), &self.lifetimes).await?;
        if changed.is_some() {
            self.catch_up().await;
        }
        Ok(changed)
    }

    /// Moves a live login on from this generation to the next, and starts its idle time anew. The generation
    /// before the current one gets the same successor for as long as `REFRESH_GRACE`: two tabs that renew at once,
    /// or a client that never saw the answer, are honest. An older one ends the login.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew(&self, id: Uuid, generation: i32) -> Result<Renewal, DatabaseError> {
        let change = store::Renewal { current: store::Current::Generation(id, generation), new_handle: None };
        match store::renew(self.requests(), change, self.clock.now(), &self.lifetimes).await? {
            Some(login) => Ok(Renewal::Renewed(login)),
            None => self.check(id, generation).await,
        }
    }

    /// What a renewal from this generation would come to, without one; but a generation that is used again ends
    /// the login here as well.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn check(&self, id: Uuid, generation: i32) -> Result<Renewal, DatabaseError> {
        match self.inspect(id, generation).await? {
            Renewal::Reused(_) => Ok(Renewal::Reused(self.end(id).await?)),
            renewal => Ok(renewal),
        }
    }

    /// What a renewal from this generation would come to. Changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn inspect(&self, id: Uuid, generation: i32) -> Result<Renewal, DatabaseError> {
        // Whoever asks has proof that there was such a login: it was over for so long that it has been deleted.
        let Some(login) = store::find(self.requests(), id).await? else { return Ok(Renewal::Expired) };
        let now = self.clock.now();
        let is_previous = login.generation.checked_sub(1) == Some(generation);
        let in_grace = now - login.renewed_at <= chrono_duration(self.lifetimes.refresh_grace);
        match login.state(now) {
            State::Ended => Ok(Renewal::Ended),
            State::Expired => Ok(Renewal::Expired),
            State::Live if generation == login.generation => Ok(Renewal::Renewed(login)),
            State::Live if is_previous && in_grace => Ok(Renewal::Renewed(login)),
            State::Live if generation < login.generation => Ok(Renewal::Reused(None)),
            State::Live => Ok(Renewal::Unknown),
        }
    }

    /// Ends a login. `None` when it had ended before.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end(&self, id: Uuid) -> Result<Option<EndedLogin>, DatabaseError> {
        let ended = store::end(self.requests(), id, self.clock.now()).await?;
        // Also when it had: that may have been a moment ago, on another node.
        self.catch_up().await;
        Ok(ended)
    }

    /// Ends a live login of this user. `None` when there is none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end_own(&self, user: Uuid, id: Uuid) -> Result<Option<EndedLogin>, DatabaseError> {
        self.settle(id).await?;
        let ended = store::end_own(self.requests(), user, id, self.clock.now()).await?;
        if ended.is_some() {
            self.catch_up().await;
        }
        Ok(ended)
    }

    /// The live logins of a user, newest first; `current` is the one that asks.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(&self, user: Uuid, current: Uuid) -> Result<Vec<ListedLogin>, DatabaseError> {
        match self.settle(current).await {
            // To look is no change: the last use stands there as it was written last.
            Err(error) if error.is_read_only() => {}
            settled => settled?,
        }
        store::list(self.requests(), user, self.clock.now()).await
    }

    /// Writes down now that a login was used, if that is still to be done.
    async fn settle(&self, id: Uuid) -> Result<(), DatabaseError> {
        match self.activity.seen(id) {
            Some(seen) => store::touch(self.requests(), &[id], &[seen], &self.lifetimes).await,
            None => Ok(()),
        }
    }

    /// Whether an access token of this login, for this user with these roles, is accepted. From memory: no SQL
    /// while that is fresh.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn check_token(&self, login: Uuid, user: Uuid, roles: &[String]) -> Result<(), TokenError> {
        if self.config.jwt_revocation == JwtRevocation::Off {
            return Ok(());
        }
        let is_fresh = self.directory.freshness.is_fresh(self.clock.now()).await;
        if !is_fresh && self.config.jwt_when_stale == WhenStale::Refuse {
            return Err(TokenError::Stale);
        }
        match self.directory.revoked(login, user, roles) {
            Revoked::No => Ok(()),
            Revoked::Ended => Err(TokenError::Ended),
            // They may have changed once more, and the token may be newer than what is known here: look again.
            Revoked::OtherRoles if !Box::pin(self.directory.freshness.catch_up()).await => {
                Err(TokenError::Stale)
            }
            Revoked::OtherRoles => match self.directory.revoked(login, user, roles) {
                Revoked::No => Ok(()),
                Revoked::Ended => Err(TokenError::Ended),
                Revoked::OtherRoles => Err(TokenError::OtherRoles),
            },
        }
    }

    /// Waits until this node knows what has happened up to now, so that what it acknowledges is true here at once.
    /// When that can't be found out, the staleness bound has to do.
    pub async fn catch_up(&self) {
        self.directory.freshness.catch_up().await;
    }

    /// Waits until this node knows what has happened up to now, for a request that names something unknown here.
    /// Strangers can name what they like: however many ask, there are a few looks a second. `false` when it can't be
    /// found out.
    pub async fn look_for_unknown(&self) -> bool {
        self.directory.freshness.look_for_unknown().await
    }

    /// How much this node remembers, and how old that is.
    pub fn census(&self) -> Census {
        self.directory.census()
    }

    /// Whether what this node remembers may be believed.
    pub async fn is_fresh(&self) -> bool {
        self.directory.freshness.is_fresh(self.clock.now()).await
    }
}

/// The settings' limit of ten years is far within both types.
fn chrono_duration(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX)
}
