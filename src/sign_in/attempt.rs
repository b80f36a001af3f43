//! Sign-in: verifies the password, starts the login, records the outcome.

use crate::audit::{Entry, Kind, Origin};
use crate::auth::LoginRequest;
use crate::error::{FieldError, Problem};
use crate::factors::password::{LoginError, LoginFailure, VerifiedUser};
use crate::http::client::Client;
use crate::logins::{Device, Login, LoginKey, NewLogin, ReplacedLogin, Transport};
use crate::telemetry::{self, RequestUser};
use crate::users::UserRef;

use super::SignIn;
use super::policy::{self, Authenticated};

/// The maximum length of a device name, in code points.
const MAX_DEVICE_NAME: usize = 64;

/// How a new login will be presented.
#[derive(Debug)]
pub struct LoginPresentation {
    /// The mode.
    pub mode: &'static str,
    /// How the credential is sent.
    pub transport: Transport,
    /// The key by which requests look up the login.
    pub key: LoginKey,
    /// The login of the same mode whose cookie the request had; it ends when the new one starts.
    pub replaces: Option<ReplacedLogin>,
}

/// The requested login and the client that requests it. The user is known only from the proofs.
struct Attempt {
    login: LoginPresentation,
    remember_me: bool,
    device_name: Option<String>,
    client: Client,
}

impl SignIn {
    /// Signs in the user with this name and password.
    ///
    /// # Errors
    /// `invalid_credentials`, `validation_failed`, `rate_limited`.
    pub async fn start(
        &self,
        request: LoginRequest,
        client: Client,
        login: LoginPresentation,
    ) -> Result<Login, Problem> {
        check_device_name(request.device_name.as_deref())?;
        let LoginRequest { username, password, remember_me, device_name, .. } = request;
        let (origin, mode, transport) = (client.origin(), login.mode, login.transport.as_str());
        let attempt = Attempt { login, remember_me, device_name, client };
        // Names have no surrounding white space, but pasted ones often bring some along.
        let verified = self.password.verify(username.trim(), &password, &attempt.client).await;
        let outcome = match verified {
            Ok(verified) => self.start_verified(attempt, verified).await,
            Err(error) => Err(error),
        };
        self.record_outcome(&outcome, origin, mode, transport);
        let outcome = outcome.map_err(Problem::from);
        let word = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "started");
        self.metrics.sign_in(mode, transport, word);
        outcome
    }

    async fn start_verified(
        &self,
        attempt: Attempt,
        verified: VerifiedUser<'_>,
    ) -> Result<Login, LoginError> {
        let VerifiedUser { user, proof, upgraded, attempt: counted } = verified;
        if upgraded {
            let entry =
                Entry::new(Kind::PasswordUpgraded, attempt.client.origin()).in_mode(attempt.login.mode);
            let entry = entry.by(attempt.login.transport.as_str());
            self.trail.record(entry.of_user(user.id, &user.username));
        }
        let authenticated = policy::evaluate(user, vec![proof], self.clock.now());
        let outcome = self.begin(attempt, authenticated).await;
        counted.end(outcome.as_ref().is_err_and(LoginError::is_failure));
        outcome
    }

    /// Starts a login. The only place that does so, for every factor.
    async fn begin(&self, attempt: Attempt, authenticated: Authenticated) -> Result<Login, LoginError> {
        let Attempt { login, remember_me, device_name, client } = attempt;
        let changed = LoginFailure::Changed(authenticated.user.clone().into());
        let (authentication, password_version) = (authenticated.authentication(), authenticated.version());
        let login = NewLogin {
            user: authenticated.user,
            authentication,
            password_version,
            mode: login.mode,
            transport: login.transport,
            remember_me,
            device: Device {
                name: device_name,
                address: client.address.to_string(),
                user_agent: client.user_agent,
            },
            key: login.key,
            replaces: login.replaces,
        };
        self.logins.start(login).await?.ok_or_else(|| changed.into())
    }

    /// Records the outcome in the audit trail and the log. Only with the user's stored name, never with the name that was
    /// typed: it may be a password in the wrong field.
    fn record_outcome(
        &self,
        outcome: &Result<Login, LoginError>,
        origin: Origin,
        mode: &'static str,
        transport: &'static str,
    ) {
        let entry = |kind| Entry::new(kind, origin).in_mode(mode).by(transport);
        match outcome {
            Ok(Login { id, user, .. }) => {
                telemetry::set_user(RequestUser { user: user.id, login: *id, mode });
                self.trail.record(entry(Kind::LoginStarted).in_login(*id).of_user(user.id, &user.username));
            }
            Err(LoginError::InvalidCredentials(failure)) => {
                let entry = entry(Kind::LoginFailed).with("reason", failure.as_str());
                self.trail.record(with_user(entry, failure.user()));
            }
            Err(LoginError::Limited(limited)) => {
                self.trail.record(entry(Kind::LoginLimited).with("limit", limited.policy));
            }
            Err(LoginError::AccountLocked { limited, user }) => {
                let entry = entry(Kind::LoginLimited).with("limit", limited.policy);
                self.trail.record(with_user(entry, user.as_ref()));
            }
            Err(LoginError::Password(_) | LoginError::Database(_)) => {}
        }
    }
}

fn with_user(entry: Entry, user: Option<&UserRef>) -> Entry {
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
