//! Custom tokens: one-time or temporary access that a registered client defines, such as an invitation or a download.
//!
//! A token belongs to the client that created it. It is redeemed a limited number of times, for the purpose that it was
//! created for; one statement checks everything and counts the use, so that no two nodes accept more than that number.

mod error;
mod store;
mod sweep;
mod validation;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::clock::Clock;
use crate::database::{ConnectionPool, DatabaseError};
use crate::tokens::OpaqueToken;

pub use self::error::{CreateTokenError, RedeemTokenError};
pub use self::validation::{MAX_DATA, MAX_LIFETIME, MAX_PURPOSE, MAX_USES};

/// Prefix that distinguishes custom tokens from other secrets.
const PREFIX: &str = "dat_";

/// What a client wants a token for. Checked when the token is created.
#[derive(Debug)]
pub struct CustomTokenSpec {
    /// What it is for: 1 to [`MAX_PURPOSE`] ASCII letters, digits, `_ . -`.
    pub purpose: String,
    /// Its lifetime in seconds, 1 to [`MAX_LIFETIME`].
    pub expires_in: i64,
    /// How often it can be redeemed, 1 to [`MAX_USES`].
    pub uses: i64,
    /// The id of the user whom it is for, if any.
    pub user_id: Option<String>,
    /// The client's own data: JSON text, at most [`MAX_DATA`] bytes without the white space between its parts.
    pub data: Option<String>,
}

/// A token that was created.
#[derive(Debug)]
pub struct CreatedToken {
    /// Its id, by which it is deleted.
    pub id: Uuid,
    /// The token itself. It is not available later.
    pub token: OpaqueToken,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// A token at one of its uses.
#[derive(Debug)]
pub struct RedeemedToken {
    /// Its id.
    pub id: Uuid,
    /// The user whom it is for, as they are now.
    pub user: Option<TokenUser>,
    /// The client's own data: JSON text.
    pub data: Option<String>,
    /// How often it can still be redeemed.
    pub uses_left: i32,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// The user whom a token is for.
#[derive(Debug)]
pub struct TokenUser {
    /// The user's id.
    pub id: Uuid,
    /// The user's name.
    pub username: String,
    /// The names of the user's roles.
    pub roles: Vec<String>,
}

/// The custom tokens of all clients.
#[derive(Clone, Debug)]
pub struct CustomTokens {
    pool: ConnectionPool,
    clock: Clock,
    trail: Trail,
}

impl CustomTokens {
    /// The tokens in this database.
    pub fn new(pool: ConnectionPool, clock: Clock, trail: Trail) -> Self {
        Self { pool, clock, trail }
    }

    /// Creates a token of this client.
    ///
    /// # Errors
    /// See [`CreateTokenError`].
    pub async fn create(
        &self,
        client_id: Uuid,
        spec: CustomTokenSpec,
        actor: &Actor,
    ) -> Result<CreatedToken, CreateTokenError> {
        let spec = validation::check(spec)?;
        let (id, token, created_at) = (Uuid::now_v7(), OpaqueToken::generate(PREFIX), self.clock.now());
        let expires_at = created_at + spec.lifetime;
        let row =
            store::NewRow { id, token_hash: token.hash(), client_id, spec: &spec, created_at, expires_at };
        let username = store::insert(&self.pool, row).await?;
        let created = entry(Kind::CustomTokenCreated, actor, id);
        let created = created.with("purpose", spec.purpose).with("uses", spec.uses);
        self.trail.record(of_user(created, spec.user_id.zip(username)));
        Ok(CreatedToken { id, token, expires_at })
    }

    /// Redeems a token of this client, which uses it up by one.
    ///
    /// # Errors
    /// See [`RedeemTokenError`].
    pub async fn redeem(
        &self,
        client_id: Uuid,
        token: &str,
        purpose: &str,
        actor: &Actor,
    ) -> Result<RedeemedToken, RedeemTokenError> {
        validation::check_purpose(purpose).map_err(|error| RedeemTokenError::Invalid(vec![error]))?;
        let token = OpaqueToken::parse(PREFIX, token).ok_or(RedeemTokenError::NotRedeemable)?;
        let used = store::use_once(&self.pool, &token.hash(), client_id, purpose, self.clock.now()).await?;
        let used = used.ok_or(RedeemTokenError::NotRedeemable)?;
        let redeemed = entry(Kind::CustomTokenRedeemed, actor, used.id);
        let redeemed = redeemed.with("purpose", purpose).with("uses_left", used.uses_left);
        let user = used.user.as_ref().map(|user| (user.id, user.username.clone()));
        self.trail.record(of_user(redeemed, user));
        Ok(used)
    }

    /// Deletes a token of this client. `false` when the client has no such token.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn delete(&self, client_id: Uuid, id: Uuid, actor: &Actor) -> Result<bool, DatabaseError> {
        let Some(deleted) = store::delete(&self.pool, client_id, id).await? else { return Ok(false) };
        let entry = entry(Kind::CustomTokenDeleted, actor, id).with("purpose", deleted.purpose);
        self.trail.record(of_user(entry, deleted.user_id.zip(deleted.username)));
        Ok(true)
    }

    /// Runs the task that deletes expired and used-up tokens.
    pub async fn run_sweep(self, upkeep: ConnectionPool) {
        sweep::run_sweep(&upkeep, &self.clock).await;
    }
}

/// An audit event about a client's token.
fn entry(kind: Kind, actor: &Actor, token: Uuid) -> NewEvent {
    NewEvent::new(kind, actor).with("token_id", token.to_string())
}

/// The event, of the user whom the token is for.
fn of_user(entry: NewEvent, user: Option<(Uuid, String)>) -> NewEvent {
    user.into_iter().fold(entry, |entry, (id, username)| entry.of_user(id, username))
}
