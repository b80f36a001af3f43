//! Registration: creates an account, without signing in. With `REGISTRATION=verified` once its address is proved.

use secrecy::ExposeSecret;

use crate::audit::Actor;
use crate::auth::{ChallengeHalves, RegisterRequest, RegistrationData, UserBody};
use crate::challenges::{Challenge, ChallengeCode, ChallengeToken, NewChallenge, Purpose};
use crate::config::RegistrationPolicy;
use crate::error::{Code, Problem};
use crate::factors::email_code::CodeError;
use crate::http::client::Client;
use crate::mail::{Language, Mail, Message};
use crate::users::{CompletedRegistration, PreparedRegistration, RegisterError, RegistrationInput, User};

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
        let PreparedRegistration { pending, owner } = self.accounts.prepare(new).await?;
        // What is refused asks for no mail.
        self.limits.mail.count(client.network())?;
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
        self.metrics.challenge(Purpose::Register.as_str(), "email", "created");
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
        let outcome = self.try_registration(halves, username, client, &actor).await?;
        self.email_code.record(Purpose::Register, outcome.as_ref().err(), &actor);
        Ok(Registration::Created(outcome?.into()))
    }

    /// The inner error: the challenge was not redeemed.
    async fn try_registration(
        &self,
        halves: &ChallengeHalves,
        username: Option<String>,
        client: &Client,
        actor: &Actor,
    ) -> Result<Result<User, CodeError>, RegisterError> {
        let limited = match self.limits.login.begin(client.network()).await {
            Ok(limited) => limited,
            Err(error) => return Ok(Err(error.into())),
        };
        let outcome = self.redeem_registration(halves, username, actor).await;
        // A taken name, with a right code, is no guess; neither is what the service could not look up.
        if !matches!(outcome, Ok(Err(_))) {
            limited.forget();
        }
        outcome
    }

    async fn redeem_registration(
        &self,
        halves: &ChallengeHalves,
        username: Option<String>,
        actor: &Actor,
    ) -> Result<Result<User, CodeError>, RegisterError> {
        let Some(token) = ChallengeToken::parse(halves.challenge.expose_secret()) else {
            return Ok(Err(CodeError::Expired));
        };
        let Some(pending) = self.challenges.state(&token, Purpose::Register, None).await? else {
            return Ok(Err(CodeError::Expired));
        };
        let hashed = self.challenges.hash(&token, &ChallengeCode::typed(halves.code.expose_secret()));
        Ok(match self.accounts.complete(&pending, username, &hashed, actor).await? {
            CompletedRegistration::Registered(user) => Ok(user),
            CompletedRegistration::WrongCode => Err(CodeError::WrongCode(None)),
            CompletedRegistration::Expired => Err(CodeError::Expired),
        })
    }
}
