//! Sign-in: verifies a password or a code, asks for a second factor, starts the login, records the outcome.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::{ChallengeHalves, LoginCredentials, LoginRequest};
use crate::challenges::Purpose;
use crate::error::{FieldError, Problem};
use crate::factors::email_code::{CodeError, VerifiedReader};
use crate::factors::password::{LoginError, LoginFailure, VerifiedUser};
use crate::factors::provider::LinkError;
use crate::factors::second_factor::{PendingSecondFactor, VerifiedSecondFactor};
use crate::http::client::Client;
use crate::logins::{Amr, Device, Login, LoginCredentialHash, NewLogin, ReplacedLogin, Transport};
use crate::mail::{Language, Message, Recipient, SealedMail};
use crate::network_rate_limits::LimitedAttempt;
use crate::telemetry::{self, RequestUser};
use crate::users::UserIdAndName;

use super::SignIn;
use super::links::PendingLink;
use super::pending::{KeptAttempt, PendingSignIn, PendingStep, UnlinkedIdentity};
use super::policy::{Authenticated, Decision};

/// The maximum length of a device name, in code points.
const MAX_DEVICE_NAME: usize = 64;

/// How a new login will be presented.
#[derive(Debug)]
pub struct NewLoginSpec {
    /// The mode.
    pub mode: &'static str,
    /// How the credential is sent.
    pub transport: Transport,
    /// The key by which requests look up the login.
    pub key: LoginCredentialHash,
    /// The login of the same mode whose cookie the request had; it ends when the new one starts.
    pub replaces: Option<ReplacedLogin>,
}

/// The requested login and the client that requests it. The user is known only from the proofs.
pub(super) struct Attempt {
    pub(super) login: NewLoginSpec,
    pub(super) remember_me: Option<bool>,
    /// `None`: as the mode does by default.
    pub(super) transport: Option<Transport>,
    pub(super) device_name: Option<String>,
    pub(super) client: Client,
    /// Of an account that it opens.
    pub(super) language: Language,
    /// Linked to the account when the login starts.
    pub(super) unlinked: Option<UnlinkedIdentity>,
}

impl Attempt {
    /// What is kept of it until something comes.
    pub(super) fn kept(&self, amr: Amr) -> KeptAttempt {
        KeptAttempt {
            amr,
            remember_me: self.remember_me,
            transport: self.transport,
            device_name: self.device_name.clone(),
            ..KeptAttempt::default()
        }
    }
}

/// The outcome of an attempt whose proofs are good.
pub(super) enum Outcome {
    Started(Box<Login>),
    SecondFactorRequired(PendingSecondFactor),
    IdentityUnlinked(Box<PendingLink>),
    LinkRefused(LinkError),
}

impl SignIn {
    /// Signs in a user by a password, a code that came by mail, a passkey, a provider, or what a sign-in waits for that was found by
    /// [`SignIn::resume`].
    ///
    /// # Errors
    /// `invalid_credentials`, `invalid_code`, `challenge_expired`, `second_factor_required`, `link_required`, `email_required`,
    /// `registration_closed`, `validation_failed`, `rate_limited`.
    pub async fn start(
        &self,
        mut request: LoginRequest,
        pending: Option<PendingSignIn>,
        client: Client,
        language: Language,
        login: NewLoginSpec,
    ) -> Result<Login, Problem> {
        check_device_name(request.device_name.as_deref())?;
        let credentials = request.credentials()?;
        let LoginRequest { remember_me, transport, device_name, .. } = request;
        let (mode, used_transport) = (login.mode, login.transport.as_str());
        let actor = client.actor().in_mode(mode).by_transport(used_transport);
        let unlinked = pending.as_ref().and_then(|pending| pending.kept.unlinked.clone());
        let attempt = Attempt { login, remember_me, transport, device_name, client, language, unlinked };
        let outcome = match credentials {
            LoginCredentials::Password { username, password } => {
                self.start_by_password(attempt, &username, &password, &actor).await
            }
            LoginCredentials::Code(halves) => self.start_by_any_code(attempt, pending, &halves, &actor).await,
            LoginCredentials::Passkey(answer) => {
                self.start_by_passkey(attempt, pending, &answer, &actor).await
            }
            LoginCredentials::IdToken { challenge, id_token } => {
                self.start_by_id_token(attempt, &challenge, &id_token, &actor).await
            }
            LoginCredentials::PasswordToLink { password, .. } => match pending {
                Some(pending) => self.start_by_password_to_link(attempt, pending, &password, &actor).await,
                None => Err(CodeError::Expired.into()),
            },
        };
        let outcome = match outcome {
            Ok(Outcome::Started(login)) => Ok(*login),
            Ok(Outcome::SecondFactorRequired(pending)) => Err(self.second_factor_required(pending).await),
            Ok(Outcome::IdentityUnlinked(pending)) => Err((*pending).into()),
            Ok(Outcome::LinkRefused(error)) => Err(error.into()),
            Err(problem) => Err(problem),
        };
        if let Ok(login) = &outcome {
            telemetry::set_user(RequestUser { user: login.user.id, login: login.id, mode });
        }
        let word = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "started");
        self.metrics.sign_in(mode, used_transport, word);
        outcome
    }

    /// A code of whatever the sign-in waits for.
    async fn start_by_any_code(
        &self,
        attempt: Attempt,
        pending: Option<PendingSignIn>,
        halves: &ChallengeHalves,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let Some(pending) = pending else { return self.start_by_code(attempt, halves, actor).await };
        match pending.kept.step {
            PendingStep::SecondFactor => self.start_by_second_factor(attempt, pending, halves, actor).await,
            PendingStep::Provider => self.start_by_provider(attempt, halves, actor).await,
            PendingStep::Mail => self.start_by_mail_of_identity(attempt, pending, halves, actor).await,
            // There is no code for it.
            PendingStep::Link => Err(CodeError::WrongCode(None).into()),
        }
    }

    pub(super) async fn start_by_password(
        &self,
        attempt: Attempt,
        username: &str,
        password: &SecretString,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        // Names have no surrounding white space, but pasted ones often bring some along.
        let verified = self.password.verify(username.trim(), password, &attempt.client, actor).await;
        let outcome = match verified {
            Ok(verified) => self.start_verified(attempt, verified, actor).await,
            Err(error) => Err(error),
        };
        outcome.map_err(|error| {
            self.record_failure(&error, actor);
            error.into()
        })
    }

    pub(super) async fn start_verified(
        &self,
        attempt: Attempt,
        verified: VerifiedUser<'_>,
        actor: &Actor,
    ) -> Result<Outcome, LoginError> {
        let VerifiedUser { user, recipient, has_two_step, proof, attempt: counted } = verified;
        let proved = Authenticated::new(user, Amr::default(), proof, self.clock.now());
        let outcome = self.go_on(attempt, proved.decide(has_two_step), &recipient, actor).await;
        counted.end(outcome.as_ref().is_err_and(LoginError::is_failure));
        outcome
    }

    async fn start_by_code(
        &self,
        attempt: Attempt,
        halves: &ChallengeHalves,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let (challenge, code) = (halves.challenge.expose_secret(), halves.code.expose_secret());
        let verified = self.email_code.verify(challenge, code, &attempt.client, actor).await?;
        let VerifiedReader { user, recipient, has_two_step, proof, attempt: counted } = verified;
        let proved = Authenticated::new(user, Amr::default(), proof, self.clock.now());
        let outcome = self.go_on(attempt, proved.decide(has_two_step), &recipient, actor).await;
        end_code(counted, outcome)
    }

    async fn start_by_second_factor(
        &self,
        attempt: Attempt,
        pending: PendingSignIn,
        halves: &ChallengeHalves,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let code = halves.code.expose_secret();
        let verified = self.second_factors.verify(&pending.token, code, &attempt.client, actor).await?;
        let VerifiedSecondFactor { user, recipient, proof, checked, attempt: counted } = verified;
        let owner = UserIdAndName::from(user.clone());
        let proved = Authenticated::new(user, pending.amr(), proof, self.clock.now()).using(checked);
        let outcome = self.go_on(attempt, proved.decide(true), &recipient, actor).await;
        match &outcome {
            // The statement that links was rolled back, and the code is as good as before.
            Ok(Outcome::LinkRefused(LinkError::Taken | LinkError::OtherOfIssuer)) => {}
            Err(LoginError::InvalidCredentials(_)) | Ok(Outcome::LinkRefused(_)) => {
                let error = self.second_factors.record_unused(&pending.token, code, owner, actor).await?;
                return Err(error.into());
            }
            Ok(_) => self.second_factors.record_used(Purpose::Login, code, proof, &owner, actor),
            Err(_) => {}
        }
        end_code(counted, outcome)
    }

    /// Starts the login, or asks for the second factor.
    pub(super) async fn go_on(
        &self,
        attempt: Attempt,
        decision: Decision,
        recipient: &Recipient,
        actor: &Actor,
    ) -> Result<Outcome, LoginError> {
        Ok(match decision {
            Decision::Complete(mut authenticated) => {
                if let Some(unlinked) = &attempt.unlinked {
                    match self.link(unlinked, &mut authenticated, recipient, actor).await {
                        Ok(()) => {}
                        Err(LinkError::Database(error)) => return Err(error.into()),
                        Err(refused) => return Ok(Outcome::LinkRefused(refused)),
                    }
                }
                Outcome::Started(Box::new(self.begin(attempt, authenticated, recipient, actor).await?))
            }
            // A security key, at a challenge that wants proofs of the account: one factor, and not the first.
            Decision::SecondFactorWanted(authenticated) if !authenticated.has_first_factor() => {
                return Err(LoginError::InvalidCredentials(LoginFailure::Changed(authenticated.user.into())));
            }
            Decision::SecondFactorWanted(authenticated) => {
                Outcome::SecondFactorRequired(self.pend(&attempt, &authenticated).await?)
            }
        })
    }

    /// Starts a login. The only place that does so, for every factor.
    async fn begin(
        &self,
        attempt: Attempt,
        authenticated: Authenticated,
        recipient: &Recipient,
        actor: &Actor,
    ) -> Result<Login, LoginError> {
        let notice = self.new_network_notice(&attempt, recipient);
        let Attempt { login, remember_me, device_name, client, .. } = attempt;
        let changed = LoginFailure::Changed(authenticated.user.clone().into());
        let (authentication, password_version) = (authenticated.authentication(), authenticated.version);
        let login = NewLogin {
            user: authenticated.user,
            authentication,
            password_version,
            mode: login.mode,
            transport: login.transport,
            remember_me: remember_me.unwrap_or_default(),
            device: Device {
                name: device_name,
                address: client.address.to_string(),
                user_agent: client.user_agent,
            },
            key: login.key,
            replaces: login.replaces,
            notice,
            proof: authenticated.checked,
        };
        self.logins.start(login, actor).await?.ok_or_else(|| changed.into())
    }

    /// Only for a proved address: another may be anybody's, and is not told of devices.
    fn new_network_notice(&self, attempt: &Attempt, recipient: &Recipient) -> Option<SealedMail> {
        let message = || Message::SignInFromNewNetwork {
            device: attempt.device_name.clone(),
            network: match attempt.client.address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(_) => attempt.client.network().to_string(),
            },
            at: self.clock.now(),
        };
        recipient.is_verified.then(|| self.mails.seal_notice(recipient, message())).flatten()
    }

    /// Records a failed sign-in in the audit trail. Only with the stored name of the account, never with the name that was
    /// typed: it may be a password in the wrong field.
    pub(super) fn record_failure(&self, error: &LoginError, actor: &Actor) {
        let entry = |kind| NewEvent::new(kind, actor);
        let (entry, user) = match error {
            LoginError::InvalidCredentials(failure) => {
                (entry(Kind::LoginFailed).with("reason", failure.as_str()), failure.user())
            }
            LoginError::Limited(limited) => (entry(Kind::LoginLimited).with("limit", limited.policy), None),
            LoginError::AccountLocked { limited, user } => {
                (entry(Kind::LoginLimited).with("limit", limited.policy), user.as_ref())
            }
            LoginError::Password(_) | LoginError::Database(_) => return,
        };
        self.trail.record(with_user(entry, user));
    }
}

/// Ends an attempt with a challenge, which is used up.
pub(super) fn end_code(
    counted: LimitedAttempt<'_>,
    outcome: Result<Outcome, LoginError>,
) -> Result<Outcome, Problem> {
    if !outcome.as_ref().is_err_and(LoginError::is_failure) {
        counted.forget();
    }
    outcome.map_err(|error| match error {
        // The account has changed since: the code was good for what it was before.
        LoginError::InvalidCredentials(_) => CodeError::Expired.into(),
        error => error.into(),
    })
}

fn with_user(entry: NewEvent, user: Option<&UserIdAndName>) -> NewEvent {
    match user {
        Some(user) => entry.of_user(user.id, &user.username),
        None => entry,
    }
}

fn check_device_name(name: Option<&str>) -> Result<(), Problem> {
    if name.is_none_or(|name| name.chars().count() <= MAX_DEVICE_NAME) {
        return Ok(());
    }
    let detail = format!("must have {MAX_DEVICE_NAME} characters at most");
    Err(Problem::validation(vec![FieldError { pointer: "/device_name".to_owned(), detail }]))
}
