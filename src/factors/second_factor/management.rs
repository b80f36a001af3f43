//! Lists and removes factors, and renews recovery codes. The caller must have checked that the login is fresh.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use crate::audit::{Kind, NewEvent};
use crate::auth::Identity;
use crate::database::{ConnectionPool, DatabaseError};
use crate::factors::passkey::{self, ListedPasskey};
use crate::factors::recovery_code::NewRecoveryCodes;
use crate::http::client::Client;
use crate::mail::{Message, SealedMail};
use crate::users::find_recipient;

use super::store::{self, FactorRemoval, FactorRow, TotpRow};
use super::{SecondFactorError, SecondFactors};

/// The factors of an account.
#[derive(Debug)]
pub struct Factors {
    /// Whether it has a password.
    pub has_password: bool,
    /// Whether its email was proved.
    pub email_verified: bool,
    /// Whether each login takes two factors.
    pub two_step: bool,
    /// Its authenticator.
    pub totp: Option<ListedTotp>,
    /// Its passkeys and security keys, the oldest first; those of another relying party id as well, which can only be removed.
    pub passkeys: Vec<ListedPasskey>,
    /// How many recovery codes are left.
    pub recovery_codes_left: i64,
}

/// An authenticator in the list of factors.
#[derive(Debug)]
pub struct ListedTotp {
    /// Its id.
    pub id: Uuid,
    /// The name that the user gave it.
    pub name: String,
    /// When it was enrolled.
    pub created_at: DateTime<Utc>,
    /// When a code of it was last used, after its enrolment.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl From<TotpRow> for ListedTotp {
    fn from(row: TotpRow) -> Self {
        let TotpRow { id, name, created_at, last_used_at } = row;
        Self { id, name, created_at, last_used_at }
    }
}

impl Factors {
    /// The factors of a user. `None`: the user is gone.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn of_user(pool: &ConnectionPool, user: Uuid) -> Result<Option<Self>, DatabaseError> {
        let row = store::list(pool, user).await?;
        let passkeys = passkey::list(pool, user).await?;
        Ok(row.map(|row| {
            let FactorRow { has_password, email_verified, two_step, totp, recovery_codes_left } = row;
            let totp = totp.map(ListedTotp::from);
            Self { has_password, email_verified, two_step, totp, passkeys, recovery_codes_left }
        }))
    }
}

impl SecondFactors {
    /// See [`Factors::of_user`].
    ///
    /// # Errors
    /// If the query fails.
    pub async fn list(&self, user: Uuid) -> Result<Option<Factors>, DatabaseError> {
        Factors::of_user(&self.pool, user).await
    }

    /// Removes an authenticator, a passkey or a security key. Without an authenticator and a security key, two-step sign-in is
    /// off: the recovery codes go with it. Ends every other login and every challenge of the user.
    ///
    /// # Errors
    /// [`SecondFactorError::Unknown`], [`SecondFactorError::LastFactor`], or if a query fails.
    pub async fn remove(
        &self,
        identity: &Identity,
        factor: Uuid,
        client: &Client,
    ) -> Result<(), SecondFactorError> {
        let (user, kept, now) = (identity.user_id, identity.login_id, self.clock.now());
        let notice = self.notice(user, Message::FactorRemoved).await?;
        let removed =
            store::remove(&self.pool, user, factor, kept, &self.removal, notice.as_ref(), now).await?;
        let removed = match removed {
            FactorRemoval::Removed(factor) => factor,
            FactorRemoval::IsLast => return Err(SecondFactorError::LastFactor),
            FactorRemoval::Unknown => return Err(SecondFactorError::Unknown),
        };
        let entry = NewEvent::to_oneself(Kind::FactorRemoved, &identity.actor(client));
        self.trail.record(entry.with("factor", removed));
        self.tell_of_change().await;
        Ok(())
    }

    /// Replaces the recovery codes. Ends every other login and every challenge of the user.
    ///
    /// # Errors
    /// [`SecondFactorError::TwoStepOff`], or if a query fails.
    pub async fn renew_recovery_codes(
        &self,
        identity: &Identity,
        client: &Client,
    ) -> Result<Vec<SecretString>, SecondFactorError> {
        let (user, kept, now) = (identity.user_id, identity.login_id, self.clock.now());
        let NewRecoveryCodes { codes, hashes } = NewRecoveryCodes::generate();
        let notice = self.notice(user, Message::RecoveryCodesRenewed).await?;
        if !store::renew_recovery_codes(&self.pool, user, &hashes, kept, notice.as_ref(), now).await? {
            return Err(SecondFactorError::TwoStepOff);
        }
        self.trail.record(NewEvent::to_oneself(Kind::RecoveryCodesRenewed, &identity.actor(client)));
        self.tell_of_change().await;
        Ok(codes)
    }

    pub(in crate::factors) async fn notice(
        &self,
        user: Uuid,
        message: Message,
    ) -> Result<Option<SealedMail>, DatabaseError> {
        let recipient = find_recipient(&self.pool, user).await?;
        Ok(recipient.and_then(|(_, to)| self.mails.seal_notice(&to, message)))
    }

    pub(in crate::factors) async fn tell_of_change(&self) {
        self.mails.wake_up();
        self.logins.notify_and_catch_up().await;
    }
}
