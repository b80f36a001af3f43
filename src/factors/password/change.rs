//! Changing one's own password, which ends every other login of the user.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::Identity;
use crate::database::DatabaseError;
use crate::factors::Proof;
use crate::http::client::Client;
use crate::mail::{Message, SealedMail};
use crate::users::{self, Field, Invalid, QueueSlot, check_password};

use super::{ChangePasswordError, ConfirmPasswordError, Confirmed, PasswordFactor, store};

impl PasswordFactor {
    /// Changes the password of a user who knows the current one.
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
        self.check_not_locked_for(identity.user_id, client).await?;
        self.check_new(new)?;
        let Confirmed { proof, attempt } = self.confirm_counted(identity.user_id, current, client).await?;
        let outcome = self.replace(identity, proof, &attempt.slot, new, actor).await;
        attempt.end(outcome.as_ref().is_err_and(ConfirmPasswordError::is_failure));
        Ok(outcome?)
    }

    async fn replace(
        &self,
        identity: &Identity,
        proof: Proof,
        slot: &QueueSlot,
        new: &SecretString,
        actor: &Actor,
    ) -> Result<(), ConfirmPasswordError> {
        let hash = slot.hash(new.expose_secret()).await?;
        let (user, kept, now) = (identity.user_id, identity.login_id, self.clock.now());
        let notice = self.password_changed_notice(user).await?;
        let notice = notice.as_ref();
        let changed =
            store::change_password(&self.pool, user, proof.version(), &hash, kept, notice, now).await?;
        if !changed {
            return Err(ConfirmPasswordError::WrongPassword);
        }
        self.mails.wake_up();
        self.trail.record(NewEvent::to_oneself(Kind::PasswordChanged, actor));
        Ok(())
    }

    /// Sets a password for a user who has none. The caller must have checked that the login is fresh.
    ///
    /// # Errors
    /// [`ChangePasswordError::Missing`] if the user has a password.
    pub async fn set_first(
        &self,
        identity: &Identity,
        new: &SecretString,
        client: &Client,
    ) -> Result<(), ChangePasswordError> {
        self.check_new(new)?;
        let hash = self.hasher.hash(new.expose_secret()).await.map_err(ConfirmPasswordError::from)?;
        let (user, kept, now) = (identity.user_id, identity.login_id, self.clock.now());
        let notice = self.password_changed_notice(user).await.map_err(ConfirmPasswordError::from)?;
        let set = store::set_first_password(&self.pool, user, &hash, kept, notice.as_ref(), now).await;
        if !set.map_err(ConfirmPasswordError::from)? {
            return Err(ChangePasswordError::Missing);
        }
        self.mails.wake_up();
        self.trail.record(NewEvent::to_oneself(Kind::PasswordChanged, &identity.actor(client)));
        self.logins.notify_and_catch_up().await;
        Ok(())
    }

    async fn password_changed_notice(&self, user: Uuid) -> Result<Option<SealedMail>, DatabaseError> {
        let recipient = users::find_recipient(&self.pool, user).await?;
        Ok(recipient.and_then(|(_, to)| self.mails.seal_notice(&to, Message::PasswordChanged)))
    }

    pub(super) fn check_new(&self, new: &SecretString) -> Result<(), ChangePasswordError> {
        check_password(new.expose_secret(), self.min_length)
            .map_err(|detail| ChangePasswordError::Invalid(Invalid { field: Field::NewPassword, detail }))
    }
}
