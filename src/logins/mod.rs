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
mod generations;
mod login;
mod store;
mod sweep;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::{DirectoryConfig, JwtRevocation, Lifetimes, SessionLookup, WhenStale};
use crate::database::{Connections, DatabaseError, Pools};
use crate::metrics::Metrics;

use self::activity::Activity;
use self::cache::Session;
pub use self::directory::Census;
use self::directory::{Directory, Revoked};
pub use self::feed::{Feed, Reload};
pub use self::generations::Generations;
use self::generations::Standing;
pub use self::login::{
    Access, Claimed, Device, EndedLogin, HandleHash, ListedLogin, Login, NewLogin, Page, Position, Presented,
    Principal, Renewal, Replaced, SecretHash, State, Transport,
};
use self::store::Which;

/// Why an access token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Its login has ended.
    #[error("the token's login has ended")]
    Ended,
    /// Its owner has another name, or other roles, now.
    #[error("the token's owner has another name or other roles now")]
    OtherOwner,
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
    pub fn feed(&self, others: Vec<Arc<dyn Reload>>, metrics: Metrics, trail: Trail) -> Feed {
        let directory = Arc::clone(&self.directory);
        Feed::new(self.pools.clone(), directory, others, metrics, trail, self.clock.clone())
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

    fn requests(&self) -> &Connections {
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
        let (handle_hash, secret_hash, token_expires_at) = match new.access {
            Access::Handle(hash) => (Some(hash), None, None),
            Access::Token(hash) => {
                (None, Some(hash), Some(idle_expires_at.min(now + self.lifetimes.access_token)))
            }
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
            generations: Generations::default(),
            secret_hash,
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
            grace_from: now - self.lifetimes.refresh_grace,
        };
        let Some(roles) = store::insert(self.requests(), start).await? else { return Ok(None) };
        if new.replaces.is_some() {
            self.announce().await;
        }
        let user = crate::users::User { roles, ..login.user };
        Ok(Some(Login { user, ..login }))
    }

    /// The login that this generation of a handle stands for, live or not. A good one counts as used. No SQL while
    /// what is remembered of it is fresh.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_by_handle(
        &self,
        hash: &HandleHash,
        generation: i32,
    ) -> Result<Option<Presented>, DatabaseError> {
        let now = self.clock.now();
        if self.remembers_sessions()
            && self.directory.freshness.is_fresh(now).await
            && let Some(found) = self.directory.sessions.find(hash, generation, now)
        {
            self.note_use(&found, now);
            return Ok(Some(found));
        }
        // In a box of its own: a request that finds the session remembered shall not carry the query's future.
        Box::pin(self.look_up(hash, generation, now)).await
    }

    fn remembers_sessions(&self) -> bool {
        self.config.session_lookup == SessionLookup::Cached
    }

    fn note_use(&self, presented: &Presented, now: DateTime<Utc>) {
        if presented.is_good {
            self.activity.note(presented.principal.login_id, presented.principal.remember_me, now);
        }
    }

    async fn look_up(
        &self,
        hash: &HandleHash,
        generation: i32,
        now: DateTime<Utc>,
    ) -> Result<Option<Presented>, DatabaseError> {
        let sessions = &self.directory.sessions;
        let ticket = sessions.ticket(hash);
        let Some(login) = store::find_by_handle(self.requests(), hash).await? else { return Ok(None) };
        let login = self.activity.overlay(login, &self.lifetimes);
        let is_live = self.state(&login, now) == State::Live;
        let mut session = Session::of(login);
        if !is_live {
            return Ok(Some(session.refused()));
        }
        let presented = session
            .present(generation, now, &self.lifetimes)
            .or_else(|| session.present_newest(now, &self.lifetimes));
        presented.iter().for_each(|presented| self.note_use(presented, now));
        if self.remembers_sessions() {
            sessions.admit(hash, ticket, session);
        }
        Ok(presented)
    }

    /// What is true of a login that was read from a database, which may have lost its end.
    fn state(&self, login: &Login, now: DateTime<Utc>) -> State {
        if self.directory.has_ended(login.id) { State::Ended } else { login.state(now) }
    }

    /// Moves a live login on from this generation to the next, and starts its idle time anew. Every generation that was
    /// replaced within `REFRESH_GRACE` gets the current one: tabs that renew at once, or a client that never saw the
    /// answer, are honest. An older one ends the login.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew(&self, claimed: &Claimed) -> Result<Renewal, DatabaseError> {
        match self.move_on(Which::Claimed(claimed), claimed.generation).await? {
            Some(login) => Ok(Renewal::Renewed(Box::new(login))),
            None => self.check(claimed).await,
        }
    }

    /// The same for a login that is looked up by a handle, and which the caller has just found live. An older
    /// generation ends nothing: it opens nothing either, and who it is that shows it can't be told.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew_handle(&self, hash: &HandleHash, generation: i32) -> Result<Renewal, DatabaseError> {
        if let Some(login) = self.move_on(Which::Handle(hash), generation).await? {
            self.announce().await;
            return Ok(Renewal::Renewed(Box::new(login)));
        }
        let found = store::find_by_handle(self.requests(), hash).await?;
        Ok(self.judge(found.map(|login| self.activity.overlay(login, &self.lifetimes)), generation))
    }

    async fn move_on(&self, which: Which<'_>, generation: i32) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let moved = store::renew(self.requests(), which, generation, now, &self.lifetimes).await?;
        Ok(moved.filter(|login| self.state(login, now) != State::Ended))
    }

    /// What a renewal from this generation would come to, without one; but a generation that is used again ends
    /// the login here as well.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn check(&self, claimed: &Claimed) -> Result<Renewal, DatabaseError> {
        match self.inspect(claimed).await? {
            Renewal::Reused(_) => Ok(Renewal::Reused(self.end(claimed.login).await?)),
            renewal => Ok(renewal),
        }
    }

    /// What a renewal from this generation would come to. Changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn inspect(&self, claimed: &Claimed) -> Result<Renewal, DatabaseError> {
        let found = store::find(self.requests(), claimed.login).await?;
        let is_another =
            |login: &Login| login.token_expires_at.is_none() || login.secret_hash != claimed.secret_hash;
        if found.as_ref().is_some_and(is_another) {
            return Ok(Renewal::Unknown);
        }
        Ok(self.judge(found, claimed.generation))
    }

    fn judge(&self, found: Option<Login>, generation: i32) -> Renewal {
        // Whoever asks has proof that there was such a login: it was over for so long that it has been deleted.
        let Some(login) = found else { return Renewal::Expired };
        let now = self.clock.now();
        match self.state(&login, now) {
            State::Ended => Renewal::Ended,
            State::Expired => Renewal::Expired,
            State::Live => match login.generations.standing(generation, self.lifetimes.refresh_grace, now) {
                Standing::Current | Standing::InGrace { .. } | Standing::Newer => {
                    Renewal::Renewed(Box::new(login))
                }
                Standing::Over => Renewal::Reused(None),
                Standing::Forgotten => Renewal::Unknown,
            },
        }
    }

    /// Ends a login. `None` when it had ended before.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end(&self, id: Uuid) -> Result<Option<EndedLogin>, DatabaseError> {
        let ended = store::end(self.requests(), id, self.clock.now()).await?;
        // Also when it had: that may have been a moment ago, on another node.
        self.announce().await;
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
            self.announce().await;
        }
        Ok(ended)
    }

    /// A page of the live logins of a user, newest first, and where the next one begins, if there are more; `current` is the
    /// one that asks.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(
        &self,
        user: Uuid,
        current: Uuid,
        page: Page,
    ) -> Result<(Vec<ListedLogin>, Option<Position>), DatabaseError> {
        match self.settle(current).await {
            // To look is no change: the last use stands there as it was written last.
            Err(error) if error.is_read_only() => {}
            settled => settled?,
        }
        // One more than is wanted says whether there are more.
        let limit = i64::from(page.limit);
        let mut logins = store::list(self.requests(), user, page.after, limit + 1, self.clock.now()).await?;
        let are_more = logins.len() > usize::from(page.limit);
        logins.truncate(page.limit.into());
        let next = logins.last().filter(|_| are_more);
        let next = next.map(|last| Position { created_at: last.created_at, id: last.id });
        Ok((logins, next))
    }

    /// Writes down now that a login was used, if that is still to be done.
    async fn settle(&self, id: Uuid) -> Result<(), DatabaseError> {
        match self.activity.seen(id) {
            Some(seen) => store::touch(self.requests(), &[id], &[seen], &self.lifetimes).await,
            None => Ok(()),
        }
    }

    /// Whether an access token of this login, for this user with this name and these roles, is accepted. From memory:
    /// no SQL while that is fresh.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn check_token(
        &self,
        login: Uuid,
        user: Uuid,
        username: &str,
        roles: &[String],
    ) -> Result<(), TokenError> {
        if self.config.jwt_revocation == JwtRevocation::Off {
            return Ok(());
        }
        let is_fresh = self.directory.freshness.is_fresh(self.clock.now()).await;
        if !is_fresh && self.config.jwt_when_stale == WhenStale::Refuse {
            return Err(TokenError::Stale);
        }
        match self.directory.revoked(login, user, username, roles) {
            Revoked::No => Ok(()),
            Revoked::Ended => Err(TokenError::Ended),
            // They may have changed once more, and the token may be newer than what is known here: look again.
            Revoked::OtherOwner if !Box::pin(self.directory.freshness.catch_up()).await => {
                Err(TokenError::Stale)
            }
            Revoked::OtherOwner => match self.directory.revoked(login, user, username, roles) {
                Revoked::No => Ok(()),
                Revoked::Ended => Err(TokenError::Ended),
                Revoked::OtherOwner => Err(TokenError::OtherOwner),
            },
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
    pub fn census(&self) -> Census {
        self.directory.census()
    }

    /// Whether what this node remembers may be believed.
    pub async fn is_fresh(&self) -> bool {
        self.directory.freshness.is_fresh(self.clock.now()).await
    }
}
