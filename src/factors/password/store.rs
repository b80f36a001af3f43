//! Passwords in Postgres, and tries at them, which are counted before anybody knows whether they will fail.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::users::{AttemptSource, NO_PASSWORD, User, UserRef};

/// A user with what proves it.
pub(super) struct FoundUser {
    pub(super) user: User,
    pub(super) password: StoredPassword,
    pub(super) disabled: bool,
}

/// A password as it is stored.
pub(super) struct StoredPassword {
    /// None: the user signs in without one.
    pub(super) hash: Option<String>,
    /// How often it was changed.
    pub(super) version: i32,
}

/// No try is taken from there before this time, for this user, if it is one.
pub(super) type NextTry = (DateTime<Utc>, Option<UserRef>);

/// Whether a try to be whoever has this name would be taken. It is not counted.
pub(super) async fn next_try(
    pool: &ConnectionPool,
    name: &str,
    source: AttemptSource,
    now: DateTime<Utc>,
) -> Result<Option<NextTry>, DatabaseError> {
    let query = sqlx::query!(
        r#"with named as materialized (
             select id, username from dualauth.users
             where lower(username collate "C") = lower($1::text collate "C")
                or lower(email collate "C") = lower($1::text collate "C")
           )
           select dualauth.next_try_at(id, $2, $3, $4) as closed_until, id as "id?", username as "username?"
           from (select 1) as once left join named on true"#,
        name,
        source.unknown_name.as_bytes(),
        source.address.to_string(),
        now,
    );
    let row = answer(query.fetch_one(pool)).await?;
    let user = row.id.zip(row.username).map(|(id, username)| UserRef { id, username });
    Ok(row.closed_until.map(|until| (until, user)))
}

/// Somebody who is to prove to be the user of this name: counts the try as failed, and does so for a name that nobody has
/// as well. `Err`: it is not taken.
pub(super) async fn find_by_claim(
    pool: &ConnectionPool,
    name: &str,
    source: AttemptSource,
    now: DateTime<Utc>,
) -> Result<Result<Option<FoundUser>, NextTry>, DatabaseError> {
    let query = sqlx::query!(
        r#"with named as materialized (
             select * from dualauth.users
             where lower(username collate "C") = lower($1::text collate "C")
                or lower(email collate "C") = lower($1::text collate "C")
           ), tried as materialized (
             select dualauth.count_try((select id from named), $2, $3, $4) as closed_until
           )
           select closed_until, id as "id?", username as "username?", email as "email?", roles as "roles?",
                  created_at as "created_at?", password_hash,
                  password_version as "password_version?", disabled_at is not null as "disabled!"
           from tried left join named on true"#,
        name,
        source.unknown_name.as_bytes(),
        source.address.to_string(),
        now,
    );
    let row = answer(query.fetch_one(pool)).await?;
    if let Some(until) = row.closed_until {
        let user = row.id.zip(row.username).map(|(id, username)| UserRef { id, username });
        return Ok(Err((until, user)));
    }
    let found = || {
        Some(FoundUser {
            user: User {
                id: row.id?,
                username: row.username?,
                email: row.email?,
                roles: row.roles?,
                created_at: row.created_at?,
            },
            password: StoredPassword { hash: row.password_hash, version: row.password_version? },
            disabled: row.disabled,
        })
    };
    Ok(Ok(found()))
}

/// Whether a try of a user to prove once more to be who they are would be taken; else when the next one is. They are no
/// stranger: a login of theirs asks. It is not counted.
pub(super) async fn own_next_try(
    pool: &ConnectionPool,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, DatabaseError> {
    let query = sqlx::query_scalar!("select dualauth.own_next_try_at($1, $2)", user, now);
    answer(query.fetch_one(pool)).await
}

/// Their password, for such a try, which is counted as failed. `Err`: no try is taken before this time.
pub(super) async fn password_by_claim(
    pool: &ConnectionPool,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<Result<Option<StoredPassword>, DateTime<Utc>>, DatabaseError> {
    let query = sqlx::query!(
        r#"select password_hash, password_version, dualauth.count_own_try(id, $2) as closed_until
           from dualauth.users where id = $1"#,
        user,
        now,
    );
    let Some(row) = answer(query.fetch_optional(pool)).await? else { return Ok(Ok(None)) };
    let stored = StoredPassword { hash: row.password_hash, version: row.password_version };
    Ok(row.closed_until.map_or(Ok(Some(stored)), Err))
}

/// Stores another hash of the same password in the place of this one, if that is still there. Nobody is signed out
/// by it.
pub(super) async fn upgrade_hash(
    pool: &ConnectionPool,
    user: Uuid,
    old: &str,
    new: &str,
) -> Result<(), DatabaseError> {
    let update = sqlx::query!(
        "update dualauth.users set password_hash = $3 where id = $1 and password_hash = $2",
        user,
        old,
        new,
    );
    answer(update.execute(pool)).await.map(drop)
}

/// Sets another password in the place of the one of this version, and ends every login but one. `false` when the
/// password was changed meanwhile.
pub(super) async fn change_password(
    pool: &ConnectionPool,
    user: Uuid,
    old_version: i32,
    new_hash: &str,
    kept: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let change = sqlx::query_scalar!(
        r#"with changed as (
             update dualauth.users set password_hash = $3, password_version = password_version + 1
             where id = $1 and password_version = $2 and disabled_at is null
             returning id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, $4, $5)
           )
           select exists (select from changed) as "changed!" from ended"#,
        user,
        old_version,
        new_hash,
        kept,
        now,
    );
    answer(change.fetch_one(pool)).await
}

/// Whether the user has a password.
pub(super) async fn has_password(pool: &ConnectionPool, user: Uuid) -> Result<bool, DatabaseError> {
    let query = sqlx::query_scalar!(
        r#"select exists (select from dualauth.users where id = $1 and password_hash <> $2) as "has!""#,
        user,
        NO_PASSWORD,
    );
    answer(query.fetch_one(pool)).await
}

/// Sets a password for a user who has none, and ends every login but one. `false` when there is one, or the user is disabled.
pub(super) async fn set_first_password(
    pool: &ConnectionPool,
    user: Uuid,
    hash: &str,
    kept: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let set = sqlx::query_scalar!(
        r#"with changed as (
             update dualauth.users set password_hash = $2, password_version = password_version + 1
             where id = $1 and coalesce(password_hash, $5) = $5 and disabled_at is null
             returning id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, $3, $4)
           )
           select exists (select from changed) as "changed!" from ended"#,
        user,
        hash,
        kept,
        now,
        NO_PASSWORD,
    );
    answer(set.fetch_one(pool)).await
}
