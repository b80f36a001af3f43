//! The password factor: verifies passwords within rate limits. Attempts are counted per network and per account *before*
//! verification, so that concurrent guesses can't exceed the limits.

mod change;
mod error;
mod removal;
mod reset;
mod reset_store;
mod store;

use std::sync::Arc;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};
use crate::http::client::Client;
use crate::logins::Logins;
use crate::mail::{Mails, Recipient};
use crate::network_rate_limits::{Limited, LimitedAttempt, Limiter};
use crate::users::{
    AddressAndNameBucket, PasswordCheck, PasswordError, PasswordHasher, QueueSlot, UnknownNames, User,
    account_locked,
};

pub use self::error::{ChangePasswordError, ConfirmPasswordError, LoginError, LoginFailure};
pub use self::removal::RemovePasswordError;
pub use self::reset::{ResetOutcome, ResetPasswordError};
use self::store::FoundUser;

use super::{FactorContext, Proof, RemovalRules};

/// Verifies and changes passwords.
pub struct PasswordFactor {
    pool: ConnectionPool,
    hasher: PasswordHasher,
    min_length: usize,
    clock: Clock,
    /// `LOGIN_LIMIT`.
    limit: Limiter,
    /// Maps unknown user names to rate-limit buckets. Keyed, so that an attacker can't predict which names share a bucket.
    unknown_names: UnknownNames,
    removal: RemovalRules,
    logins: Logins,
    mails: Arc<Mails>,
    trail: Trail,
}

/// The outcome of a successful verification.
pub struct VerifiedUser<'a> {
    /// The user.
    pub user: User,
    /// Where the user gets mail.
    pub recipient: Recipient,
    /// Whether a login of the user takes two factors.
    pub has_two_step: bool,
    /// The proof for the login.
    pub proof: Proof,
    /// Counts as a failure unless it is told that it was none.
    pub attempt: CountedAttempt<'a>,
}

/// A signed-in user whose password was verified again.
pub struct Confirmed<'a> {
    /// The proof for the login.
    pub proof: Proof,
    /// See [`VerifiedUser::attempt`].
    pub attempt: CountedAttempt<'a>,
}

/// An attempt at a password, with its slot in the hashing queue. Dropped, it counts as a failure.
pub struct CountedAttempt<'a> {
    limited: LimitedAttempt<'a>,
    slot: QueueSlot,
    _turn: OwnedSemaphorePermit,
}

impl CountedAttempt<'_> {
    /// Ends the attempt, which counts as a failure only if `has_failed`.
    pub fn end(self, has_failed: bool) {
        if !has_failed {
            self.limited.forget();
        }
    }
}

impl PasswordFactor {
    /// Verifies passwords. New ones have `min_length` code points at least.
    pub fn new(context: &FactorContext<'_>, hasher: PasswordHasher, min_length: usize) -> Self {
        Self {
            pool: context.pool.clone(),
            hasher,
            min_length,
            clock: context.clock.clone(),
            limit: context.limit.clone(),
            unknown_names: UnknownNames::new(context.secret),
            removal: context.removal.clone(),
            logins: context.logins.clone(),
            mails: Arc::clone(&context.mails),
            trail: context.trail.clone(),
        }
    }

    /// Verifies the password of the user with this username or email (case-insensitive). The work is the same for unknown
    /// users, so that the response time does not reveal whether a name exists.
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
        // Before a slot is taken: locked accounts must not occupy the hashing queue.
        self.limit.check(client.network())?;
        self.count_locked_attempt(
            client.network(),
            self.check_not_locked(name, source).await,
            LoginError::is_failure,
        )?;
        let attempt = self.attempt::<LoginError>(client.network()).await?;
        match self.find_and_verify(&attempt.slot, name, password, source, actor).await {
            Ok((user, recipient, has_two_step, proof)) => {
                Ok(VerifiedUser { user, recipient, has_two_step, proof, attempt })
            }
            Err(error) => {
                attempt.end(error.is_failure());
                Err(error)
            }
        }
    }

    /// Verifies the password of a signed-in user.
    ///
    /// # Errors
    /// See [`ConfirmPasswordError`].
    pub async fn confirm(
        &self,
        user: Uuid,
        password: &SecretString,
        client: &Client,
    ) -> Result<Confirmed<'_>, ConfirmPasswordError> {
        self.check_not_locked_for(user, client).await?;
        self.confirm_counted(user, password, client).await
    }

    /// Records in the audit trail that a signed-in user could not be authenticated again. `failed` is the kind of event for a
    /// wrong password.
    pub fn record_unconfirmed(&self, error: &ConfirmPasswordError, failed: Kind, actor: &Actor) {
        match error {
            ConfirmPasswordError::WrongPassword => self.trail.record(NewEvent::to_oneself(failed, actor)),
            ConfirmPasswordError::Limited(limited) => {
                let entry = NewEvent::to_oneself(Kind::LoginLimited, actor);
                self.trail.record(entry.with("limit", limited.policy));
            }
            ConfirmPasswordError::Password(_) | ConfirmPasswordError::Database(_) => {}
        }
    }

    /// Returns `true` if the user has a password.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn is_set(&self, user: Uuid) -> Result<bool, DatabaseError> {
        store::has_password(&self.pool, user).await
    }

    fn source(&self, name: &str, client: &Client) -> AddressAndNameBucket {
        AddressAndNameBucket { address: client.address, unknown_name: self.unknown_names.bucket(name) }
    }

    /// Counts an attempt at a locked account as a failure of its network.
    fn count_locked_attempt<E: From<Limited>>(
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

    /// Checks that the account of this name is not locked for the source, without counting an attempt.
    async fn check_not_locked(&self, name: &str, source: AddressAndNameBucket) -> Result<(), LoginError> {
        self.hasher.check_room()?;
        let now = self.clock.now();
        match store::locked_until(&self.pool, name, source, now).await? {
            Some((until, user)) => {
                Err(LoginError::AccountLocked { limited: account_locked(until, now), user })
            }
            None => Ok(()),
        }
    }

    /// Checks that a signed-in user may try a password now, without counting an attempt.
    async fn check_not_locked_for(&self, user: Uuid, client: &Client) -> Result<(), ConfirmPasswordError> {
        self.limit.check(client.network())?;
        let outcome = self.check_user_attempts(user).await;
        self.count_locked_attempt(client.network(), outcome, ConfirmPasswordError::is_failure)
    }

    async fn check_user_attempts(&self, user: Uuid) -> Result<(), ConfirmPasswordError> {
        self.hasher.check_room()?;
        let now = self.clock.now();
        match store::reauth_locked_until(&self.pool, user, now).await? {
            Some(until) => Err(account_locked(until, now).into()),
            None => Ok(()),
        }
    }

    async fn attempt<E>(&self, network: IpNet) -> Result<CountedAttempt<'_>, E>
    where
        E: From<Limited> + From<PasswordError>,
    {
        let slot = self.hasher.acquire_slot()?;
        let turn = slot.wait_for_turn().await?;
        let limited = self.limit.begin(network).await?;
        Ok(CountedAttempt { limited, slot, _turn: turn })
    }

    async fn find_and_verify(
        &self,
        slot: &QueueSlot,
        name: &str,
        password: &SecretString,
        source: AddressAndNameBucket,
        actor: &Actor,
    ) -> Result<(User, Recipient, bool, Proof), LoginError> {
        let now = self.clock.now();
        let found = store::find_user_and_count_attempt(&self.pool, name, source, now).await?;
        let found = found.map_err(|(until, user)| LoginError::AccountLocked {
            limited: account_locked(until, now),
            user,
        })?;
        let stored = found.as_ref().and_then(|found| found.password.hash.as_deref());
        let check = slot.verify(password.expose_secret(), stored).await?;
        let Some(FoundUser { user, password, disabled, has_two_step, language }) = found else {
            return Err(LoginFailure::UnknownName.into());
        };
        match (check, password.hash) {
            (PasswordCheck::Right { .. }, _) if disabled => Err(LoginFailure::Disabled(user.into()).into()),
            (PasswordCheck::Right { upgrade }, Some(old)) => {
                if let Some(new) = upgrade {
                    self.upgrade_hash(&user, &old, &new, actor).await;
                }
                let recipient =
                    Recipient { address: user.email.clone(), is_verified: user.email_verified, language };
                Ok((user, recipient, has_two_step, Proof::Password { version: password.version }))
            }
            (_, None) => Err(LoginFailure::NoPassword(user.into()).into()),
            (PasswordCheck::Unusable(reason), _) => {
                tracing::error!(
                    user = %user.id,
                    "stored password hash is unusable (it {reason}): this user cannot sign in until the password is reset"
                );
                Err(LoginFailure::UnusableHash(user.into()).into())
            }
            (PasswordCheck::Wrong, _) => Err(LoginFailure::WrongPassword(user.into()).into()),
        }
    }

    /// A failure is only logged: the old hash stays valid, and the next sign-in tries again.
    async fn upgrade_hash(&self, user: &User, old: &str, new: &str, actor: &Actor) {
        match store::upgrade_hash(&self.pool, user.id, old, new).await {
            Ok(()) => {
                let upgraded = NewEvent::new(Kind::PasswordUpgraded, actor);
                self.trail.record(upgraded.of_user(user.id, &user.username));
            }
            Err(error) => tracing::warn!(user = %user.id, %error, "the password hash was not upgraded"),
        }
    }

    /// [`PasswordFactor::confirm`] without the check that the account is not locked, which the caller has made.
    async fn confirm_counted(
        &self,
        user: Uuid,
        password: &SecretString,
        client: &Client,
    ) -> Result<Confirmed<'_>, ConfirmPasswordError> {
        let attempt = self.attempt::<ConfirmPasswordError>(client.network()).await?;
        match self.verify_own(&attempt.slot, user, password).await {
            Ok(proof) => Ok(Confirmed { proof, attempt }),
            Err(error) => {
                attempt.end(error.is_failure());
                Err(error)
            }
        }
    }

    async fn verify_own(
        &self,
        slot: &QueueSlot,
        user: Uuid,
        password: &SecretString,
    ) -> Result<Proof, ConfirmPasswordError> {
        let now = self.clock.now();
        let stored = store::password_and_count_attempt(&self.pool, user, now).await?;
        let stored = stored.map_err(|until| account_locked(until, now))?;
        let hash = stored.as_ref().and_then(|stored| stored.hash.as_deref());
        let check = slot.verify(password.expose_secret(), hash).await?;
        match (stored, check) {
            (Some(stored), PasswordCheck::Right { .. }) => Ok(Proof::Password { version: stored.version }),
            _ => Err(ConfirmPasswordError::WrongPassword),
        }
    }
}
