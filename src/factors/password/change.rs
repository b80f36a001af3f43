//! The change of a password by its owner, which ends every other login of theirs.

use secrecy::{ExposeSecret, SecretString};

use crate::audit::{Actor, Entry, Kind};
use crate::auth::Identity;
use crate::factors::Proof;
use crate::http::client::Client;
use crate::users::{Field, Invalid, QueueSlot, check_password};

use super::{ChangePasswordError, ConfirmPasswordError, Confirmed, PasswordFactor, store};

impl PasswordFactor {
    /// Sets another password for somebody who knows the current one.
    ///
    /// # Errors
    /// See [`ChangePasswordError`].
    pub async fn change(
        &self,
        identity: &Identity,
        current: &SecretString,
        new: &SecretString,
        client: &Client,
    ) -> Result<(), ChangePasswordError> {
        let actor = identity.actor(client);
        let outcome = self.try_change(identity, current, new, client, &actor).await;
        if let Err(ChangePasswordError::Unconfirmed(error)) = &outcome {
            self.record_unconfirmed(error, Kind::PasswordChangeFailed, &actor);
        }
        outcome?;
        self.logins.notify_and_catch_up().await;
        Ok(())
    }

    async fn try_change(
        &self,
        identity: &Identity,
        current: &SecretString,
        new: &SecretString,
        client: &Client,
        actor: &Actor,
    ) -> Result<(), ChangePasswordError> {
        self.check_open_to(identity.user_id, client).await?;
        self.check_new(new)?;
        let Confirmed { proof, attempt } = self.confirm_counted(identity.user_id, current, client).await?;
        let outcome = self.replace(identity, proof, &attempt.place, new, actor).await;
        attempt.end(outcome.as_ref().is_err_and(ConfirmPasswordError::is_failure));
        Ok(outcome?)
    }

    async fn replace(
        &self,
        identity: &Identity,
        proof: Proof,
        place: &QueueSlot,
        new: &SecretString,
        actor: &Actor,
    ) -> Result<(), ConfirmPasswordError> {
        let hash = place.hash(new.expose_secret()).await?;
        let (user, kept, now) = (identity.user_id, identity.login_id, self.clock.now());
        let changed = store::change_password(&self.pool, user, proof.version(), &hash, kept, now).await?;
        if !changed {
            return Err(ConfirmPasswordError::WrongPassword);
        }
        self.trail.record(Entry::to_oneself(Kind::PasswordChanged, actor));
        Ok(())
    }

    /// Sets a password for somebody who has none. That they are who they say, the caller has found out.
    ///
    /// # Errors
    /// [`ChangePasswordError::Missing`] when there is one.
    pub async fn set_first(
        &self,
        identity: &Identity,
        new: &SecretString,
        client: &Client,
    ) -> Result<(), ChangePasswordError> {
        self.check_new(new)?;
        let hash = self.hasher.hash(new.expose_secret()).await.map_err(ConfirmPasswordError::from)?;
        let (user, kept, now) = (identity.user_id, identity.login_id, self.clock.now());
        let set = store::set_first_password(&self.pool, user, &hash, kept, now).await;
        if !set.map_err(ConfirmPasswordError::from)? {
            return Err(ChangePasswordError::Missing);
        }
        self.trail.record(Entry::to_oneself(Kind::PasswordChanged, &identity.actor(client)));
        self.logins.notify_and_catch_up().await;
        Ok(())
    }

    fn check_new(&self, new: &SecretString) -> Result<(), ChangePasswordError> {
        check_password(new.expose_secret(), self.min_length)
            .map_err(|detail| ChangePasswordError::Invalid(Invalid { field: Field::NewPassword, detail }))
    }
}
