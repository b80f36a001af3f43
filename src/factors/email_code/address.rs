//! Proving an address while signed in: the account's own, or another one that takes its place.

use uuid::Uuid;

use crate::audit::{Kind, NewEvent};
use crate::auth::Identity;
use crate::challenges::{Challenge, ChallengeCode, ChallengeToken, ChallengedAccount, NewChallenge, Purpose};
use crate::crypto::SecretBytes;
use crate::database::DatabaseError;
use crate::error::Problem;
use crate::http::client::Client;
use crate::mail::{Mail, Message};
use crate::users::{self, RegisterError, User, UserIdAndName};

use super::store::{self, AddressChange};
use super::{CodeError, EmailCodeFactor};

/// Why an address was not proved.
#[derive(Debug, thiserror::Error)]
pub enum ChangeAddressError {
    /// The challenge was not redeemed.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Another account has got the address meanwhile.
    #[error("the address is taken")]
    Taken,
}

impl From<DatabaseError> for ChangeAddressError {
    fn from(error: DatabaseError) -> Self {
        if users::is_email_taken(&error) { Self::Taken } else { Self::Code(error.into()) }
    }
}

impl From<ChangeAddressError> for Problem {
    fn from(error: ChangeAddressError) -> Self {
        match error {
            ChangeAddressError::Code(error) => error.into(),
            ChangeAddressError::Taken => RegisterError::EmailTaken.into(),
        }
    }
}

impl EmailCodeFactor {
    /// Whether this is the address of the user's account, in whichever letter case.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn is_of(&self, user: Uuid, address: &str) -> Result<bool, DatabaseError> {
        let own = users::find_recipient(&self.pool, user).await?;
        Ok(own.is_some_and(|(_, own)| own.address.eq_ignore_ascii_case(address)))
    }

    /// Creates a challenge of this login that proves an address. The mail to one that another account has is to nobody.
    /// `None`: the user is gone.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn challenge_address(
        &self,
        user: Uuid,
        login: Uuid,
        address: &str,
    ) -> Result<Option<Challenge>, DatabaseError> {
        let owner =
            store::find_by_address(&self.pool, address, self.rp_id.as_deref(), &self.providers).await?;
        let Some((version, own)) = users::find_recipient(&self.pool, user).await? else { return Ok(None) };
        let to = match &owner {
            Some(owner) if owner.user_id != user => None,
            // As the account spells it.
            Some(owner) => Some(owner.recipient.address.clone()),
            None => Some(address.to_owned()),
        };
        let new = NewChallenge {
            purpose: Purpose::Email,
            account: Some(ChallengedAccount { user_id: user, version }),
            login_id: Some(login),
            state: Some(SecretBytes::new(address.as_bytes().to_vec())),
            address,
        };
        let challenge = self.challenges.mail_code(new, |code, expires_at| Mail {
            to,
            language: own.language,
            message: Message::VerifyEmailCode(code),
            expires_at,
        });
        let challenge = challenge.await?;
        self.metrics.challenge(Purpose::Email.as_str(), "email", "created");
        Ok(Some(challenge))
    }

    /// Redeems a challenge of this login, and returns the user with the proved address. If that is another one, every other
    /// login and challenge of the user ends, and the address of before is told.
    ///
    /// # Errors
    /// See [`ChangeAddressError`].
    pub async fn prove_address(
        &self,
        identity: &Identity,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<User, ChangeAddressError> {
        let actor = identity.actor(client);
        let outcome = self.try_address(identity, challenge, code, client).await;
        match &outcome {
            Ok(_) => self.record(Purpose::Email, None, &actor),
            Err(ChangeAddressError::Code(error)) => self.record(Purpose::Email, Some(error), &actor),
            Err(ChangeAddressError::Taken) => {}
        }
        let (user, is_another) = outcome?;
        let kind = if is_another { Kind::EmailChanged } else { Kind::EmailVerified };
        self.trail.record(NewEvent::to_oneself(kind, &actor));
        if is_another {
            self.mails.wake_up();
            self.logins.notify_and_catch_up().await;
        }
        Ok(user)
    }

    async fn try_address(
        &self,
        identity: &Identity,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<(User, bool), ChangeAddressError> {
        let limited = self.limit.begin(client.network()).await.map_err(CodeError::from)?;
        let outcome = self.redeem_for_address(identity, challenge, code).await;
        if !matches!(&outcome, Err(ChangeAddressError::Code(error)) if error.is_failure()) {
            limited.forget();
        }
        outcome
    }

    async fn redeem_for_address(
        &self,
        identity: &Identity,
        challenge: &str,
        code: &str,
    ) -> Result<(User, bool), ChangeAddressError> {
        let token = ChallengeToken::parse(challenge).ok_or(CodeError::Expired)?;
        let state = self.challenges.state(&token, Purpose::Email, Some(identity.login_id)).await?;
        let address = state.and_then(|state| String::from_utf8(state.reveal().to_vec()).ok());
        let address = address.ok_or(CodeError::Expired)?;
        let own = users::find_recipient(&self.pool, identity.user_id).await?;
        let (_, own) = own.ok_or(CodeError::Expired)?;
        let is_another = !own.address.eq_ignore_ascii_case(&address);
        let notice = is_another.then(|| self.mails.seal_notice(&own, Message::EmailChanged)).flatten();
        let change = AddressChange {
            halves: &self.challenges.hash(&token, &ChallengeCode::typed(code)),
            user_id: identity.user_id,
            login_id: identity.login_id,
            address: &address,
            is_another,
            notice: notice.as_ref(),
        };
        match store::redeem_for_address(&self.pool, change, self.clock.now()).await? {
            Some((true, Some(user))) => Ok((user, is_another)),
            Some((false, _)) => Err(CodeError::WrongCode(Some(UserIdAndName {
                id: identity.user_id,
                username: identity.username.clone(),
            }))
            .into()),
            _ => Err(CodeError::Expired.into()),
        }
    }
}
