//! Queries on the revocation feed (table `revocations`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseConnection, DatabaseError, PgSnapshotPosition, answer};
use crate::logins::login::{EndedLogin, HandleHash};

/// A row of the feed. The migrations describe the combinations that occur.
#[derive(Debug)]
pub(in crate::logins) struct FeedRow {
    pub(in crate::logins) login_id: Option<Uuid>,
    pub(in crate::logins) handle_hash: Option<HandleHash>,
    /// A user whose name or roles have changed, with the current ones.
    pub(in crate::logins) owner: Option<OwnerClaims>,
    /// Whether the other caches must be reloaded.
    pub(in crate::logins) reload: bool,
    pub(in crate::logins) until: DateTime<Utc>,
    /// The transaction that wrote the row.
    pub(in crate::logins) xid: u64,
    /// Time between the write of the row and this read, by Postgres' clock.
    pub(in crate::logins) lag: Duration,
}

impl FeedRow {
    /// Whether services that verify access tokens by themselves have to know.
    pub(in crate::logins) fn concerns_followers(&self) -> bool {
        self.login_id.is_some() || self.owner.is_some() || self.reload
    }
}

/// A user's claims in access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::logins) struct OwnerClaims {
    pub(in crate::logins) user_id: Uuid,
    pub(in crate::logins) username: String,
    pub(in crate::logins) roles: Vec<String>,
}

/// A row of either query below. There is always at least one, which may contain nothing but the position.
struct FeedQueryRow {
    history: Uuid,
    snapshot: String,
    login_id: Option<Uuid>,
    handle_hash: Option<Vec<u8>>,
    user_id: Option<Uuid>,
    username: Option<String>,
    roles: Option<Vec<String>>,
    reload: Option<bool>,
    until: Option<DateTime<Utc>>,
    xid: Option<i64>,
    lag: Option<f64>,
}

impl FeedQueryRow {
    fn revocation(self) -> Option<FeedRow> {
        let owner = || {
            Some(OwnerClaims {
                user_id: self.user_id?,
                username: self.username.clone()?,
                roles: self.roles.clone()?,
            })
        };
        Some(FeedRow {
            login_id: self.login_id,
            handle_hash: self.handle_hash.as_deref().and_then(|hash| hash.try_into().ok()),
            owner: owner(),
            reload: self.reload.unwrap_or_default(),
            until: self.until?,
            xid: self.xid?.unsigned_abs(),
            // Negative only if Postgres' clock was set back.
            lag: self.lag.and_then(|lag| Duration::try_from_secs_f64(lag).ok()).unwrap_or_default(),
        })
    }
}

/// Rows that were committed since `last`. If Postgres is in another history, there are no rows, only the position
/// with its history.
///
/// After a restore from another server, a row may have a transaction number that this server has not reached yet. It
/// is read once that has been reached.
pub(super) async fn read_since(
    connection: &mut DatabaseConnection,
    last: &PgSnapshotPosition,
    patience: Duration,
) -> Result<(PgSnapshotPosition, Vec<FeedRow>), DatabaseError> {
    let query = sqlx::query_as!(
        FeedQueryRow,
        r#"with here as materialized (select dualauth.current_history() as history, pg_current_snapshot() as snapshot)
           select here.history as "history!", here.snapshot::text as "snapshot!", r.login_id as "login_id?",
                  r.handle_hash as "handle_hash?", r.user_id as "user_id?", u.username as "username?",
                  u.roles as "roles?", r.reload as "reload?", r.until as "until?",
                  r.xid::text::bigint as "xid?",
                  extract(epoch from clock_timestamp() - r.noted_at)::float8 as "lag?"
           from here
           left join (
             select * from dualauth.revocations
             where xid >= pg_snapshot_xmax($2::text::pg_snapshot) and xid < pg_snapshot_xmax(pg_current_snapshot())
             union all
             select * from dualauth.revocations where xid = any (array(select pg_snapshot_xip($2::text::pg_snapshot)))
           ) r on here.history = $1 and pg_visible_in_snapshot(r.xid, here.snapshot)
           left join lateral (select username, roles from dualauth.users where id = r.user_id limit 1) u on true"#,
        last.history,
        last.snapshot.to_string(),
    );
    read_rows(query.fetch(connection), patience).await
}

/// Names Postgres' current history, and begins a new one after a crash. A statement of its own, so that no other node
/// waits for its lock while the rows are being read.
pub(super) async fn begin_history(
    connection: &mut DatabaseConnection,
    patience: Duration,
) -> Result<(), DatabaseError> {
    let name = sqlx::query_scalar!(r#"select dualauth.current_history() as "history!""#);
    let silent = |_| sqlx::Error::PoolTimedOut;
    tokio::time::timeout(patience, name.fetch_one(connection)).await.map_err(silent)??;
    Ok(())
}

/// All rows that expire later than `after`.
pub(super) async fn read_all(
    connection: &mut DatabaseConnection,
    after: DateTime<Utc>,
    patience: Duration,
) -> Result<(PgSnapshotPosition, Vec<FeedRow>), DatabaseError> {
    let query = sqlx::query_as!(
        FeedQueryRow,
        r#"with here as materialized (select dualauth.current_history() as history, pg_current_snapshot() as snapshot)
           select here.history as "history!", here.snapshot::text as "snapshot!", r.login_id as "login_id?",
                  r.handle_hash as "handle_hash?", r.user_id as "user_id?", u.username as "username?",
                  u.roles as "roles?", r.reload as "reload?", r.until as "until?",
                  r.xid::text::bigint as "xid?",
                  extract(epoch from clock_timestamp() - r.noted_at)::float8 as "lag?"
           from here
           left join (select * from dualauth.revocations where until > $1) r on true
           left join lateral (select username, roles from dualauth.users where id = r.user_id limit 1) u on true"#,
        after,
    );
    read_rows(query.fetch(connection), patience).await
}

/// Reads the rows of a query. Fails when no row comes within `patience`. A long result alone is no reason to fail: a
/// retry would take as long.
async fn read_rows(
    rows: BoxStream<'_, Result<FeedQueryRow, sqlx::Error>>,
    patience: Duration,
) -> Result<(PgSnapshotPosition, Vec<FeedRow>), DatabaseError> {
    let mut chunks = rows.try_ready_chunks(CHUNK);
    let (mut here, mut revocations) = (None, Vec::new());
    let silent = |_| sqlx::Error::PoolTimedOut;
    while let Some(rows) =
        tokio::time::timeout(patience, chunks.try_next()).await.map_err(silent)?.map_err(|error| error.1)?
    {
        for mut row in rows {
            here = Some((row.history, std::mem::take(&mut row.snapshot)));
            revocations.extend(row.revocation());
        }
    }
    let (history, snapshot) = here.ok_or(sqlx::Error::RowNotFound)?;
    Ok((PgSnapshotPosition::decode(history, &snapshot)?, revocations))
}

/// Number of rows that are read before the time limit starts again.
const CHUNK: usize = 1_000;

/// The current claims of these users. Deleted users are left out.
pub(super) async fn owners(
    connection: &mut DatabaseConnection,
    users: &[Uuid],
    patience: Duration,
) -> Result<Vec<OwnerClaims>, DatabaseError> {
    let query = sqlx::query_as!(
        OwnerClaims,
        "select id as user_id, username, roles from dualauth.users where id = any ($1)",
        users,
    );
    let silent = |_| sqlx::Error::PoolTimedOut;
    Ok(tokio::time::timeout(patience, query.fetch_all(connection)).await.map_err(silent)??)
}

/// Restores ends of logins that the database has lost, and writes them to the feed for all nodes. That includes
/// logins whose whole row was lost, since access tokens of them may be in circulation. Returns the ended logins that
/// do exist.
pub(super) async fn restore_ends(
    pool: &ConnectionPool,
    logins: &[(Uuid, DateTime<Utc>)],
    now: DateTime<Utc>,
) -> Result<Vec<EndedLogin>, DatabaseError> {
    let (logins, until): (Vec<_>, Vec<_>) = logins.iter().copied().unzip();
    // Nodes that do so at once lock the rows in the same order: no deadlock.
    let end = sqlx::query_as!(
        EndedLogin,
        "with told as (
           insert into dualauth.revocations (login_id, until) select * from unnest($1::uuid[], $3::timestamptz[])
         ), lost as (
           select id from dualauth.logins where id = any ($1) and ended_at is null order by id for update
         )
         update dualauth.logins l set ended_at = $2 from lost, dualauth.users u
         where l.id = lost.id and u.id = l.user_id and l.ended_at is null
         returning l.id, l.user_id, u.username, l.mode, l.transport",
        &logins,
        now,
        &until,
    );
    answer(end.fetch_all(pool)).await
}
