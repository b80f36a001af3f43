//! What signing up and signing in have in common in every mode.

use crate::audit::{Entry, Kind, Trail};
use crate::database::DatabaseError;
use crate::error::{FieldError, Problem};
use crate::http::client::Client;
use crate::logins::{Access, Device, Login, Logins, NewLogin, Replaced, Transport};
use crate::users::{Accounts, ChangePasswordError, NewUser, Refused, VerifyError};

use super::{Identity, LoginRequest, PasswordRequest, RegisterRequest, UserBody};

/// The longest name of a device, in code points.
const MAX_DEVICE_NAME: usize = 64;

/// How a mode presents the login that it begins.
#[derive(Debug)]
pub struct Presentation {
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
#[derive(Clone)]
pub struct SignIn {
    accounts: Accounts,
    logins: Logins,
    trail: Trail,
}

impl SignIn {
    /// With these accounts and logins. What happens to them is told to this trail.
    pub fn new(accounts: Accounts, logins: Logins, trail: Trail) -> Self {
        Self { accounts, logins, trail }
    }

    /// Opens an account, asked to in this mode; signs nobody in.
    ///
    /// # Errors
    /// `validation_failed`, `conflict`.
    pub async fn register(
        &self,
        request: RegisterRequest,
        client: &Client,
        mode: &'static str,
    ) -> Result<UserBody, Problem> {
        let RegisterRequest { username, email, password } = request;
        let user = self.accounts.register(&NewUser { username, email, password, admin: false }).await?;
        let entry = Entry::new(Kind::Registered, client.origin()).in_mode(mode);
        self.trail.record(entry.of_user(user.id, &user.username));
        Ok(user.into())
    }

    /// Begins a login of whoever has this name and password.
    ///
    /// # Errors
    /// `invalid_credentials`, `validation_failed`.
    pub async fn start(
        &self,
        request: LoginRequest,
        client: Client,
        how: Presentation,
    ) -> Result<Login, Problem> {
        check_device_name(request.device_name.as_deref())?;
        let asked = |kind| Entry::new(kind, client.origin()).in_mode(how.mode).by(how.transport.as_str());
        let (started, failed) = (asked(Kind::LoginStarted), asked(Kind::LoginFailed));
        let outcome = self.begin(request, client, how).await;
        match &outcome {
            Ok(Login { id, user, .. }) => {
                self.trail.record(started.in_login(*id).of_user(user.id, &user.username));
            }
            Err(VerifyError::InvalidCredentials(refused)) => self.trail.record(of_refused(failed, refused)),
            Err(_) => {}
        }
        Ok(outcome?)
    }

    async fn begin(
        &self,
        request: LoginRequest,
        client: Client,
        how: Presentation,
    ) -> Result<Login, VerifyError> {
        let owner = self.accounts.verify(&request.username, &request.password).await?;
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

    /// Ends every login of a user, in every mode.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end_all(&self, identity: &Identity, client: &Client) -> Result<(), DatabaseError> {
        let ended = self.accounts.sign_out(identity.user_id).await?;
        self.trail.record(identity.did(Kind::LogoutAll, client).with("logins", ended));
        self.logins.catch_up().await;
        Ok(())
    }

    /// Sets another password, and ends every login of the user but this one.
    ///
    /// # Errors
    /// 403 `invalid_credentials`, `validation_failed`.
    pub async fn change_password(
        &self,
        identity: &Identity,
        request: &PasswordRequest,
        client: &Client,
    ) -> Result<(), Problem> {
        let PasswordRequest { current_password, new_password } = request;
        let Identity { user_id, login_id, .. } = *identity;
        let change = self.accounts.change_password(user_id, current_password, new_password, login_id);
        let outcome = change.await;
        match &outcome {
            Ok(()) => self.trail.record(identity.did(Kind::PasswordChanged, client)),
            Err(ChangePasswordError::WrongPassword) => {
                self.trail.record(identity.did(Kind::PasswordChangeFailed, client));
            }
            Err(_) => {}
        }
        outcome?;
        self.logins.catch_up().await;
        Ok(())
    }
}

/// Says of which account, if there is one of that name, and never which name was typed.
fn of_refused(entry: Entry, refused: &Refused) -> Entry {
    let entry = entry.with("reason", refused.as_str());
    match refused.user() {
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
