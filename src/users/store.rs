//! Users in Postgres.

use sqlx::PgPool;

use crate::database::{DatabaseError, answer};

use super::User;

/// Which unique value somebody else has.
pub(super) enum Taken {
    Username,
    Email,
}

/// A user with what proves it.
pub(super) struct Found {
    pub(super) user: User,
    pub(super) password_hash: String,
    pub(super) disabled: bool,
}

pub(super) async fn insert(
    pool: &PgPool,
    user: &User,
    password_hash: &str,
) -> Result<Result<(), Taken>, DatabaseError> {
    let insert = sqlx::query!(
        "insert into users (id, username, email, password_hash, roles, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        user.id,
        user.username,
        user.email,
        password_hash,
        &user.roles,
        user.created_at,
    );
    match answer(insert.execute(pool)).await {
        Ok(_) => Ok(Ok(())),
        Err(error) => taken(&error).map(Err).ok_or(error),
    }
}

fn taken(error: &DatabaseError) -> Option<Taken> {
    let DatabaseError::Refused(sqlx::Error::Database(error)) = error else { return None };
    match error.constraint()? {
        "users_username_key" => Some(Taken::Username),
        "users_email_key" => Some(Taken::Email),
        _ => None,
    }
}

/// No username has an `@`, so a name is never both.
pub(super) async fn find_by_name(pool: &PgPool, name: &str) -> Result<Option<Found>, DatabaseError> {
    let query = sqlx::query!(
        r#"select id, username, email, roles, created_at, password_hash, disabled_at is not null as "disabled!"
           from users
           where lower(username collate "C") = lower($1::text collate "C")
              or lower(email collate "C") = lower($1::text collate "C")"#,
        name,
    );
    let row = answer(query.fetch_optional(pool)).await?;
    Ok(row.map(|row| Found {
        user: User {
            id: row.id,
            username: row.username,
            email: row.email,
            roles: row.roles,
            created_at: row.created_at,
        },
        password_hash: row.password_hash,
        disabled: row.disabled,
    }))
}
