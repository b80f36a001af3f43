//! Queries on custom tokens: one statement for each operation.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

use super::error::CreateTokenError;
use super::validation::ValidSpec;
use super::{RedeemedToken, TokenUser};

/// The input of [`insert`].
pub(super) struct NewRow<'a> {
    pub(super) id: Uuid,
    pub(super) token_hash: [u8; 32],
    pub(super) client_id: Uuid,
    pub(super) spec: &'a ValidSpec,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
}

/// Inserts a token. Returns the name of the user whom it is for, if any.
pub(super) async fn insert(
    pool: &ConnectionPool,
    row: NewRow<'_>,
) -> Result<Option<String>, CreateTokenError> {
    let spec = row.spec;
    let insert = sqlx::query_scalar!(
        r#"with owner as (
             select username from dualauth.users where id = $5 and disabled_at is null
           ), created as (
             insert into dualauth.custom_tokens
                 (id, token_hash, client_id, purpose, user_id, data, uses_left, created_at, expires_at, sweep_at)
             select $1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $9
             where $5::uuid is null or exists (select from owner)
             returning 1
           )
           select (select username from owner) as "username?" from created"#,
        row.id,
        row.token_hash.as_slice(),
        row.client_id,
        spec.purpose,
        spec.user_id,
        spec.data,
        spec.uses,
        row.created_at,
        row.expires_at,
    );
    let username = answer(insert.fetch_optional(pool)).await.map_err(without_owner)?;
    username.ok_or(CreateTokenError::UnknownUser)
}

/// The user or the client may have been deleted while the statement ran, or the client before this node learnt of it.
fn without_owner(error: DatabaseError) -> CreateTokenError {
    let constraint = match &error {
        DatabaseError::Refused(sqlx::Error::Database(error)) => error.constraint(),
        _ => None,
    };
    match constraint {
        Some("custom_tokens_client_id_fkey") => CreateTokenError::UnknownClient,
        Some("custom_tokens_user_id_fkey") => CreateTokenError::UnknownUser,
        _ => error.into(),
    }
}

/// Uses a token once, if that is possible. A concurrent use waits for the row and looks at it anew, so that it is never
/// used more often than it may be.
pub(super) async fn use_once(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    client_id: Uuid,
    purpose: &str,
    now: DateTime<Utc>,
) -> Result<Option<RedeemedToken>, DatabaseError> {
    let redeem = sqlx::query!(
        r#"with used as (
             update dualauth.custom_tokens as token
             set uses_left = uses_left - 1, sweep_at = case when uses_left = 1 then $4 else sweep_at end
             where token_hash = $1 and client_id = $2 and purpose = $3 and uses_left > 0 and expires_at > $4
               and (user_id is null
                    or exists (select from dualauth.users where id = token.user_id and disabled_at is null))
             returning id, user_id, data, uses_left, expires_at
           )
           select used.id, used.data::text as data, used.uses_left, used.expires_at,
                  users.id as "user_id?", users.username as "username?", users.roles as "roles?"
           from used left join dualauth.users on users.id = used.user_id"#,
        token_hash.as_slice(),
        client_id,
        purpose,
        now,
    );
    let Some(row) = answer(redeem.fetch_optional(pool)).await? else { return Ok(None) };
    let user = row.user_id.zip(row.username).zip(row.roles);
    Ok(Some(RedeemedToken {
        id: row.id,
        user: user.map(|((id, username), roles)| TokenUser { id, username, roles }),
        data: row.data,
        uses_left: row.uses_left,
        expires_at: row.expires_at,
    }))
}

/// What is told of a token that was deleted.
pub(super) struct DeletedRow {
    pub(super) purpose: String,
    pub(super) user_id: Option<Uuid>,
    pub(super) username: Option<String>,
}

/// Deletes a token of this client. `None` when the client has no such token.
pub(super) async fn delete(
    pool: &ConnectionPool,
    client_id: Uuid,
    id: Uuid,
) -> Result<Option<DeletedRow>, DatabaseError> {
    let delete = sqlx::query_as!(
        DeletedRow,
        r#"with deleted as (
             delete from dualauth.custom_tokens where id = $1 and client_id = $2 returning purpose, user_id
           )
           select deleted.purpose, deleted.user_id, users.username as "username?"
           from deleted left join dualauth.users on users.id = deleted.user_id"#,
        id,
        client_id,
    );
    answer(delete.fetch_optional(pool)).await
}

/// Deletes tokens that were over by `cutoff`, at most `batch`. Returns their number.
pub(super) async fn sweep(
    pool: &ConnectionPool,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    let sweep = sqlx::query!(
        "delete from dualauth.custom_tokens where id in (
           select id from dualauth.custom_tokens where sweep_at <= $1
           order by sweep_at limit $2 for update skip locked)",
        cutoff,
        batch,
    );
    Ok(answer(sweep.execute(pool)).await?.rows_affected())
}
