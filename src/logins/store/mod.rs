//! Logins in Postgres. Each change is one statement, and one that touches live rows only: a request that read a
//! login before its end can't bring it back. Nor is any read from a standby, which may not know of its end.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config::Lifetimes;
use crate::database::{Connections, DatabaseError, answer};
use crate::users::User;

use super::generations::{Generations, MOST_REPLACED};
use super::login::{
    Claimed, Device, EndedLogin, HandleHash, ListedLogin, Login, Position, Replaced, SecretHash,
};

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
    generation: i32,
    replaced_at: Vec<DateTime<Utc>>,
    refresh_hash: Option<Vec<u8>>,
    token_expires_at: Option<DateTime<Utc>>,
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
            generations: Generations { current: row.generation, replaced_at: row.replaced_at },
            secret_hash: row.refresh_hash.and_then(|hash| hash.try_into().ok()),
            token_expires_at: row.token_expires_at,
            ended_at: row.ended_at,
            user_disabled: row.user_disabled,
        }
    }
}

/// The beginning of a login.
pub(super) struct Start<'a> {
    pub(super) login: &'a Login,
    pub(super) device: &'a Device,
    pub(super) handle_hash: Option<&'a HandleHash>,
    /// Of the password that its owner proved to know.
    pub(super) password_version: i32,
    pub(super) replaces: Option<Replaced>,
    /// What was replaced later than that is in its grace.
    pub(super) grace_from: DateTime<Utc>,
}

/// Gives the roles that its owner has now. `None` when the owner may not sign in.
pub(super) async fn insert(
    pool: &Connections,
    start: Start<'_>,
) -> Result<Option<Vec<String>>, DatabaseError> {
    let (replaced_handle, replaced_generation, replaced_id) = match &start.replaces {
        Some(Replaced::Handle(hash, generation)) => (Some(hash.as_slice()), Some(*generation), None),
        Some(Replaced::Id(id)) => (None, None, Some(*id)),
        None => (None, None, None),
    };
    let Start { login, device, .. } = start;
    // The share lock makes it wait for a change of the user that is under way, and then look again.
    let insert = sqlx::query_scalar!(
        r#"with owner as (
             select id, roles from dualauth.users
             where id = $2 and disabled_at is null and password_version = $15 for share
           ), started as (
             insert into dualauth.logins (id, user_id, mode, transport, remember_me, device_name, address, user_agent,
                 created_at, last_seen_at, idle_expires_at, expires_at, renewed_at, handle_hash, token_expires_at,
                 refresh_hash, sweep_at)
             select $1, owner.id, $3, $4, $5, $6, $7, $8, $9, $9, $10::timestamptz, $11::timestamptz, $9, $12, $16, $19,
                 least($10::timestamptz, $11::timestamptz) from owner
             returning id
           ), replaced as (
             update dualauth.logins set ended_at = $9
             where (handle_hash = $13 and (generation = $17 or replaced_at[generation - $17] > $18) or id = $14)
               and mode = $3 and ended_at is null and exists (select from started)
           )
           select owner.roles from owner, started"#,
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
        start.handle_hash.map(HandleHash::as_slice),
        replaced_handle,
        replaced_id,
        start.password_version,
        login.token_expires_at,
        replaced_generation,
        start.grace_from,
        login.secret_hash.as_ref().map(SecretHash::as_slice),
    );
    answer(insert.fetch_optional(pool)).await
}

pub(super) async fn find_by_handle(pool: &Connections, hash: &[u8]) -> Result<Option<Login>, DatabaseError> {
    let query = sqlx::query_as!(
        Row,
        r#"select l.id, l.mode, l.transport, l.remember_me, l.created_at, l.last_seen_at, l.idle_expires_at,
                  l.expires_at, l.generation, l.replaced_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  l.user_id, u.username, u.email, u.roles,
                  u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from dualauth.logins l join dualauth.users u on u.id = l.user_id
           where l.handle_hash = $1 and (select dualauth.on_primary())"#,
        hash,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(Login::from))
}

pub(super) async fn find(pool: &Connections, id: Uuid) -> Result<Option<Login>, DatabaseError> {
    let query = sqlx::query_as!(
        Row,
        r#"select l.id, l.mode, l.transport, l.remember_me, l.created_at, l.last_seen_at, l.idle_expires_at,
                  l.expires_at, l.generation, l.replaced_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  l.user_id, u.username, u.email, u.roles,
                  u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from dualauth.logins l join dualauth.users u on u.id = l.user_id
           where l.id = $1 and (select dualauth.on_primary())"#,
        id,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(Login::from))
}

/// How a login is found whose credential is to be renewed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// By its handle. The caller has just found that login live.
    Handle(&'a HandleHash),
    /// By what a refresh token says.
    Claimed(&'a Claimed),
}

/// Moves a login on from this generation of its credential. `None` when the login is not live, or at a later
/// generation: of two changes at once, one finds that.
pub(super) async fn renew(
    pool: &Connections,
    which: Which<'_>,
    generation: i32,
    now: DateTime<Utc>,
    lifetimes: &Lifetimes,
) -> Result<Option<Login>, DatabaseError> {
    let (handle, id, secret) = match which {
        Which::Handle(hash) => (Some(hash.as_slice()), None, None),
        Which::Claimed(claimed) => (None, Some(claimed.login), claimed.secret_hash.as_ref()),
    };
    let update = sqlx::query_as!(
        Row,
        r#"with owner as (
             select u.* from dualauth.users u join dualauth.logins l on l.user_id = u.id
             where (l.handle_hash = $1 or l.id = $2) and u.disabled_at is null for share of u
           )
           update dualauth.logins l
           set generation = $3 + 1, renewed_at = $5, last_seen_at = $5,
               -- By their number and not one by one: the clocks of nodes differ, and each has its place.
               replaced_at = case when l.generation = $3
                   then (array_prepend($5::timestamptz, l.replaced_at))[1:least($9,
                       1 + (select count(*) from unnest(l.replaced_at) as replaced_at where replaced_at > $4))::int]
                   else array[$5::timestamptz] end,
               idle_expires_at = least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end),
               -- Null stays null: a login that is looked up has no tokens. None is ever shortened: it is about.
               token_expires_at = case when l.token_expires_at is not null then greatest(l.token_expires_at,
                   least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end, $8)) end
           from owner u
           where (l.handle_hash = $1
                  or l.id = $2 and l.refresh_hash is not distinct from $10 and l.token_expires_at is not null
                     and l.idle_expires_at > $5)
             -- One that is newer was given out by us, and a failover has lost that.
             and l.generation <= $3
             and u.id = l.user_id and l.ended_at is null and l.expires_at > $5
           returning l.id, l.mode, l.transport, l.remember_me, l.created_at, l.last_seen_at, l.idle_expires_at,
                  l.expires_at, l.generation, l.replaced_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  l.user_id, u.username, u.email, u.roles,
                  u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!""#,
        handle,
        id,
        generation,
        now - lifetimes.refresh_grace,
        now,
        now + lifetimes.session.idle,
        now + lifetimes.remember.idle,
        now + lifetimes.access_token,
        MOST_REPLACED,
        secret.map(SecretHash::as_slice),
    );
    Ok(answer(update.fetch_optional(pool)).await?.map(Login::from))
}

/// Notes when logins were seen, each at its own time. Never moves a time backwards, nor brings a login back.
pub(super) async fn touch(
    pool: &Connections,
    logins: &[Uuid],
    seen: &[DateTime<Utc>],
    lifetimes: &Lifetimes,
) -> Result<(), DatabaseError> {
    let update = sqlx::query!(
        "with used as (
           select l.id, used.seen
           from unnest($1::uuid[], $2::timestamptz[]) as used (id, seen) join dualauth.logins l on l.id = used.id
           where l.ended_at is null and l.last_seen_at < used.seen
           order by l.id for update of l
         )
         update dualauth.logins l
         set last_seen_at = used.seen,
             idle_expires_at = greatest(l.idle_expires_at, least(l.expires_at,
                 used.seen + make_interval(secs => case when l.remember_me then $4::float8 else $3 end)))
         from used where l.id = used.id and l.ended_at is null and l.last_seen_at < used.seen",
        logins,
        seen,
        lifetimes.session.idle.as_secs_f64(),
        lifetimes.remember.idle.as_secs_f64(),
    );
    answer(update.execute(pool)).await.map(drop)
}

/// `None` when it had ended before.
pub(super) async fn end(
    pool: &Connections,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<EndedLogin>, DatabaseError> {
    let end = sqlx::query_as!(
        EndedLogin,
        "update dualauth.logins l set ended_at = $2 from dualauth.users u
         where l.id = $1 and u.id = l.user_id and l.ended_at is null
         returning l.id, l.user_id, u.username, l.mode, l.transport",
        id,
        now,
    );
    answer(end.fetch_optional(pool)).await
}

/// `None` when the user has no such live login.
pub(super) async fn end_own(
    pool: &Connections,
    user: Uuid,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<EndedLogin>, DatabaseError> {
    let end = sqlx::query_as!(
        EndedLogin,
        "update dualauth.logins l set ended_at = $3 from dualauth.users u
         where l.id = $1 and l.user_id = $2 and u.id = l.user_id and l.ended_at is null
           and l.idle_expires_at > $3 and l.expires_at > $3
         returning l.id, l.user_id, u.username, l.mode, l.transport",
        id,
        user,
        now,
    );
    answer(end.fetch_optional(pool)).await
}

/// Live logins of a user, newest first, beginning after this position.
pub(super) async fn list(
    pool: &Connections,
    user: Uuid,
    after: Option<Position>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<ListedLogin>, DatabaseError> {
    let query = sqlx::query!(
        "select id, mode, transport, remember_me, device_name, address, user_agent, created_at, last_seen_at,
                idle_expires_at, expires_at
         from dualauth.logins
         where user_id = $1 and ended_at is null and idle_expires_at > $2 and expires_at > $2
           and (created_at, id) < (coalesce($3::timestamptz, 'infinity'),
                                   coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
         order by created_at desc, id desc limit $5",
        user,
        now,
        after.map(|position| position.created_at),
        after.map(|position| position.id),
        limit,
    );
    let rows = answer(query.fetch_all(pool)).await?.into_iter();
    Ok(rows
        .map(|row| ListedLogin {
            id: row.id,
            mode: row.mode,
            transport: row.transport.into(),
            remember_me: row.remember_me,
            device: Device { name: row.device_name, address: row.address, user_agent: row.user_agent },
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
        })
        .collect())
}

/// What one pass of the sweep came to.
pub(super) struct Swept {
    pub(super) looked_at: i64,
    pub(super) deleted: i64,
}

/// What is swept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table {
    Logins,
    Revocations,
}

/// Deletes what was over by `cutoff`, at most `batch` rows.
pub(super) async fn sweep(
    pool: &Connections,
    table: Table,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<Swept, DatabaseError> {
    match table {
        Table::Logins => sweep_logins(pool, cutoff, batch).await,
        Table::Revocations => sweep_revocations(pool, cutoff, batch).await,
    }
}

/// Deletes logins that were over by `cutoff`, at most `batch` of them. One node at a time: to another one there is
/// nothing to do meanwhile.
async fn sweep_logins(pool: &Connections, cutoff: DateTime<Utc>, batch: i64) -> Result<Swept, DatabaseError> {
    let sweep = sqlx::query_as!(
        Swept,
        r#"with due as materialized (
             select id, least(ended_at, idle_expires_at, expires_at) as over_at from dualauth.logins
             where sweep_at <= $1 and (select pg_try_advisory_xact_lock($3))
             order by sweep_at limit $2 for update skip locked
           ), deleted as (
             delete from dualauth.logins using due where logins.id = due.id and due.over_at <= $1 returning 1
           ), later as (
             -- It was used since it was last looked at.
             update dualauth.logins set sweep_at = due.over_at from due where logins.id = due.id and due.over_at > $1
           )
           select (select count(*) from due) as "looked_at!", (select count(*) from deleted) as "deleted!""#,
        cutoff,
        batch,
        SWEEP_LOCK,
    );
    answer(sweep.fetch_one(pool)).await
}

/// The same for rows of the feed that had run out by `cutoff`.
async fn sweep_revocations(
    pool: &Connections,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<Swept, DatabaseError> {
    let sweep = sqlx::query_as!(
        Swept,
        r#"with due as materialized (
             select ctid from dualauth.revocations
             where until <= $1 and (select pg_try_advisory_xact_lock($3))
               -- These are dated by Postgres' clock. By one that is ahead of it they were over before anybody saw them.
               and (not reload or until <= now())
             order by until limit $2 for update skip locked
           ), deleted as (
             delete from dualauth.revocations where ctid = any (array(select ctid from due)) returning 1
           )
           select (select count(*) from due) as "looked_at!", (select count(*) from deleted) as "deleted!""#,
        cutoff,
        batch,
        SWEEP_LOCK,
    );
    answer(sweep.fetch_one(pool)).await
}

/// The advisory lock of whoever sweeps: "dualauth", read as a number.
const SWEEP_LOCK: i64 = i64::from_be_bytes(*b"dualauth");
