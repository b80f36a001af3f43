//! Registration: creates an account, without signing in. With `REGISTRATION=verified` once its address is proved.

use secrecy::ExposeSecret;

use crate::auth::{ChallengeHalves, RegisterRequest, RegistrationData, UserBody};
use crate::challenges::{Challenge, ChallengeCode, ChallengeToken, NewChallenge, Purpose};
use crate::config::RegistrationPolicy;
use crate::error::{Code, Problem};
use crate::factors::email_code::CodeError;
use crate::http::client::Client;
use crate::mail::{Language, Mail, Message};
use crate::users::{CompletedRegistration, PreparedRegistration, RegistrationInput};

use super::SignIn;

/// The outcome of a registration.
#[derive(Debug)]
pub enum Registration {
    /// The new user.
    Created(UserBody),
    /// The account begins with the code that was mailed.
    Pending(Challenge),
}

impl SignIn {
    /// Creates an account, or mails a code to its address first. `mode` is the mode whose route was called, for the audit
    /// trail.
    ///
    /// # Errors
    /// `registration_closed`, `validation_failed`, `conflict`, `rate_limited`; `invalid_code` and `challenge_expired` with a
    /// code.
    pub async fn register(
        &self,
        mut request: RegisterRequest,
        language: Language,
        client: &Client,
        mode: &'static str,
    ) -> Result<Registration, Problem> {
        if self.registration == RegistrationPolicy::Closed {
            return Err(Problem::new(Code::RegistrationClosed, "Nobody may register here."));
        }
        let data = request.data()?;
        self.limits.register.count(client.network())?;
        match data {
            RegistrationData::New { email, password } => {
                let new =
                    RegistrationInput { username: request.username, email, password, admin: false, language };
                self.register_new(&new, client, mode).await
            }
            RegistrationData::Code(halves) => {
                self.complete_registration(&halves, request.username, client, mode).await
            }
        }
    }

    async fn register_new(
        &self,
        new: &RegistrationInput,
        client: &Client,
        mode: &'static str,
    ) -> Result<Registration, Problem> {
        if self.registration == RegistrationPolicy::Open {
            let user = self.accounts.register(new, &client.actor().in_mode(mode)).await?;
            return Ok(Registration::Created(user.into()));
        }
        self.check_mail_is_on()?;
        self.limits.mail.count(client.network())?;
        let PreparedRegistration { pending, owner } = self.accounts.prepare(new).await?;
        let challenge = NewChallenge {
            purpose: Purpose::Register,
            account: None,
            login_id: None,
            state: Some(pending),
            address: &new.email,
        };
        let challenge = self.challenges.mail_code(challenge, |code, expires_at| match owner {
            Some(owner) => Mail {
                to: Some(owner.address),
                language: owner.language,
                message: Message::RegistrationOfKnownAddress,
                expires_at,
            },
            None => Mail {
                to: Some(new.email.clone()),
                language: new.language,
                message: Message::RegistrationCode(code),
                expires_at,
            },
        });
        let challenge = challenge.await?;
        self.metrics.challenge(Purpose::Register.as_str(), "created");
        Ok(Registration::Pending(challenge))
    }

    async fn complete_registration(
        &self,
        halves: &ChallengeHalves,
        username: Option<String>,
        client: &Client,
        mode: &'static str,
    ) -> Result<Registration, Problem> {
        let actor = client.actor().in_mode(mode);
        let limited = self.limits.login.begin(client.network()).await?;
        let refused = |error: CodeError| {
            self.email_code.record(Purpose::Register, Some(&error), &actor);
            Problem::from(error)
        };
        let token = ChallengeToken::parse(halves.challenge.expose_secret());
        let token = token.ok_or(CodeError::Expired).map_err(refused)?;
        let pending = self.challenges.state(&token, Purpose::Register, None).await?;
        let pending = pending.ok_or(CodeError::Expired).map_err(refused)?;
        let hashed = self.challenges.hash(&token, &ChallengeCode::typed(halves.code.expose_secret()));
        let completed = match self.accounts.complete(&pending, username, &hashed, &actor).await {
            Ok(completed) => completed,
            // A taken name, with a right code, is no guess.
            Err(error) => {
                limited.forget();
                return Err(error.into());
            }
        };
        match completed {
            CompletedRegistration::Registered(user) => {
                limited.forget();
                self.email_code.record(Purpose::Register, None, &actor);
                Ok(Registration::Created(user.into()))
            }
            CompletedRegistration::WrongCode => Err(refused(CodeError::WrongCode(None))),
            CompletedRegistration::Expired => Err(refused(CodeError::Expired)),
        }
    }
}
