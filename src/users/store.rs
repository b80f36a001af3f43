//! Queries on users.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::mail::{Language, Recipient, SealedMail};

use super::{User, UserIdAndName, UserWithDisabledAt};

/// The unique value that another user has.
pub(super) enum Taken {
    Username,
    Email,
}

pub(super) async fn insert(
    pool: &ConnectionPool,
    user: &User,
    password_hash: &str,
    language: Language,
) -> Result<Result<(), Taken>, DatabaseError> {
    let insert = sqlx::query!(
        "insert into dualauth.users (id, username, email, password_hash, roles, created_at, language)
         values ($1, $2, $3, $4, $5, $6, $7)",
        user.id,
        user.username,
        user.email,
        password_hash,
        &user.roles,
        user.created_at,
        language.as_str(),
    );
    match answer(insert.execute(pool)).await {
        Ok(_) => Ok(Ok(())),
        Err(error) => taken(&error).map(Err).ok_or(error),
    }
}

pub(super) fn taken(error: &DatabaseError) -> Option<Taken> {
    let DatabaseError::Refused(sqlx::Error::Database(error)) = error else { return None };
    match error.constraint()? {
        "users_username_key" => Some(Taken::Username),
        "users_email_key" => Some(Taken::Email),
        _ => None,
    }
}

/// Whether a statement failed because another user has the email.
pub fn is_email_taken(error: &DatabaseError) -> bool {
    matches!(taken(error), Some(Taken::Email))
}

/// A user's `password_version`, and where the user gets mail.
///
/// # Errors
/// If the query fails.
pub async fn find_recipient(
    pool: &ConnectionPool,
    id: Uuid,
) -> Result<Option<(i32, Recipient)>, DatabaseError> {
    let query = sqlx::query!(
        r#"select password_version, email, language, email_verified_at is not null as "is_verified!"
           from dualauth.users where id = $1"#,
        id,
    );
    let row = answer(query.fetch_optional(pool)).await?;
    Ok(row.map(|row| (row.password_version, Recipient::new(row.email, row.is_verified, &row.language))))
}

/// The taken ones of these usernames, in lower case.
pub(super) async fn taken_usernames(
    pool: &ConnectionPool,
    usernames: &[String],
) -> Result<HashSet<String>, DatabaseError> {
    if usernames.is_empty() {
        return Ok(HashSet::new());
    }
    let query = sqlx::query_scalar!(
        r#"select lower(users.username collate "C") as "username!" from dualauth.users
           join (select distinct lower(name collate "C") as name from unnest($1::text[]) as wanted (name)) as wanted
             on lower(users.username collate "C") = wanted.name"#,
        usernames,
    );
    Ok(answer(query.fetch_all(pool)).await?.into_iter().collect())
}

/// The first of these usernames that is free.
pub(super) async fn first_free(
    pool: &ConnectionPool,
    usernames: &[String],
) -> Result<Option<String>, DatabaseError> {
    let query = sqlx::query_scalar!(
        r#"select username as "username!" from unnest($1::text[]) with ordinality as wanted (username, place)
           where not exists (
             select from dualauth.users where lower(users.username collate "C") = lower(wanted.username collate "C"))
           order by place limit 1"#,
        usernames,
    );
    answer(query.fetch_optional(pool)).await
}

/// Finds a user by username or email. Usernames have no `@`, so only one of them can match.
///
/// # Errors
/// If the query fails.
pub async fn find_by_name(pool: &ConnectionPool, name: &str) -> Result<Option<User>, DatabaseError> {
    let query = sqlx::query_as!(
        User,
        r#"select id, username, email, email_verified_at is not null as "email_verified!", roles, created_at
           from dualauth.users
           where lower(username collate "C") = lower($1::text collate "C")
              or lower(email collate "C") = lower($1::text collate "C")"#,
        name,
    );
    answer(query.fetch_optional(pool)).await
}

pub(super) async fn find(pool: &ConnectionPool, id: Uuid) -> Result<Option<User>, DatabaseError> {
    let query = sqlx::query_as!(
        User,
        r#"select id, username, email, email_verified_at is not null as "email_verified!", roles, created_at
           from dualauth.users where id = $1"#,
        id,
    );
    answer(query.fetch_optional(pool)).await
}

/// A row of an account.
struct AccountRow {
    id: Uuid,
    username: String,
    email: String,
    email_verified: bool,
    roles: Vec<String>,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
}

impl From<AccountRow> for UserWithDisabledAt {
    fn from(row: AccountRow) -> Self {
        let AccountRow { id, username, email, email_verified, roles, created_at, disabled_at } = row;
        Self { user: User { id, username, email, email_verified, roles, created_at }, disabled_at }
    }
}

/// Users with higher ids than this one, in order.
pub(super) async fn page(
    pool: &ConnectionPool,
    after: Uuid,
    limit: i64,
) -> Result<Vec<UserWithDisabledAt>, DatabaseError> {
    let query = sqlx::query_as!(
        AccountRow,
        r#"select id, username, email, email_verified_at is not null as "email_verified!", roles, created_at, disabled_at
           from dualauth.users where id > $1 order by id limit $2"#,
        after,
        limit,
    );
    Ok(answer(query.fetch_all(pool)).await?.into_iter().map(UserWithDisabledAt::from).collect())
}

/// An account, with the number of its live logins.
pub(super) async fn show(
    pool: &ConnectionPool,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<(UserWithDisabledAt, i64)>, DatabaseError> {
    let query = sqlx::query_as!(
        AccountRow,
        r#"select id, username, email, email_verified_at is not null as "email_verified!", roles, created_at, disabled_at
           from dualauth.users
           where lower(username collate "C") = lower($1::text collate "C")
              or lower(email collate "C") = lower($1::text collate "C")"#,
        name,
    );
    let Some(row) = answer(query.fetch_optional(pool)).await? else { return Ok(None) };
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from dualauth.logins
           where user_id = $1 and ended_at is null and idle_expires_at > $2 and expires_at > $2"#,
        row.id,
        now,
    );
    let logins = answer(count.fetch_one(pool)).await?;
    Ok(Some((row.into(), logins)))
}

/// Replaces the password hash and ends all logins. Returns the number of live logins that were ended; `None` when
/// there is no such user.
pub(super) async fn set_password(
    pool: &ConnectionPool,
    name: &str,
    hash: &str,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<Option<(UserIdAndName, i64)>, DatabaseError> {
    let set = sqlx::query!(
        r#"with changed as (
             update dualauth.users set password_hash = $2, password_version = password_version + 1
             where lower(username collate "C") = lower($1::text collate "C")
                or lower(email collate "C") = lower($1::text collate "C")
             returning id, username
           ), ended as (
             select count(ended.id) as logins from changed, dualauth.end_logins(changed.id, null, $3) ended
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $4::uuid, $5::bytea, $3, $3, $6::timestamptz from changed where $4 is not null
           )
           select changed.id, changed.username, ended.logins as "logins!" from changed, ended"#,
        name,
        hash,
        now,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
    );
    let set = answer(set.fetch_optional(pool)).await?;
    Ok(set.map(|row| (UserIdAndName { id: row.id, username: row.username }, row.logins)))
}

/// Deletes a user and, by foreign keys, all their data, and writes each login to the feed. Returns the number of live
/// logins that were ended; `None` when there is no such user.
pub(super) async fn delete(
    pool: &ConnectionPool,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<(UserIdAndName, i64)>, DatabaseError> {
    let delete = sqlx::query!(
        r#"with deleted as (
             delete from dualauth.users
             where lower(username collate "C") = lower($1::text collate "C")
                or lower(email collate "C") = lower($1::text collate "C")
             returning id, username
           )
           select id, username,
                  (select count(*) from dualauth.logins
                   where user_id = deleted.id and ended_at is null and idle_expires_at > $2 and expires_at > $2) as "logins!"
           from deleted"#,
        name,
        now,
    );
    let deleted = answer(delete.fetch_optional(pool)).await?;
    Ok(deleted.map(|row| (UserIdAndName { id: row.id, username: row.username }, row.logins)))
}

/// Ends all logins of a user. Returns their number.
pub(super) async fn sign_out(
    pool: &ConnectionPool,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<i64, DatabaseError> {
    // Locks the user's row first, so that a concurrent sign-in happens before or after, not in between.
    let end = sqlx::query_scalar!(
        r#"with owner as materialized (select id from dualauth.users where id = $1 for update)
           select count(ended.id) as "count!" from owner, dualauth.end_logins(owner.id, null, $2) ended"#,
        user,
        now,
    );
    answer(end.fetch_one(pool)).await
}

/// Disables a user, which ends all logins, or enables one. Queues `notice` if it disables one that was not disabled. `None`
/// when there is no such user.
pub(super) async fn set_disabled(
    pool: &ConnectionPool,
    name: &str,
    disabled: bool,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<Option<UserIdAndName>, DatabaseError> {
    let update = sqlx::query_as!(
        UserIdAndName,
        r#"with before as materialized (
             select id, disabled_at from dualauth.users
             where lower(username collate "C") = lower($1::text collate "C")
                or lower(email collate "C") = lower($1::text collate "C")
             for update
           ), changed as (
             update dualauth.users u set disabled_at = case when $2 then coalesce(u.disabled_at, $3) end
             from before where u.id = before.id
             returning u.id, u.username
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $4::uuid, $5::bytea, $3, $3, $6::timestamptz from before
             where $2 and before.disabled_at is null and $4 is not null
           )
           select id, username from changed"#,
        name,
        disabled,
        now,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
    );
    answer(update.fetch_optional(pool)).await
}

/// Declares the email of a user to be proved. `None` when there is no such user.
pub(super) async fn verify_email(
    pool: &ConnectionPool,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<UserIdAndName>, DatabaseError> {
    let update = sqlx::query_as!(
        UserIdAndName,
        r#"update dualauth.users set email_verified_at = coalesce(email_verified_at, $2)
           where lower(username collate "C") = lower($1::text collate "C")
              or lower(email collate "C") = lower($1::text collate "C")
           returning id, username"#,
        name,
        now,
    );
    answer(update.fetch_optional(pool)).await
}

/// Where the user with a username or email gets mail.
pub(super) async fn find_recipient_by_name(
    pool: &ConnectionPool,
    name: &str,
) -> Result<Option<Recipient>, DatabaseError> {
    let query = sqlx::query!(
        r#"select email, language, email_verified_at is not null as "is_verified!" from dualauth.users
           where lower(username collate "C") = lower($1::text collate "C")
              or lower(email collate "C") = lower($1::text collate "C")"#,
        name,
    );
    let row = answer(query.fetch_optional(pool)).await?;
    Ok(row.map(|row| Recipient::new(row.email, row.is_verified, &row.language)))
}

/// Adds or removes a role. Returns the user and the roles afterwards; `None` when there is no such user.
pub(super) async fn set_role(
    pool: &ConnectionPool,
    name: &str,
    role: &str,
    given: bool,
) -> Result<Option<(UserIdAndName, Vec<String>)>, DatabaseError> {
    let update = sqlx::query!(
        r#"update dualauth.users
           set roles = case when not $3 then array_remove(roles, $2::text)
                            when roles @> array[$2::text] then roles
                            else array_append(roles, $2::text) end
           where lower(username collate "C") = lower($1::text collate "C")
              or lower(email collate "C") = lower($1::text collate "C")
           returning id, username, roles"#,
        name,
        role,
        given,
    );
    let changed = answer(update.fetch_optional(pool)).await?;
    Ok(changed.map(|row| (UserIdAndName { id: row.id, username: row.username }, row.roles)))
}
