//! Failed tries to prove who one is, as Postgres counts them: they are counted and answered in one statement.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{Connections, DatabaseError, answer};

use super::guesses::Claimant;
use super::store::{Found, StoredPassword};
use super::{User, UserRef};

/// No try is taken from there before this time, for this user, if it is one.
pub(super) type NextTry = (DateTime<Utc>, Option<UserRef>);

/// Whether a try to be whoever has this name would be taken. It is not counted.
pub(super) async fn next_try(
    pool: &Connections,
    name: &str,
    claimant: Claimant,
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
        claimant.nobody.as_bytes(),
        claimant.address.to_string(),
        now,
    );
    let row = answer(query.fetch_one(pool)).await?;
    let user = row.id.zip(row.username).map(|(id, username)| UserRef { id, username });
    Ok(row.closed_until.map(|until| (until, user)))
}

/// Somebody who is to prove to be the user of this name: counts the try as failed, and does so for a name that nobody has
/// as well. `Err`: it is not taken.
pub(super) async fn find_by_claim(
    pool: &Connections,
    name: &str,
    claimant: Claimant,
    now: DateTime<Utc>,
) -> Result<Result<Option<Found>, NextTry>, DatabaseError> {
    let query = sqlx::query!(
        r#"with named as materialized (
             select * from dualauth.users
             where lower(username collate "C") = lower($1::text collate "C")
                or lower(email collate "C") = lower($1::text collate "C")
           ), tried as materialized (
             select dualauth.count_try((select id from named), $2, $3, $4) as closed_until
           )
           select closed_until, id as "id?", username as "username?", email as "email?", roles as "roles?",
                  created_at as "created_at?", password_hash as "password_hash?",
                  password_version as "password_version?", disabled_at is not null as "disabled!"
           from tried left join named on true"#,
        name,
        claimant.nobody.as_bytes(),
        claimant.address.to_string(),
        now,
    );
    let row = answer(query.fetch_one(pool)).await?;
    if let Some(until) = row.closed_until {
        let user = row.id.zip(row.username).map(|(id, username)| UserRef { id, username });
        return Ok(Err((until, user)));
    }
    let found = || {
        Some(Found {
            user: User {
                id: row.id?,
                username: row.username?,
                email: row.email?,
                roles: row.roles?,
                created_at: row.created_at?,
            },
            password: StoredPassword { hash: row.password_hash?, version: row.password_version? },
            disabled: row.disabled,
        })
    };
    Ok(Ok(found()))
}

/// Whether a try of a user to prove once more to be who they are would be taken; else when the next one is. They are no
/// stranger: a login of theirs asks. It is not counted.
pub(super) async fn own_next_try(
    pool: &Connections,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, DatabaseError> {
    let query = sqlx::query_scalar!("select dualauth.own_next_try_at($1, $2)", user, now);
    answer(query.fetch_one(pool)).await
}

/// Their password, for such a try, which is counted as failed. `Err`: no try is taken before this time.
pub(super) async fn password_by_claim(
    pool: &Connections,
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

/// Opens an account to everybody again.
pub(super) async fn forget_guesses(pool: &Connections, user: Uuid) -> Result<(), DatabaseError> {
    let forget = sqlx::query!("delete from dualauth.guesses where account = uuid_send($1)", user);
    answer(forget.execute(pool)).await.map(drop)
}

/// Deletes counts that nobody goes by any more, at most `batch` of each kind. Gives how many there were.
pub(super) async fn sweep_guesses(
    pool: &Connections,
    forgotten: DateTime<Utc>,
    unknown: DateTime<Utc>,
    batch: i64,
) -> Result<i64, DatabaseError> {
    let sweep = sqlx::query_scalar!(
        r#"with old as (
             delete from dualauth.guesses where ctid in (
               select ctid from dualauth.guesses where failed_at < $1 order by failed_at limit $3 for update skip locked)
             returning 1
           ), strangers as (
             delete from dualauth.guessers where ctid in (
               select ctid from dualauth.guessers where signed_in_at < $2
               order by signed_in_at limit $3 for update skip locked)
             returning 1
           )
           select (select count(*) from old) + (select count(*) from strangers) as "count!""#,
        forgotten,
        unknown,
        batch,
    );
    answer(sweep.fetch_one(pool)).await
}
