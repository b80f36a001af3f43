//! What signing up and signing in have in common in every mode.

use ipnet::IpNet;

use crate::audit::{Entry, Kind, Origin, Trail};
use crate::crypto::{AppSecret, MacKey};
use crate::database::DatabaseError;
use crate::error::{FieldError, Problem};
use crate::http::client::Client;
use crate::limits::{Limited, Limits};
use crate::logins::{Access, Device, Login, Logins, NewLogin, Replaced, Transport};
use crate::metrics::Metrics;
use crate::telemetry::{self, RequestUser};
use crate::users::{
    Accounts, ChangePasswordError, Claimant, NewUser, Nobody, QueueSlot, Refused, UserRef, VerifyError,
};

use super::{Identity, LoginRequest, PasswordRequest, RegisterRequest, UserBody};

/// The longest name of a device, in code points.
const MAX_DEVICE_NAME: usize = 64;

/// How a login that is to begin will be presented.
#[derive(Debug)]
pub struct LoginSpec {
    /// The mode.
    pub mode: &'static str,
    /// How its credential travels.
    pub transport: Transport,
    /// How a request finds the login.
    pub access: Access,
    /// The login of the same mode whose cookie came with the request.
    pub replaces: Option<Replaced>,
}

/// Opens accounts and begins logins.
pub struct SignIn {
    accounts: Accounts,
    logins: Logins,
    limits: Limits,
    /// For names that nobody has: where they are counted is not to be guessed.
    nobody: MacKey,
    trail: Trail,
    metrics: Metrics,
}

impl SignIn {
    /// With these accounts and logins, within these limits. What happens to them is told to the trail.
    pub fn new(
        accounts: Accounts,
        logins: Logins,
        limits: Limits,
        secret: &AppSecret,
        trail: Trail,
        metrics: Metrics,
    ) -> Self {
        let nobody = MacKey::derive(secret, "names that nobody has");
        Self { accounts, logins, limits, nobody, trail, metrics }
    }

    /// Opens an account, asked to in this mode; signs nobody in.
    ///
    /// # Errors
    /// `validation_failed`, `conflict`, `rate_limited`.
    pub async fn register(
        &self,
        request: RegisterRequest,
        client: &Client,
        mode: &'static str,
    ) -> Result<UserBody, Problem> {
        self.limits.register.count(client.network())?;
        let RegisterRequest { username, email, password } = request;
        let user = self.accounts.register(&NewUser { username, email, password, admin: false }).await?;
        let entry = Entry::new(Kind::Registered, client.origin()).in_mode(mode);
        self.trail.record(entry.of_user(user.id, &user.username));
        Ok(user.into())
    }

    /// Begins a login of whoever has this name and password.
    ///
    /// # Errors
    /// `invalid_credentials`, `validation_failed`, `rate_limited`.
    pub async fn start(
        &self,
        mut request: LoginRequest,
        client: Client,
        how: LoginSpec,
    ) -> Result<Login, Problem> {
        // No name has any around it, and whoever pastes one brings it along.
        request.username = request.username.trim().to_owned();
        check_device_name(request.device_name.as_deref())?;
        let (origin, mode, transport) = (client.origin(), how.mode, how.transport.as_str());
        let outcome = self.try_start(request, client, how).await;
        self.tell(&outcome, origin, mode, transport);
        let outcome = outcome.map_err(Problem::from);
        let word = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "started");
        self.metrics.sign_in(mode, transport, word);
        outcome
    }

    async fn try_start(
        &self,
        request: LoginRequest,
        client: Client,
        how: LoginSpec,
    ) -> Result<Login, VerifyError> {
        let (claimant, network) = (self.claimant(&request.username, &client), client.network());
        let look = self.accounts.check_open(&request.username, claimant);
        self.look(network, look, is_wrong_login).await?;
        let place = self.accounts.enter()?;
        let _turn = place.turn().await?;
        self.guarded(network, self.begin(place, claimant, request, client, how), is_wrong_login).await
    }

    fn claimant(&self, name: &str, client: &Client) -> Claimant {
        let nobody = Nobody::of(self.nobody.sign(name.to_ascii_lowercase().as_bytes()));
        Claimant { address: client.address, nobody }
    }

    async fn begin(
        &self,
        place: QueueSlot,
        claimant: Claimant,
        request: LoginRequest,
        client: Client,
        how: LoginSpec,
    ) -> Result<Login, VerifyError> {
        let owner = self.accounts.verify(place, &request.username, &request.password, claimant).await?;
        if owner.upgraded {
            let entry = Entry::new(Kind::PasswordUpgraded, client.origin()).in_mode(how.mode);
            self.trail.record(entry.by(how.transport.as_str()).of_user(owner.user.id, &owner.user.username));
        }
        let changed = Refused::Changed(owner.user.clone().into());
        let login = NewLogin {
            owner,
            mode: how.mode,
            transport: how.transport,
            remember_me: request.remember_me,
            device: Device {
                name: request.device_name,
                address: client.address.to_string(),
                user_agent: client.user_agent,
            },
            access: how.access,
            replaces: how.replaces,
        };
        self.logins.start(login).await?.ok_or_else(|| changed.into())
    }

    /// Looks whether a network may try at all, before a place in the queue is taken: who may not is in nobody's way there. A
    /// try at what is closed counts as one that fails.
    async fn look<E: From<Limited>>(
        &self,
        network: IpNet,
        look: impl Future<Output = Result<(), E>>,
        is_closed: impl FnOnce(&E) -> bool,
    ) -> Result<(), E> {
        self.limits.login.check(network)?;
        let outcome = look.await;
        if outcome.as_ref().is_err_and(is_closed) {
            self.limits.login.count(network)?;
        }
        outcome
    }

    /// Has a network prove something by a password, which counts when it fails.
    async fn guarded<T, E: From<Limited>>(
        &self,
        network: IpNet,
        proof: impl Future<Output = Result<T, E>>,
        has_failed: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let attempt = self.limits.login.begin(network).await?;
        let outcome = proof.await;
        match &outcome {
            // Dropped, it counts.
            Err(error) if has_failed(error) => drop(attempt),
            // Nobody has failed while the service could not tell.
            _ => attempt.forget(),
        }
        outcome
    }

    /// Tells the trail and the log what came of it, and of which account: never which name was typed.
    fn tell(
        &self,
        outcome: &Result<Login, VerifyError>,
        origin: Origin,
        mode: &'static str,
        transport: &'static str,
    ) {
        let entry = |kind| Entry::new(kind, origin).in_mode(mode).by(transport);
        match outcome {
            Ok(Login { id, user, .. }) => {
                telemetry::note(RequestUser { user: user.id, login: *id, mode });
                self.trail.record(entry(Kind::LoginStarted).in_login(*id).of_user(user.id, &user.username));
            }
            Err(VerifyError::InvalidCredentials(refused)) => {
                let entry = entry(Kind::LoginFailed).with("reason", refused.as_str());
                self.trail.record(of_account(entry, refused.user()));
            }
            Err(VerifyError::Limited(limited)) => {
                self.trail.record(entry(Kind::LoginLimited).with("limit", limited.policy));
            }
            Err(VerifyError::Closed { limited, user }) => {
                let entry = entry(Kind::LoginLimited).with("limit", limited.policy);
                self.trail.record(of_account(entry, user.as_ref()));
            }
            Err(VerifyError::Password(_) | VerifyError::Database(_)) => {}
        }
    }

    /// Ends every login of a user, in every mode.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end_all(&self, identity: &Identity, client: &Client) -> Result<(), DatabaseError> {
        let ended = self.accounts.sign_out(identity.user_id).await?;
        self.trail.record(identity.did(Kind::LogoutAll, client).with("logins", ended));
        self.logins.announce().await;
        Ok(())
    }

    /// Sets another password, and ends every login of the user but this one.
    ///
    /// # Errors
    /// 403 `invalid_credentials`, `validation_failed`, `rate_limited`.
    pub async fn change_password(
        &self,
        identity: &Identity,
        request: &PasswordRequest,
        client: &Client,
    ) -> Result<(), Problem> {
        let outcome = self.try_change_password(identity, request, client).await;
        let entry = |kind| identity.did(kind, client);
        match &outcome {
            Ok(()) => self.trail.record(entry(Kind::PasswordChanged)),
            Err(ChangePasswordError::WrongPassword) => self.trail.record(entry(Kind::PasswordChangeFailed)),
            Err(ChangePasswordError::Limited(limited)) => {
                self.trail.record(entry(Kind::LoginLimited).with("limit", limited.policy));
            }
            Err(_) => {}
        }
        outcome?;
        self.logins.announce().await;
        Ok(())
    }

    async fn try_change_password(
        &self,
        identity: &Identity,
        request: &PasswordRequest,
        client: &Client,
    ) -> Result<(), ChangePasswordError> {
        let PasswordRequest { current_password, new_password } = request;
        let Identity { user_id, login_id, .. } = *identity;
        let look = self.accounts.check_open_to(user_id);
        self.look(client.network(), look, is_wrong_password).await?;
        let place = self.accounts.enter()?;
        let _turn = place.turn().await?;
        let change = self.accounts.change_password(place, user_id, current_password, new_password, login_id);
        self.guarded(client.network(), change, is_wrong_password).await
    }
}

fn of_account(entry: Entry, user: Option<&UserRef>) -> Entry {
    match user {
        Some(user) => entry.of_user(user.id, &user.username),
        None => entry,
    }
}

fn is_wrong_login(error: &VerifyError) -> bool {
    matches!(error, VerifyError::InvalidCredentials(_) | VerifyError::Closed { .. })
}

fn is_wrong_password(error: &ChangePasswordError) -> bool {
    matches!(error, ChangePasswordError::WrongPassword | ChangePasswordError::Limited(_))
}

fn check_device_name(name: Option<&str>) -> Result<(), Problem> {
    if name.is_none_or(|name| name.chars().count() <= MAX_DEVICE_NAME) {
        return Ok(());
    }
    let detail = format!("must have {MAX_DEVICE_NAME} characters at most");
    Err(Problem::validation(vec![FieldError { pointer: "/device_name".to_owned(), detail }]))
}
