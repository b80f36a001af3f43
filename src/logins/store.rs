//! Logins in Postgres. Each change is one statement, and one that touches live rows only: a request that read a
//! login before its end can't bring it back.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::config::Lifetimes;
use crate::database::{DatabaseError, answer};
use crate::users::User;

use super::{Device, HandleHash, Login, Replaced};

/// A login and its owner, as the queries below return them.
struct Row {
    id: Uuid,
    mode: String,
    transport: String,
    remember_me: bool,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    renewed_at: DateTime<Utc>,
    generation: i32,
    ended_at: Option<DateTime<Utc>>,
    user_id: Uuid,
    username: String,
    email: String,
    roles: Vec<String>,
    user_created_at: DateTime<Utc>,
    user_disabled: bool,
}

impl From<Row> for Login {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            user: User {
                id: row.user_id,
                username: row.username,
                email: row.email,
                roles: row.roles,
                created_at: row.user_created_at,
            },
            mode: row.mode,
            transport: row.transport.into(),
            remember_me: row.remember_me,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
            renewed_at: row.renewed_at,
            generation: row.generation,
            ended_at: row.ended_at,
            user_disabled: row.user_disabled,
        }
    }
}

/// A login that was ended.
pub(super) struct Ended {
    pub(super) id: Uuid,
    /// When the last access token of it has expired: none outlives the login as it stood.
    pub(super) until: DateTime<Utc>,
}

/// What became of a new login.
pub(super) struct Started {
    /// The login whose place it took, if that was live.
    pub(super) replaced: Option<Ended>,
}

/// `None` when the user may not sign in.
pub(super) async fn insert(
    pool: &PgPool,
    login: &Login,
    device: &Device,
    handle_hash: Option<&[u8]>,
    replaces: Option<Replaced>,
) -> Result<Option<Started>, DatabaseError> {
    let (replaced_handle, replaced_id) = match &replaces {
        Some(Replaced::Handle(hash)) => (Some(hash.as_slice()), None),
        Some(Replaced::Id(id)) => (None, Some(*id)),
        None => (None, None),
    };
    // The share lock makes it wait for a change of the user that is under way, and then look again.
    let insert = sqlx::query!(
        r#"with owner as (
             select id from users where id = $2 and disabled_at is null for share
           ), started as (
             insert into logins (id, user_id, mode, transport, remember_me, device_name, address, user_agent,
                 created_at, last_seen_at, idle_expires_at, expires_at, renewed_at, handle_hash)
             select $1, owner.id, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $9, $12 from owner
             returning id
           ), replaced as (
             update logins set ended_at = $9
             where (handle_hash = $13 or id = $14) and mode = $3
               and ended_at is null and idle_expires_at > $9 and expires_at > $9
               and exists (select from started)
             returning id, least(idle_expires_at, expires_at) as until
           ), revoked as (
             insert into revocations (login_id, until) select id, until from replaced
           )
           select replaced.id as "id?", replaced.until as "until?" from started left join replaced on true"#,
        login.id,
        login.user.id,
        login.mode,
        login.transport.as_str(),
        login.remember_me,
        device.name,
        device.address,
        device.user_agent,
        login.created_at,
        login.idle_expires_at,
        login.expires_at,
        handle_hash,
        replaced_handle,
        replaced_id,
    );
    let row = answer(insert.fetch_optional(pool)).await?;
    Ok(row.map(|row| Started { replaced: row.id.zip(row.until).map(|(id, until)| Ended { id, until }) }))
}

pub(super) async fn find_by_handle(pool: &PgPool, hash: &[u8]) -> Result<Option<Login>, DatabaseError> {
    let query = sqlx::query_as!(
        Row,
        r#"select l.id, l.mode, l.transport, l.remember_me, l.created_at, l.last_seen_at, l.idle_expires_at,
                  l.expires_at, l.renewed_at, l.generation, l.ended_at, l.user_id, u.username, u.email, u.roles,
                  u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from logins l join users u on u.id = l.user_id
           where l.handle_hash = $1"#,
        hash,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(Login::from))
}

pub(super) async fn find(pool: &PgPool, id: Uuid) -> Result<Option<Login>, DatabaseError> {
    let query = sqlx::query_as!(
        Row,
        r#"select l.id, l.mode, l.transport, l.remember_me, l.created_at, l.last_seen_at, l.idle_expires_at,
                  l.expires_at, l.renewed_at, l.generation, l.ended_at, l.user_id, u.username, u.email, u.roles,
                  u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from logins l join users u on u.id = l.user_id
           where l.id = $1"#,
        id,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(Login::from))
}

/// A change of a login's credential.
pub(super) struct Renewal<'a> {
    pub(super) current: Current<'a>,
    pub(super) new_handle: Option<&'a HandleHash>,
}

/// What the credential must be for the change to happen: of two changes at once, one finds it changed.
pub(super) enum Current<'a> {
    Handle(&'a HandleHash),
    Generation(Uuid, i32),
}

/// `None` when the login is not live, or its credential is another.
pub(super) async fn renew(
    pool: &PgPool,
    renewal: Renewal<'_>,
    now: DateTime<Utc>,
    lifetimes: &Lifetimes,
) -> Result<Option<Login>, DatabaseError> {
    let (handle, id, generation) = match renewal.current {
        Current::Handle(hash) => (Some(hash.as_slice()), None, None),
        Current::Generation(id, generation) => (None, Some(id), Some(generation)),
    };
    let update = sqlx::query_as!(
        Row,
        r#"update logins l
           set generation = l.generation + 1, renewed_at = $5, last_seen_at = $5,
               handle_hash = coalesce($4, l.handle_hash),
               idle_expires_at = least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end)
           from users u
           where (l.handle_hash = $1 or l.id = $2 and l.generation = $3)
             and u.id = l.user_id and u.disabled_at is null
             and l.ended_at is null and l.idle_expires_at > $5 and l.expires_at > $5
           returning l.id, l.mode, l.transport, l.remember_me, l.created_at, l.last_seen_at, l.idle_expires_at,
                  l.expires_at, l.renewed_at, l.generation, l.ended_at, l.user_id, u.username, u.email, u.roles,
                  u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!""#,
        handle,
        id,
        generation,
        renewal.new_handle.map(HandleHash::as_slice),
        now,
        now + lifetimes.session.idle,
        now + lifetimes.remember.idle,
    );
    Ok(answer(update.fetch_optional(pool)).await?.map(Login::from))
}

/// Notes when a login was seen. Never moves its time backwards, nor brings it back.
pub(super) async fn touch(pool: &PgPool, login: &Login) -> Result<(), DatabaseError> {
    let update = sqlx::query!(
        "update logins set last_seen_at = $2, idle_expires_at = $3
         where id = $1 and ended_at is null and last_seen_at < $2",
        login.id,
        login.last_seen_at,
        login.idle_expires_at,
    );
    answer(update.execute(pool)).await.map(drop)
}

/// `None` when the login was not live.
pub(super) async fn end(pool: &PgPool, id: Uuid, now: DateTime<Utc>) -> Result<Option<Ended>, DatabaseError> {
    let end = sqlx::query_as!(
        Ended,
        r#"with ended as (
             update logins set ended_at = $2
             where id = $1 and ended_at is null and idle_expires_at > $2 and expires_at > $2
             returning id, least(idle_expires_at, expires_at) as until
           )
           insert into revocations (login_id, until) select id, until from ended
           returning login_id as id, until"#,
        id,
        now,
    );
    answer(end.fetch_optional(pool)).await
}
