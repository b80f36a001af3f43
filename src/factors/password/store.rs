//! SQL of password hashes, and of the counted attempts at them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::factors::RemovalRules;
use crate::mail::{Language, SealedMail};
use crate::users::{AddressAndNameBucket, NO_PASSWORD, User, UserIdAndName};

/// A user with the stored password.
pub(super) struct FoundUser {
    pub(super) user: User,
    pub(super) password: StoredPassword,
    pub(super) disabled: bool,
    pub(super) has_two_step: bool,
    pub(super) language: Language,
}

/// A password as it is stored.
pub(super) struct StoredPassword {
    /// `None` if the user has no password.
    pub(super) hash: Option<String>,
    /// The number of changes so far; a proof is valid for one version.
    pub(super) version: i32,
}

/// The time before which no attempt is accepted from a source, and the user concerned, if the name exists.
pub(super) type Lockout = (DateTime<Utc>, Option<UserIdAndName>);

/// The lockout of a name for a source, if it is locked. Counts no attempt.
pub(super) async fn locked_until(
    pool: &ConnectionPool,
    name: &str,
    source: AddressAndNameBucket,
    now: DateTime<Utc>,
) -> Result<Option<Lockout>, DatabaseError> {
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
    let user = row.id.zip(row.username).map(|(id, username)| UserIdAndName { id, username });
    Ok(row.closed_until.map(|until| (until, user)))
}

/// Finds the user with a name, and counts the attempt as a failure, also for an unknown name. `Err` if the account is
/// locked.
pub(super) async fn find_user_and_count_attempt(
    pool: &ConnectionPool,
    name: &str,
    source: AddressAndNameBucket,
    now: DateTime<Utc>,
) -> Result<Result<Option<FoundUser>, Lockout>, DatabaseError> {
    let query = sqlx::query!(
        r#"with named as materialized (
             select * from dualauth.users
             where lower(username collate "C") = lower($1::text collate "C")
                or lower(email collate "C") = lower($1::text collate "C")
           ), tried as materialized (
             select dualauth.count_try((select id from named), $2, $3, $4) as closed_until
           )
           select closed_until, id as "id?", username as "username?", email as "email?",
                  email_verified_at is not null as "email_verified!", roles as "roles?",
                  created_at as "created_at?", password_hash,
                  language as "language?", password_version as "password_version?", disabled_at is not null as "disabled!",
                  coalesce(two_step, false) as "has_two_step!"
           from tried left join named on true"#,
        name,
        source.unknown_name.as_bytes(),
        source.address.to_string(),
        now,
    );
    let row = answer(query.fetch_one(pool)).await?;
    if let Some(until) = row.closed_until {
        let user = row.id.zip(row.username).map(|(id, username)| UserIdAndName { id, username });
        return Ok(Err((until, user)));
    }
    let found = || {
        Some(FoundUser {
            user: User {
                id: row.id?,
                username: row.username?,
                email: row.email?,
                email_verified: row.email_verified,
                roles: row.roles?,
                created_at: row.created_at?,
            },
            password: StoredPassword { hash: row.password_hash, version: row.password_version? },
            disabled: row.disabled,
            has_two_step: row.has_two_step,
            language: Language::of_tag(&row.language?).unwrap_or_default(),
        })
    };
    Ok(Ok(found()))
}

/// When a signed-in user may try a password again, if not now. Counts no attempt. Separate from [`locked_until`], so that
/// a locked account does not keep its signed-in owner from reauthenticating.
pub(super) async fn reauth_locked_until(
    pool: &ConnectionPool,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, DatabaseError> {
    let query = sqlx::query_scalar!("select dualauth.own_next_try_at($1, $2)", user, now);
    answer(query.fetch_one(pool)).await
}

/// The stored password of a signed-in user; counts the attempt as a failure. `Err`: when the next attempt is possible.
pub(super) async fn password_and_count_attempt(
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

/// Replaces the hash `old` by another hash of the same password, unless it was changed meanwhile. Ends no login.
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

/// Replaces the password of version `old_version`, and ends every login of the user except `kept`. Returns `false` if
/// the password was changed or the user disabled meanwhile.
pub(super) async fn change_password(
    pool: &ConnectionPool,
    user: Uuid,
    old_version: i32,
    new_hash: &str,
    kept: Uuid,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let change = sqlx::query_scalar!(
        r#"with changed as (
             update dualauth.users set password_hash = $3, password_version = password_version + 1
             where id = $1 and password_version = $2 and disabled_at is null
             returning id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, $4, $5)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $6::uuid, $7::bytea, $5, $5, $8::timestamptz from changed where $6 is not null
           )
           select exists (select from changed) as "changed!" from ended"#,
        user,
        old_version,
        new_hash,
        kept,
        now,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
    );
    answer(change.fetch_one(pool)).await
}

/// Returns `true` if the user has a password.
pub(super) async fn has_password(pool: &ConnectionPool, user: Uuid) -> Result<bool, DatabaseError> {
    let query = sqlx::query_scalar!(
        r#"select exists (select from dualauth.users where id = $1 and password_hash <> $2) as "has!""#,
        user,
        NO_PASSWORD,
    );
    answer(query.fetch_one(pool)).await
}

/// Sets the password of a user who has none, and ends every login of the user except `kept`. Returns `false` if there is
/// a password already, or the user is disabled.
pub(super) async fn set_first_password(
    pool: &ConnectionPool,
    user: Uuid,
    hash: &str,
    kept: Uuid,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let set = sqlx::query_scalar!(
        r#"with changed as (
             update dualauth.users set password_hash = $2, password_version = password_version + 1
             where id = $1 and coalesce(password_hash, $5) = $5 and disabled_at is null
               and dualauth.may_change_factors($1, $3)
             returning id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, $3, $4)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $6::uuid, $7::bytea, $4, $4, $8::timestamptz from changed where $6 is not null
           )
           select exists (select from changed) as "changed!" from ended"#,
        user,
        hash,
        kept,
        now,
        NO_PASSWORD,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
    );
    answer(set.fetch_one(pool)).await
}

/// The outcome of [`remove_password`].
pub(super) enum PasswordRemoval {
    Removed,
    /// There is none.
    None,
    /// Nothing would be left to sign in with.
    LastFactor,
}

/// Removes the password, unless nothing would be left to sign in with, and ends every login of the user except `kept`.
pub(super) async fn remove_password(
    pool: &ConnectionPool,
    user: Uuid,
    kept: Uuid,
    rules: &RemovalRules,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<PasswordRemoval, DatabaseError> {
    let remove = sqlx::query!(
        r#"with owner as materialized (
             select id from dualauth.users
             where id = $1 and coalesce(password_hash, $9) <> $9 and disabled_at is null
               and dualauth.may_change_factors($1, $2) for update
           ), judged as materialized (
             select id, dualauth.may_remove_factor(id, true, null, $4, $5, $11, $10) as may_go from owner
           ), changed as (
             update dualauth.users u set password_hash = null, password_version = u.password_version + 1
             from judged where u.id = judged.id and judged.may_go returning u.id
           ), ended as (
             select count(*) from changed, dualauth.end_logins(changed.id, $2, $3)
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $6::uuid, $7::bytea, $3, $3, $8::timestamptz from changed where $6 is not null
           )
           select (select may_go from judged) as may_go, ended.count as "ended!" from ended"#,
        user,
        kept,
        now,
        rules.rp_id,
        rules.codes_sign_in,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
        NO_PASSWORD,
        rules.second_factor_required,
        &rules.providers,
    );
    Ok(match answer(remove.fetch_one(pool)).await?.may_go {
        Some(true) => PasswordRemoval::Removed,
        Some(false) => PasswordRemoval::LastFactor,
        None => PasswordRemoval::None,
    })
}
