//! Registrations that wait for the proof of their address: nothing of them is in the table of users until then.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::challenges::HashedHalves;
use crate::crypto::SecretBytes;
use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::mail::{Language, Recipient};

use super::derived_username::{self, DerivedNames};
use super::store::{self, Taken};
use super::validation::{Field, Invalid, check_user, check_username};
use super::{Accounts, RegisterError, RegistrationInput, USER_ROLE, User};

/// An account that begins once its address is proved. No `Debug`: it has a password hash.
#[derive(Serialize, Deserialize)]
pub struct PendingRegistration {
    /// `None`: to be derived from the address.
    username: Option<String>,
    email: String,
    password_hash: String,
    language: Language,
}

/// The result of [`Accounts::prepare`].
pub struct PreparedRegistration {
    /// The registration, to be sealed with its challenge.
    pub pending: SecretBytes,
    /// The user who has the address already, if any.
    pub owner: Option<Recipient>,
}

/// The result of [`Accounts::complete`].
pub enum CompletedRegistration {
    /// The new user.
    Registered(User),
    /// The code is wrong.
    WrongCode,
    /// The challenge is over.
    Expired,
}

impl Accounts {
    /// Validates a registration, and hashes its password, whether anybody has the address or not.
    ///
    /// # Errors
    /// See [`RegisterError`]; never [`RegisterError::EmailTaken`].
    pub async fn prepare(&self, new: &RegistrationInput) -> Result<PreparedRegistration, RegisterError> {
        let password = new.password.expose_secret();
        let invalid = check_user(new.username.as_deref(), &new.email, password, self.min_password_length);
        if !invalid.is_empty() {
            return Err(RegisterError::Invalid(invalid));
        }
        let (is_username_taken, owner) = find_taken(&self.pool, new.username.as_deref(), &new.email).await?;
        if is_username_taken {
            return Err(RegisterError::UsernameTaken);
        }
        let pending = PendingRegistration {
            username: new.username.clone(),
            email: new.email.clone(),
            password_hash: self.hasher.hash(password).await?,
            language: new.language,
        };
        let pending = SecretBytes::new(serde_json::to_vec(&pending).unwrap_or_default());
        Ok(PreparedRegistration { pending, owner })
    }

    /// Redeems the challenge of a registration, and creates the account. `username` takes the place of the one that was asked
    /// for. A taken name uses nothing up.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn complete(
        &self,
        pending: &SecretBytes,
        username: Option<String>,
        halves: &HashedHalves,
        actor: &Actor,
    ) -> Result<CompletedRegistration, RegisterError> {
        if let Some(Err(detail)) = username.as_deref().map(check_username) {
            return Err(RegisterError::Invalid(vec![Invalid { field: Field::Username, detail }]));
        }
        // Of a version that knows other members.
        let Ok(pending) = serde_json::from_slice::<PendingRegistration>(pending.reveal()) else {
            return Ok(CompletedRegistration::Expired);
        };
        let completed = match username.or_else(|| pending.username.clone()) {
            Some(username) => self.redeem(&pending, &username, halves).await?,
            None => self.redeem_with_derived_name(&pending, halves).await?,
        };
        if let CompletedRegistration::Registered(user) = &completed {
            self.trail.record(NewEvent::new(Kind::Registered, actor).of_user(user.id, &user.username));
        }
        Ok(completed)
    }

    async fn redeem_with_derived_name(
        &self,
        pending: &PendingRegistration,
        halves: &HashedHalves,
    ) -> Result<CompletedRegistration, RegisterError> {
        let DerivedNames { preferred, fallback } = derived_username::derive(&pending.email);
        let free = store::first_free(&self.pool, &preferred).await?;
        match self.redeem(pending, free.as_ref().unwrap_or(&fallback), halves).await {
            // Another registration took the name in between.
            Err(RegisterError::UsernameTaken) => self.redeem(pending, &fallback, halves).await,
            outcome => outcome,
        }
    }

    async fn redeem(
        &self,
        pending: &PendingRegistration,
        username: &str,
        halves: &HashedHalves,
    ) -> Result<CompletedRegistration, RegisterError> {
        let user = User {
            id: Uuid::now_v7(),
            username: username.to_owned(),
            email: pending.email.clone(),
            email_verified: true,
            roles: vec![USER_ROLE.to_owned()],
            created_at: self.clock.now(),
        };
        match redeem(&self.pool, halves, &user, pending).await {
            Ok(Some(true)) => Ok(CompletedRegistration::Registered(user)),
            Ok(Some(false)) => Ok(CompletedRegistration::WrongCode),
            Ok(None) => Ok(CompletedRegistration::Expired),
            Err(error) => Err(match store::taken(&error) {
                Some(Taken::Username) => RegisterError::UsernameTaken,
                Some(Taken::Email) => RegisterError::EmailTaken,
                None => error.into(),
            }),
        }
    }
}

/// Whether somebody has the username, and the owner of the address.
async fn find_taken(
    pool: &ConnectionPool,
    username: Option<&str>,
    email: &str,
) -> Result<(bool, Option<Recipient>), DatabaseError> {
    let query = sqlx::query!(
        r#"select exists (select from dualauth.users where lower(username collate "C") = lower($1::text collate "C"))
                    as "is_username_taken!",
                  u.email as "email?", u.language as "language?", u.email_verified_at is not null as "is_verified!"
           from (select 1) as once left join dualauth.users u
             on lower(u.email collate "C") = lower($2::text collate "C")"#,
        username,
        email,
    );
    let row = answer(query.fetch_one(pool)).await?;
    let owner = || Some(Recipient::new(row.email?, row.is_verified, &row.language?));
    Ok((row.is_username_taken, owner()))
}

/// Redeems the challenge, and inserts the user if the code is right. `None`: the challenge is over.
async fn redeem(
    pool: &ConnectionPool,
    halves: &HashedHalves,
    user: &User,
    pending: &PendingRegistration,
) -> Result<Option<bool>, DatabaseError> {
    let now: DateTime<Utc> = user.created_at;
    let redeem = sqlx::query_scalar!(
        r#"with redeemed as materialized (
             select * from dualauth.redeem_challenge($1, $2, 'register', null, null, $3)
           ), inserted as (
             insert into dualauth.users (id, username, email, password_hash, roles, created_at, email_verified_at, language)
             select $4, $5, $6, $7, $8, $3, $3, $9 from redeemed where is_right
           )
           select is_right as "is_right!" from redeemed"#,
        halves.token_hash,
        &halves.code_macs,
        now,
        user.id,
        user.username,
        user.email,
        pending.password_hash,
        &user.roles,
        pending.language.as_str(),
    );
    answer(redeem.fetch_optional(pool)).await
}
