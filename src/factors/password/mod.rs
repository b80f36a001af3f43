//! The password: that somebody knows it is a first factor. Whoever tries one is counted, by network and by account, before anybody
//! knows whether the try will fail.

mod change;
mod error;
mod store;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::audit::{Actor, Entry, Kind, Trail};
use crate::clock::Clock;
use crate::crypto::{AppSecret, MacKey};
use crate::database::{ConnectionPool, DatabaseError};
use crate::http::client::Client;
use crate::logins::Logins;
use crate::rate_limits::{Limited, LimitedAttempt, Limiter};
use crate::users::{
    AttemptSource, PasswordCheck, PasswordError, PasswordHasher, QueueSlot, UnknownNameBucket, User,
    account_locked,
};

pub use self::error::{ChangePasswordError, ConfirmPasswordError, LoginError, LoginFailure};
use self::store::FoundUser;

use super::Proof;

/// Verifies and changes passwords.
pub struct PasswordFactor {
    pool: ConnectionPool,
    hasher: PasswordHasher,
    min_length: usize,
    clock: Clock,
    /// `LOGIN_LIMIT`.
    limit: Limiter,
    /// For names that nobody has: where they are counted is not to be guessed.
    unknown_name: MacKey,
    logins: Logins,
    trail: Trail,
}

/// A user whose password somebody knew.
pub struct VerifiedUser<'a> {
    /// Who.
    pub user: User,
    /// That they knew it.
    pub proof: Proof,
    /// Counts as a failure unless it is told that it was none.
    pub attempt: AttemptGuard<'a>,
}

/// Somebody who is signed in, and knew their password.
pub struct Confirmed<'a> {
    /// That they knew it.
    pub proof: Proof,
    /// See [`VerifiedUser::attempt`].
    pub attempt: AttemptGuard<'a>,
}

/// A try at a password, and its place in the queue for hashing. Dropped, it counts as one that failed.
pub struct AttemptGuard<'a> {
    counted: LimitedAttempt<'a>,
    place: QueueSlot,
    _turn: OwnedSemaphorePermit,
}

impl AttemptGuard<'_> {
    /// Has it count if it has failed, and only then.
    pub fn end(self, has_failed: bool) {
        if !has_failed {
            self.counted.forget();
        }
    }
}

impl PasswordFactor {
    /// Of the users in this database.
    #[expect(
        clippy::too_many_arguments,
        reason = "it is put together once, of what each part of the service is"
    )]
    pub fn new(
        pool: ConnectionPool,
        hasher: PasswordHasher,
        min_length: usize,
        clock: Clock,
        limit: Limiter,
        secret: &AppSecret,
        logins: Logins,
        trail: Trail,
    ) -> Self {
        let unknown_name = MacKey::derive(secret, "names that nobody has");
        Self { pool, hasher, min_length, clock, limit, unknown_name, logins, trail }
    }

    /// The user whose username or email, in any letter case, and whose password these are. It does the same work
    /// whether there is such a user or not.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn verify(
        &self,
        name: &str,
        password: &SecretString,
        client: &Client,
        actor: &Actor,
    ) -> Result<VerifiedUser<'_>, LoginError> {
        let source = self.source(name, client);
        // Before a place in the queue is taken: who may not try is in nobody's way there.
        self.limit.check(client.network())?;
        self.count_closed(client.network(), self.check_open(name, source).await, LoginError::is_failure)?;
        let attempt = self.attempt::<LoginError>(client.network()).await?;
        match self.compare(&attempt.place, name, password, source, actor).await {
            Ok((user, proof)) => Ok(VerifiedUser { user, proof, attempt }),
            Err(error) => {
                attempt.end(error.is_failure());
                Err(error)
            }
        }
    }

    /// Whether somebody who is signed in knows their password.
    ///
    /// # Errors
    /// See [`ConfirmPasswordError`].
    pub async fn confirm(
        &self,
        user: Uuid,
        password: &SecretString,
        client: &Client,
    ) -> Result<Confirmed<'_>, ConfirmPasswordError> {
        self.check_open_to(user, client).await?;
        self.confirm_counted(user, password, client).await
    }

    /// Tells the trail who is signed in and did not prove once more who they are: `failed` when their password was wrong.
    pub fn record_unconfirmed(&self, error: &ConfirmPasswordError, failed: Kind, actor: &Actor) {
        match error {
            ConfirmPasswordError::WrongPassword => self.trail.record(Entry::to_oneself(failed, actor)),
            ConfirmPasswordError::Limited(limited) => {
                let entry = Entry::to_oneself(Kind::LoginLimited, actor);
                self.trail.record(entry.with("limit", limited.policy));
            }
            ConfirmPasswordError::Password(_) | ConfirmPasswordError::Database(_) => {}
        }
    }

    /// Whether a user has a password to prove themselves by.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn is_set(&self, user: Uuid) -> Result<bool, DatabaseError> {
        store::has_password(&self.pool, user).await
    }

    fn source(&self, name: &str, client: &Client) -> AttemptSource {
        let unknown_name =
            UnknownNameBucket::of(self.unknown_name.sign(name.to_ascii_lowercase().as_bytes()));
        AttemptSource { address: client.address, unknown_name }
    }

    /// A try at what is closed counts as one that fails.
    fn count_closed<E: From<Limited>>(
        &self,
        network: IpNet,
        outcome: Result<(), E>,
        is_failure: impl FnOnce(&E) -> bool,
    ) -> Result<(), E> {
        if outcome.as_ref().is_err_and(is_failure) {
            self.limit.count(network)?;
        }
        outcome
    }

    /// Whether a try to be whoever has this name would be taken now. It is not counted.
    async fn check_open(&self, name: &str, source: AttemptSource) -> Result<(), LoginError> {
        self.hasher.check_room()?;
        let now = self.clock.now();
        match store::next_try(&self.pool, name, source, now).await? {
            Some((until, user)) => Err(LoginError::Closed { limited: account_locked(until, now), user }),
            None => Ok(()),
        }
    }

    /// The same for somebody who is signed in.
    async fn check_open_to(&self, user: Uuid, client: &Client) -> Result<(), ConfirmPasswordError> {
        self.limit.check(client.network())?;
        let outcome = self.next_own_try(user).await;
        self.count_closed(client.network(), outcome, ConfirmPasswordError::is_failure)
    }

    async fn next_own_try(&self, user: Uuid) -> Result<(), ConfirmPasswordError> {
        self.hasher.check_room()?;
        let now = self.clock.now();
        match store::own_next_try(&self.pool, user, now).await? {
            Some(until) => Err(account_locked(until, now).into()),
            None => Ok(()),
        }
    }

    async fn attempt<E>(&self, network: IpNet) -> Result<AttemptGuard<'_>, E>
    where
        E: From<Limited> + From<PasswordError>,
    {
        let place = self.hasher.acquire_slot()?;
        let turn = place.wait_for_turn().await?;
        let counted = self.limit.begin(network).await?;
        Ok(AttemptGuard { counted, place, _turn: turn })
    }

    async fn compare(
        &self,
        place: &QueueSlot,
        name: &str,
        password: &SecretString,
        source: AttemptSource,
        actor: &Actor,
    ) -> Result<(User, Proof), LoginError> {
        let now = self.clock.now();
        let found = store::find_by_claim(&self.pool, name, source, now).await?;
        let found = found
            .map_err(|(until, user)| LoginError::Closed { limited: account_locked(until, now), user })?;
        let stored = found.as_ref().and_then(|found| found.password.hash.as_deref());
        let verdict = place.verify(password.expose_secret(), stored).await?;
        let Some(FoundUser { user, password, disabled }) = found else {
            return Err(LoginFailure::UnknownName.into());
        };
        match (verdict, password.hash) {
            (PasswordCheck::Right { .. }, _) if disabled => Err(LoginFailure::Disabled(user.into()).into()),
            (PasswordCheck::Right { upgrade }, Some(old)) => {
                if let Some(new) = upgrade {
                    self.upgrade_hash(&user, &old, &new, actor).await;
                }
                Ok((user, Proof::Password { version: password.version }))
            }
            (_, None) => Err(LoginFailure::NoPassword(user.into()).into()),
            (PasswordCheck::Unusable(reason), _) => {
                tracing::error!(user = %user.id, "nobody can sign in as this user: the password hash {reason}");
                Err(LoginFailure::UnusableHash(user.into()).into())
            }
            (PasswordCheck::Wrong, _) => Err(LoginFailure::WrongPassword(user.into()).into()),
        }
    }

    /// Nobody is kept from signing in by a hash that stays as it was: the next sign-in tries again.
    async fn upgrade_hash(&self, user: &User, old: &str, new: &str, actor: &Actor) {
        match store::upgrade_hash(&self.pool, user.id, old, new).await {
            Ok(()) => {
                let upgraded = Entry::new(Kind::PasswordUpgraded, actor);
                self.trail.record(upgraded.of_user(user.id, &user.username));
            }
            Err(error) => tracing::warn!(user = %user.id, %error, "the password hash was not upgraded"),
        }
    }

    /// [`PasswordFactor::confirm`], once it has been looked whether a try is taken at all.
    async fn confirm_counted(
        &self,
        user: Uuid,
        password: &SecretString,
        client: &Client,
    ) -> Result<Confirmed<'_>, ConfirmPasswordError> {
        let attempt = self.attempt::<ConfirmPasswordError>(client.network()).await?;
        match self.compare_own(&attempt.place, user, password).await {
            Ok(proof) => Ok(Confirmed { proof, attempt }),
            Err(error) => {
                attempt.end(error.is_failure());
                Err(error)
            }
        }
    }

    async fn compare_own(
        &self,
        place: &QueueSlot,
        user: Uuid,
        password: &SecretString,
    ) -> Result<Proof, ConfirmPasswordError> {
        let now = self.clock.now();
        let stored = store::password_by_claim(&self.pool, user, now).await?;
        let stored = stored.map_err(|until| account_locked(until, now))?;
        let hash = stored.as_ref().and_then(|stored| stored.hash.as_deref());
        let verdict = place.verify(password.expose_secret(), hash).await?;
        match (stored, verdict) {
            (Some(stored), PasswordCheck::Right { .. }) => Ok(Proof::Password { version: stored.version }),
            _ => Err(ConfirmPasswordError::WrongPassword),
        }
    }
}
