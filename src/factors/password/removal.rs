//! Removing one's own password, for who signs in another way. Ends every other login of the user.

use crate::audit::{Kind, NewEvent};
use crate::auth::Identity;
use crate::database::DatabaseError;
use crate::error::{Code, Problem};
use crate::http::client::Client;
use crate::mail::Message;
use crate::users;

use super::PasswordFactor;
use super::store::{self, PasswordRemoval};

/// Why a password was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovePasswordError {
    /// The user has none.
    #[error("there is no password")]
    None,
    /// Nothing would be left to sign in with.
    #[error("the password is the last factor")]
    LastFactor,
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<RemovePasswordError> for Problem {
    fn from(error: RemovePasswordError) -> Self {
        match error {
            RemovePasswordError::None => Self::new(Code::NotFound, "You have no password."),
            RemovePasswordError::LastFactor => Self::new(
                Code::LastFactor,
                "Without the password nothing would be left to sign in with: add a passkey first.",
            ),
            RemovePasswordError::Database(error) => error.into(),
        }
    }
}

impl PasswordFactor {
    /// Removes the password. Ends every other login and every challenge of the user. The caller must have checked that the
    /// login is fresh.
    ///
    /// # Errors
    /// See [`RemovePasswordError`].
    pub async fn remove(&self, identity: &Identity, client: &Client) -> Result<(), RemovePasswordError> {
        let (user, kept, now) = (identity.user_id, identity.login_id, self.clock.now());
        let recipient = users::find_recipient(&self.pool, user).await?;
        let notice =
            recipient.and_then(|(_, recipient)| self.mails.seal_notice(&recipient, Message::PasswordRemoved));
        match store::remove_password(&self.pool, user, kept, &self.removal, notice.as_ref(), now).await? {
            PasswordRemoval::Removed => {}
            PasswordRemoval::None => return Err(RemovePasswordError::None),
            PasswordRemoval::LastFactor => return Err(RemovePasswordError::LastFactor),
        }
        self.trail.record(NewEvent::to_oneself(Kind::PasswordRemoved, &identity.actor(client)));
        self.mails.wake_up();
        self.logins.notify_and_catch_up().await;
        Ok(())
    }
}
