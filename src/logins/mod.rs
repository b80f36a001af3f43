//! WHAT A LOGIN IS: one sign-in on one device, which begins, is renewed and ends the same way in every mode.

mod directory;
mod feed;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::{Lifetimes, Span};
use crate::database::DatabaseError;
use crate::users::User;

use self::directory::Directory;
pub use self::feed::Feed;

/// How a client carries its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// In cookies, as browsers do.
    Cookie,
    /// In `Authorization: Bearer`, as mobile apps and SPAs do (RFC 6750).
    Bearer,
}

impl Transport {
    /// Its name in the database.
    fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
        }
    }
}

impl From<String> for Transport {
    fn from(name: String) -> Self {
        // The table's check constraint allows these two.
        if name == "cookie" { Self::Cookie } else { Self::Bearer }
    }
}

/// One sign-in on one device.
#[derive(Clone, Debug)]
pub struct Login {
    /// Never changes while the credentials that present it come and go.
    pub id: Uuid,
    /// Who signed in.
    pub user: User,
    /// The mode that presents it.
    pub mode: String,
    /// How it is presented.
    pub transport: Transport,
    /// Whether it has the longer lifetimes.
    pub remember_me: bool,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was used last, within `LAST_SEEN_INTERVAL`.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends unless it is used.
    pub idle_expires_at: DateTime<Utc>,
    /// When it ends in any case.
    pub expires_at: DateTime<Utc>,
    /// When its credential was renewed last.
    pub renewed_at: DateTime<Utc>,
    /// How often its credential was renewed.
    pub generation: i32,
    /// When it was ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether its owner may sign in at all.
    pub user_disabled: bool,
}

/// What is true of a login at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its credential is good.
    Live,
    /// Somebody ended it, or disabled its owner.
    Ended,
    /// It lay idle too long, or reached its absolute end.
    Expired,
}

impl Login {
    /// When it ends if it is not used.
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.idle_expires_at.min(self.expires_at)
    }

    /// How long until its absolute end, rounded up to whole seconds.
    pub fn time_left(&self, now: DateTime<Utc>) -> Duration {
        let left = (self.expires_at - now).to_std().unwrap_or_default();
        Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// What is true of it now.
    pub fn state(&self, now: DateTime<Utc>) -> State {
        if self.ended_at.is_some() || self.user_disabled {
            State::Ended
        } else if now >= self.ends_at() {
            State::Expired
        } else {
            State::Live
        }
    }
}

/// SHA-256 of an opaque handle.
pub type HandleHash = [u8; 32];

/// What a login begins with.
#[derive(Debug)]
pub struct NewLogin {
    /// Who signs in.
    pub user: User,
    /// The mode that presents it.
    pub mode: &'static str,
    /// How it is presented.
    pub transport: Transport,
    /// Whether it has the longer lifetimes.
    pub remember_me: bool,
    /// The device that it happens on.
    pub device: Device,
    /// What it is looked up by, in the modes that do.
    pub handle_hash: Option<HandleHash>,
    /// The login that it takes the place of on this device.
    pub replaces: Option<Replaced>,
}

/// What is known of the device that somebody signs in on.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// What its owner calls it.
    pub name: Option<String>,
    /// The client's network address.
    pub address: String,
    /// What the client says it is.
    pub user_agent: String,
}

/// A login that another one takes the place of, by what the caller knows of it.
#[derive(Clone, Copy, Debug)]
pub enum Replaced {
    /// By its handle.
    Handle(HandleHash),
    /// By its id.
    Id(Uuid),
}

/// What a renewal by counter came to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is looked into at once and never stored")]
pub enum Renewal {
    /// The login as it is now. Its generation is the one whose credential is to be handed out.
    Renewed(Login),
    /// A generation that had been replaced for longer than the grace is used again: somebody else may have a copy.
    Reused,
    /// The login had ended.
    Ended,
    /// The login had expired.
    Expired,
    /// There is no such login, or not yet such a generation.
    Unknown,
}

/// The logins of the service.
#[derive(Clone)]
pub struct Logins {
    pool: PgPool,
    lifetimes: Lifetimes,
    clock: Clock,
    directory: Arc<Directory>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

impl Logins {
    /// Logins in this database. [`Logins::feed`] keeps them informed of what other nodes end.
    pub fn new(pool: PgPool, lifetimes: Lifetimes, clock: Clock) -> Self {
        Self { pool, lifetimes, clock, directory: Arc::default() }
    }

    /// What follows the ends of logins, here and on other nodes.
    pub fn feed(&self) -> Feed {
        Feed::new(self.pool.clone(), Arc::clone(&self.directory), self.clock.clone())
    }

    /// The lifetimes in force.
    pub fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Begins a login, and ends the one that it replaces, in one statement. `None` when the user may not sign
    /// in any more.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn start(&self, new: NewLogin) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let span = self.span(new.remember_me);
        let expires_at = now + span.absolute;
        let login = Login {
            id: Uuid::now_v7(),
            user: new.user,
            mode: new.mode.to_owned(),
            transport: new.transport,
            remember_me: new.remember_me,
            created_at: now,
            last_seen_at: now,
            idle_expires_at: expires_at.min(now + span.idle),
            expires_at,
            renewed_at: now,
            generation: 0,
            ended_at: None,
            user_disabled: false,
        };
        let handle_hash = new.handle_hash.as_ref().map(<[u8; 32]>::as_slice);
        let started = store::insert(&self.pool, &login, &new.device, handle_hash, new.replaces).await?;
        Ok(started.map(|started| {
            started.replaced.iter().for_each(|ended| self.directory.revoke(ended.id, ended.until));
            login
        }))
    }

    /// The login that a handle stands for, live or not. A live one counts as used.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_by_handle(&self, handle_hash: &HandleHash) -> Result<Option<Login>, DatabaseError> {
        let Some(mut login) = store::find_by_handle(&self.pool, handle_hash).await? else { return Ok(None) };
        let now = self.clock.now();
        let idle = self.span(login.remember_me).idle;
        // Often enough to be noticed within the idle time, however short that is.
        let interval = self.lifetimes.last_seen_interval.min(idle / 2);
        let is_due = (now - login.last_seen_at).to_std().unwrap_or_default() >= interval;
        if is_due && login.state(now) == State::Live {
            login.idle_expires_at = login.expires_at.min(now + idle);
            login.last_seen_at = now;
            store::touch(&self.pool, &login).await?;
        }
        Ok(Some(login))
    }

    fn span(&self, remember_me: bool) -> Span {
        if remember_me { self.lifetimes.remember } else { self.lifetimes.session }
    }

    /// Has a live login looked up by another handle from now on, and starts its idle time anew. `None` when the
    /// old handle stands for no live login any more.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn change_handle(
        &self,
        old: &HandleHash,
        new: &HandleHash,
    ) -> Result<Option<Login>, DatabaseError> {
        let change = store::Renewal { current: store::Current::Handle(old), new_handle: Some(new) };
        store::renew(&self.pool, change, self.clock.now(), &self.lifetimes).await
    }

    /// Moves a live login on from this generation to the next, and starts its idle time anew. The generation
    /// before the current one gets the same successor for as long as `REFRESH_GRACE`: two tabs that renew at once,
    /// or a client that never saw the answer, are honest. An older one ends the login.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew(&self, id: Uuid, generation: i32) -> Result<Renewal, DatabaseError> {
        let change = store::Renewal { current: store::Current::Generation(id, generation), new_handle: None };
        match store::renew(&self.pool, change, self.clock.now(), &self.lifetimes).await? {
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
        let renewal = self.inspect(id, generation).await?;
        if matches!(renewal, Renewal::Reused) {
            self.end(id).await?;
        }
        Ok(renewal)
    }

    /// What a renewal from this generation would come to. Changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn inspect(&self, id: Uuid, generation: i32) -> Result<Renewal, DatabaseError> {
        let Some(login) = store::find(&self.pool, id).await? else { return Ok(Renewal::Unknown) };
        let now = self.clock.now();
        let is_previous = login.generation.checked_sub(1) == Some(generation);
        let in_grace = now - login.renewed_at <= chrono_duration(self.lifetimes.refresh_grace);
        match login.state(now) {
            State::Ended => Ok(Renewal::Ended),
            State::Expired => Ok(Renewal::Expired),
            State::Live if generation == login.generation => Ok(Renewal::Renewed(login)),
            State::Live if is_previous && in_grace => Ok(Renewal::Renewed(login)),
            State::Live if generation < login.generation => Ok(Renewal::Reused),
            State::Live => Ok(Renewal::Unknown),
        }
    }

    /// Ends a login. `false` when it was not live any more.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end(&self, id: Uuid) -> Result<bool, DatabaseError> {
        let ended = store::end(&self.pool, id, self.clock.now()).await?;
        ended.iter().for_each(|ended| self.directory.revoke(ended.id, ended.until));
        Ok(ended.is_some())
    }

    /// Whether a login was ended within the life of an access token. From memory: no SQL.
    pub fn is_revoked(&self, id: Uuid) -> bool {
        self.directory.is_revoked(id)
    }
}

/// The settings' limit of ten years is far within both types.
fn chrono_duration(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::MAX)
}
