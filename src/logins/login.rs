//! A login: one sign-in on one device, with its lifetimes and states.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::challenges::CheckedProof;
use crate::mail::SealedMail;
use crate::users::User;

use super::authentication::Authentication;
use super::credential_rotation_history::CredentialRotationHistory;
use super::replaced_login::ReplacedLogin;

/// How a client carries its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// In cookies, as browsers do.
    Cookie,
    /// In `Authorization: Bearer`, as mobile apps and SPAs do (RFC 6750).
    Bearer,
}

impl Transport {
    /// Its name in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
        }
    }
}

impl From<String> for Transport {
    fn from(name: String) -> Self {
        // The table's check constraint allows these two.
        if name == "cookie" { Self::Cookie } else { Self::Bearer }
    }
}

/// One sign-in on one device.
#[derive(Clone, Debug)]
pub struct Login {
    /// Stays the same while its credentials are renewed.
    pub id: Uuid,
    /// Who signed in.
    pub user: User,
    /// The mode of its credentials.
    pub mode: String,
    /// How its credential is transported.
    pub transport: Transport,
    /// How its session id is transported, if it was handed off to that.
    pub(super) handle_transport: Option<Transport>,
    /// Whether the mode that it was looked up for has a credential of it that can be renewed.
    pub is_presented: bool,
    /// Whether it has the longer lifetimes of "remember me".
    pub remember_me: bool,
    /// How its owner authenticated.
    pub authentication: Authentication,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, precise to `LAST_SEEN_INTERVAL`.
    pub last_seen_at: DateTime<Utc>,
    /// When it expires unless it is used.
    pub idle_expires_at: DateTime<Utc>,
    /// When it expires in any case.
    pub expires_at: DateTime<Utc>,
    /// Which generation of its credential is current, and which were replaced recently: in the mode that it was looked up
    /// for.
    pub generations: CredentialRotationHistory,
    /// Hash of the secret in its refresh tokens, if it has any.
    pub secret_hash: Option<SecretHash>,
    /// When the last access token issued for it expires. `None`: it has none.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// When it was ended, unless it is live or has expired.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether its owner is disabled.
    pub user_disabled: bool,
}

/// The state of a login at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginState {
    /// Neither ended nor expired.
    Live,
    /// It was ended, or its owner was disabled.
    Ended,
    /// The idle or the absolute lifetime has passed.
    Expired,
}

impl Login {
    /// The audit event for its start.
    pub(super) fn started(&self, actor: &Actor) -> NewEvent {
        NewEvent::new(Kind::LoginStarted, actor)
            .of_user(self.user.id, &self.user.username)
            .in_login(self.id)
            .in_mode(&self.mode)
            .by_transport(self.transport.as_str())
    }

    /// When it expires if it is not used.
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.idle_expires_at.min(self.expires_at)
    }

    /// Time until its absolute expiry, rounded up to whole seconds.
    pub fn time_left(&self, now: DateTime<Utc>) -> Duration {
        let left = (self.expires_at - now).to_std().unwrap_or_default();
        Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// The state at this time.
    pub fn state(&self, now: DateTime<Utc>) -> LoginState {
        if self.ended_at.is_some() || self.user_disabled {
            LoginState::Ended
        } else if now >= self.ends_at() {
            LoginState::Expired
        } else {
            LoginState::Live
        }
    }
}

/// SHA-256 of an opaque handle.
pub type HandleHash = [u8; 32];

/// SHA-256 of the secret in a login's refresh tokens.
pub type SecretHash = [u8; 32];

/// The claims of a refresh token.
#[derive(Clone, Copy, Debug)]
pub struct RefreshTokenClaims {
    /// The mode of the token.
    pub mode: &'static str,
    /// The login.
    pub login: Uuid,
    /// The generation of its credential.
    pub generation: i32,
    /// Hash of the token's secret. `None` in tokens of logins that began before tokens had one.
    pub secret_hash: Option<SecretHash>,
}

/// How requests identify the login.
#[derive(Clone, Copy, Debug)]
pub enum LoginCredentialHash {
    /// By an opaque handle; this is the hash of it.
    Handle(HandleHash),
    /// By a signed access token, which needs no look-up. This is the hash of the secret in its refresh tokens.
    Token(SecretHash),
}

/// A login as a credential of it says.
#[derive(Clone, Copy, Debug)]
pub struct ClaimedLogin {
    /// Its id.
    pub id: Uuid,
    /// How it was authenticated. If it was authenticated again since, the credential is not exchanged for another: that would
    /// prove more than this one does.
    pub authentication: Authentication,
}

/// How a login is presented in a mode.
#[derive(Clone, Copy, Debug)]
pub struct Presentation {
    /// The mode.
    pub mode: &'static str,
    /// How the credential is sent.
    pub transport: Transport,
    /// How requests will identify the login.
    pub key: LoginCredentialHash,
    /// The other login on this device that it replaces.
    pub replaces: Option<ReplacedLogin>,
}

/// The input for a new login.
#[derive(Debug)]
pub struct NewLogin {
    /// Who signs in.
    pub user: User,
    /// How they authenticated.
    pub authentication: Authentication,
    /// The user's password version at that time. If it has changed since, the authentication no longer counts.
    pub password_version: i32,
    /// The mode of its credentials.
    pub mode: &'static str,
    /// How its credential is transported.
    pub transport: Transport,
    /// Whether it has the longer lifetimes of "remember me".
    pub remember_me: bool,
    /// The device.
    pub device: Device,
    /// How requests will identify it.
    pub key: LoginCredentialHash,
    /// The login on this device that it replaces.
    pub replaces: Option<ReplacedLogin>,
    /// Tells the user of a sign-in from a network that the account was not used from before. Queued only if that is so.
    pub notice: Option<SealedMail>,
    /// Used up if the login begins.
    pub proof: CheckedProof,
}

/// The identity that a request acts as: the parts of a login that its use does not change.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginIdentity {
    /// The login.
    pub login_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// The names of the user's roles.
    pub roles: Vec<String>,
    /// How its handle is transported.
    pub transport: Transport,
    /// How the owner authenticated.
    pub authentication: Authentication,
    /// Whether it has the longer lifetimes of "remember me".
    pub(super) remember_me: bool,
    /// When it expires in any case.
    pub(super) expires_at: DateTime<Utc>,
}

/// A login that was found by its handle.
#[derive(Clone, Debug)]
pub struct FoundLogin {
    /// The identity that the handle stands for.
    pub principal: Arc<LoginIdentity>,
    /// The status of the handle.
    pub validity: HandleStatus,
    /// When the handle expires if it is not used or renewed.
    pub ends_at: DateTime<Utc>,
}

/// The status of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleStatus {
    /// The login is live, and this generation is current or within its grace.
    Valid,
    /// The login is live, but this generation was replaced.
    Replaced,
    /// The login has ended or expired.
    Ended,
}

/// A login as its owner sees it in a list.
#[derive(Clone, Debug)]
pub struct ListedLogin {
    /// See [`Login::id`].
    pub id: Uuid,
    /// See [`Login::mode`].
    pub mode: String,
    /// Whether that mode has a credential of it. Not after a step-up in the other one.
    pub in_own_mode: bool,
    /// Whether the other mode has one.
    pub in_other_mode: bool,
    /// See [`Login::transport`].
    pub transport: Transport,
    /// See [`Login::remember_me`].
    pub remember_me: bool,
    /// See [`Login::authentication`].
    pub authentication: Authentication,
    /// The device.
    pub device: Device,
    /// See [`Login::created_at`].
    pub created_at: DateTime<Utc>,
    /// See [`Login::last_seen_at`].
    pub last_seen_at: DateTime<Utc>,
    /// See [`Login::idle_expires_at`].
    pub idle_expires_at: DateTime<Utc>,
    /// See [`Login::expires_at`].
    pub expires_at: DateTime<Utc>,
}

/// Which part of a list of logins to return, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Maximum number of logins.
    pub limit: u8,
    /// The last login of the previous page; `None` for the first page.
    pub after: Option<PageCursor>,
}

/// The position of a login in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// See [`Login::created_at`].
    pub created_at: DateTime<Utc>,
    /// See [`Login::id`].
    pub id: Uuid,
}

/// The device of a login.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// The name that its owner gave it.
    pub name: Option<String>,
    /// The client's network address.
    pub address: String,
    /// The client's `User-Agent` header.
    pub user_agent: String,
}

/// A login that has just been ended.
#[derive(Clone, Debug)]
pub(super) struct EndedLogin {
    /// See [`Login::id`].
    pub(super) id: Uuid,
    /// Its owner's id.
    pub(super) user_id: Uuid,
    /// Its owner's name.
    pub(super) username: String,
    /// See [`Login::mode`].
    pub(super) mode: String,
    /// See [`Login::transport`].
    pub(super) transport: Transport,
}

impl EndedLogin {
    /// The audit event for its end.
    pub(super) fn entry(&self, kind: Kind, actor: &Actor) -> NewEvent {
        NewEvent::new(kind, actor)
            .of_user(self.user_id, &self.username)
            .in_login(self.id)
            .in_mode(&self.mode)
            .by_transport(self.transport.as_str())
    }
}

/// The outcome of a renewal.
#[derive(Debug)]
pub enum RenewalOutcome {
    /// The login after the renewal. The credential of its current generation is to be issued.
    Renewed(Box<Login>),
    /// The generation was replaced longer ago than the grace, so the credential may have been copied. The login has
    /// ended, or must be ended, because of that.
    Reused,
    /// The login had ended.
    Ended,
    /// The login had expired.
    Expired,
    /// A step-up has replaced the credential. The login is live, with a newer one.
    SteppedUp,
    /// There is no such login or generation, or the secret of its refresh tokens is a different one.
    Unknown,
}

/// An additional authentication of a live login.
#[derive(Debug)]
pub struct StepUp {
    /// The mode whose credential is replaced. The other mode's ends.
    pub mode: &'static str,
    /// The generation of the login when the authentication began. If the login was renewed since, the step-up is
    /// rejected: its owner would lose the new credential.
    pub generation: i32,
    /// The generation of the presented credential, if the credential contains it.
    pub shown: Option<i32>,
    /// The authentication to add.
    pub authentication: Authentication,
    /// See [`NewLogin::password_version`].
    pub password_version: i32,
    /// Hash of a new secret for its refresh tokens, in modes that have them.
    pub secret_hash: Option<SecretHash>,
    /// Used up if the login is stepped up.
    pub proof: CheckedProof,
}

/// The outcome of a step-up.
#[derive(Debug)]
pub enum StepUpOutcome {
    /// The login after the step-up. Only credentials of its current generation are accepted.
    SteppedUp(Box<Login>),
    /// The login was renewed or stepped up at the same time.
    Overtaken,
    /// The mode has no credential of the login that could be replaced.
    NotPresented,
    /// The user's password has changed in the meantime, or the proof was used by another.
    ProofChanged,
    /// The login has ended or expired.
    Ended,
}
