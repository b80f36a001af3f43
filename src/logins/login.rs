//! A login: one sign-in on one device, its lifetimes, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::{Actor, Entry, Kind};
use crate::users::User;

use super::authentication::Authentication;
use super::credential_generations::CredentialGenerations;

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
    /// Its name in the database, and wherever else.
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
    /// Never changes while the credentials that present it come and go.
    pub id: Uuid,
    /// Who signed in.
    pub user: User,
    /// The mode that presents it.
    pub mode: String,
    /// How it is presented.
    pub transport: Transport,
    /// Whether it has the longer lifetimes.
    pub remember_me: bool,
    /// How it was proved.
    pub authentication: Authentication,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was used last, within `LAST_SEEN_INTERVAL`.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends unless it is used.
    pub idle_expires_at: DateTime<Utc>,
    /// When it ends in any case.
    pub expires_at: DateTime<Utc>,
    /// Which credential is the current one, and which were replaced a moment ago.
    pub generations: CredentialGenerations,
    /// Of the secret in its refresh tokens, if it has such.
    pub secret_hash: Option<SecretHash>,
    /// When the last access token that was signed for it runs out; none: it is looked up by its handle.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// When it was ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether its owner may sign in at all.
    pub user_disabled: bool,
}

/// What is true of a login at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginState {
    /// Nothing speaks against it.
    Live,
    /// Somebody ended it, or disabled its owner.
    Ended,
    /// It lay idle too long, or reached its absolute end.
    Expired,
}

impl Login {
    /// What the audit trail is told of its beginning.
    pub(super) fn started(&self, actor: &Actor) -> Entry {
        Entry::new(Kind::LoginStarted, actor)
            .of_user(self.user.id, &self.user.username)
            .in_login(self.id)
            .in_mode(&self.mode)
            .by_transport(self.transport.as_str())
    }

    /// When it ends if it is not used.
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.idle_expires_at.min(self.expires_at)
    }

    /// How long until its absolute end, rounded up to whole seconds.
    pub fn time_left(&self, now: DateTime<Utc>) -> Duration {
        let left = (self.expires_at - now).to_std().unwrap_or_default();
        Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    /// What is true of it now.
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

/// What a refresh token says of its login.
#[derive(Clone, Copy, Debug)]
pub struct RefreshTokenClaims {
    /// The login.
    pub login: Uuid,
    /// The generation of its credential.
    pub generation: i32,
    /// Of the secret in it; none in tokens of a login that began before they had one.
    pub secret_hash: Option<SecretHash>,
}

/// How a request finds the login that it presents.
#[derive(Clone, Copy, Debug)]
pub enum LoginKey {
    /// By an opaque handle, of which this is the hash.
    Handle(HandleHash),
    /// It brings what it needs in a signed access token. This is the hash of the secret in its refresh tokens.
    Token(SecretHash),
}

/// What a login begins with.
#[derive(Debug)]
pub struct NewLogin {
    /// Who signs in.
    pub user: User,
    /// How they have proved to be the one.
    pub authentication: Authentication,
    /// How often what proves the account had changed by then: once it changes again, the proofs are worth nothing.
    pub password_version: i32,
    /// The mode that presents it.
    pub mode: &'static str,
    /// How it is presented.
    pub transport: Transport,
    /// Whether it has the longer lifetimes.
    pub remember_me: bool,
    /// The device that it happens on.
    pub device: Device,
    /// How a request finds it.
    pub key: LoginKey,
    /// The login that it takes the place of on this device.
    pub replaces: Option<ReplacedLogin>,
}

/// Who a request acts as: what of a login does not change with its use.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginIdentity {
    /// The login.
    pub login_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The user's name.
    pub username: String,
    /// What the user may do, by name.
    pub roles: Vec<String>,
    /// The mode that presents the login.
    pub mode: String,
    /// How it is presented.
    pub transport: Transport,
    /// How its owner proved to be the one.
    pub authentication: Authentication,
    /// Whether it has the longer lifetimes.
    pub(super) remember_me: bool,
    /// When it ends in any case.
    pub(super) expires_at: DateTime<Utc>,
}

/// A login that was found by its handle.
#[derive(Clone, Debug)]
pub struct FoundLogin {
    /// Who presents it.
    pub principal: Arc<LoginIdentity>,
    /// Whether what presents it is good.
    pub validity: HandleStatus,
    /// When that ends if it is not used, or not renewed.
    pub ends_at: DateTime<Utc>,
}

/// Whether a handle is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleStatus {
    /// The login is live, and this generation the current one or in its grace.
    Good,
    /// The login is live, and this generation was replaced.
    Replaced,
    /// The login has ended, or run out.
    Over,
}

/// A login as its owner sees it in a list.
#[derive(Clone, Debug)]
pub struct ListedLogin {
    /// See [`Login::id`].
    pub id: Uuid,
    /// See [`Login::mode`].
    pub mode: String,
    /// See [`Login::transport`].
    pub transport: Transport,
    /// See [`Login::remember_me`].
    pub remember_me: bool,
    /// See [`Login::authentication`].
    pub authentication: Authentication,
    /// The device that it happened on.
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

/// A part of a list of logins, the newest of which come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many there may be on it.
    pub limit: u8,
    /// The last of the page before.
    pub after: Option<PageCursor>,
}

/// Where a login stands in such a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// See [`Login::created_at`].
    pub created_at: DateTime<Utc>,
    /// See [`Login::id`].
    pub id: Uuid,
}

/// What is known of the device that somebody signs in on.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// What its owner calls it.
    pub name: Option<String>,
    /// The client's network address.
    pub address: String,
    /// What the client says it is.
    pub user_agent: String,
}

/// A login that was ended just now.
#[derive(Clone, Debug)]
pub(super) struct EndedLogin {
    /// See [`Login::id`].
    pub(super) id: Uuid,
    /// Whose it was.
    pub(super) user_id: Uuid,
    /// Its owner's name.
    pub(super) username: String,
    /// See [`Login::mode`].
    pub(super) mode: String,
    /// See [`Login::transport`].
    pub(super) transport: Transport,
}

impl EndedLogin {
    /// What the audit trail is told of its end.
    pub(super) fn entry(&self, kind: Kind, actor: &Actor) -> Entry {
        Entry::new(kind, actor)
            .of_user(self.user_id, &self.username)
            .in_login(self.id)
            .in_mode(&self.mode)
            .by_transport(self.transport.as_str())
    }
}

/// A login that another one takes the place of, by what the caller knows of it.
#[derive(Clone, Copy, Debug)]
pub enum ReplacedLogin {
    /// By its handle, if this generation is the current one or in its grace.
    Handle(HandleHash, i32),
    /// By its id.
    Id(Uuid),
}

/// What a renewal came to.
#[derive(Debug)]
pub enum RenewalOutcome {
    /// The login as it is now. Its current generation is the one whose credential is to be handed out.
    Renewed(Box<Login>),
    /// A generation that had been replaced for longer than the grace is used again: somebody else may have a copy.
    /// The login has ended, or is to be ended, for that.
    Reused,
    /// The login had ended.
    Ended,
    /// The login had expired.
    Expired,
    /// A step-up has replaced the credential. The login lives, under a newer one.
    SteppedUp,
    /// There is no such login, or not yet such a generation, or its refresh tokens have another secret in them.
    Unknown,
}

/// One more proof of who the owner of a login is.
#[derive(Clone, Copy, Debug)]
pub struct StepUp {
    /// Where the login stood when the proof was asked for. Whatever renewed it since is on its way to its owner, who would lose it.
    pub generation: i32,
    /// The generation of the credential that was shown, if that says it.
    pub shown: Option<i32>,
    /// What the login is to come to.
    pub authentication: Authentication,
    /// See [`NewLogin::password_version`].
    pub password_version: i32,
    /// Of a new secret for its refresh tokens, in modes that have such.
    pub secret_hash: Option<SecretHash>,
}

/// What a step-up came to.
#[derive(Debug)]
pub enum StepUpOutcome {
    /// The login as it is now. Only its current generation presents it.
    SteppedUp(Box<Login>),
    /// It was renewed or stepped up meanwhile.
    Overtaken,
    /// What proves the account has changed meanwhile.
    ProofChanged,
    /// It has ended, or run out.
    Over,
}
