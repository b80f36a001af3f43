//! Queries on the audit trail. They need only the privileges to insert, select and delete.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, PgSnapshotPosition, answer};

use super::{Kind, RecordedEvent};

/// Selects events.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only events of this user.
    pub user_id: Option<Uuid>,
    /// Only events with this username, in any letter case.
    pub username: Option<String>,
    /// Only events of this kind.
    pub kind: Option<Kind>,
}

/// Writes a batch. Events that are already stored are skipped.
pub(super) async fn insert(
    pool: &ConnectionPool,
    records: &[Arc<RecordedEvent>],
) -> Result<(), DatabaseError> {
    let records: Vec<&RecordedEvent> = records.iter().map(Arc::as_ref).collect();
    let insert = sqlx::query!(
        "insert into dualauth.audit_events (id, at, event, source, user_id, username, login_id, mode, transport, client_id,
             address, user_agent, detail)
         select * from jsonb_to_recordset($1) as record (id uuid, at timestamptz, event text, source text,
             user_id uuid, username text, login_id uuid, mode text, transport text, client_id uuid, address text,
             user_agent text, detail jsonb)
         on conflict (id) do nothing",
        Json(records) as _,
    );
    answer(insert.execute(pool)).await.map(drop)
}

/// A row of a query below. There is always at least one, which may contain nothing but the position.
struct EventRow {
    history: Uuid,
    snapshot: String,
    id: Option<Uuid>,
    at: Option<DateTime<Utc>>,
    event: Option<String>,
    source: Option<String>,
    user_id: Option<Uuid>,
    username: Option<String>,
    login_id: Option<Uuid>,
    mode: Option<String>,
    transport: Option<String>,
    client_id: Option<Uuid>,
    address: Option<String>,
    user_agent: Option<String>,
    detail: Option<Value>,
}

impl EventRow {
    fn record(self) -> Option<RecordedEvent> {
        Some(RecordedEvent {
            id: self.id?,
            at: self.at?,
            event: self.event?,
            source: self.source?,
            user_id: self.user_id,
            username: self.username,
            login_id: self.login_id,
            mode: self.mode,
            transport: self.transport,
            client_id: self.client_id,
            address: self.address,
            user_agent: self.user_agent,
            detail: self.detail,
        })
    }
}

/// The position, and the events, oldest first.
fn read(rows: Vec<EventRow>) -> Result<(PgSnapshotPosition, Vec<RecordedEvent>), DatabaseError> {
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let position = PgSnapshotPosition::decode(first.history, &first.snapshot)?;
    Ok((position, rows.into_iter().filter_map(EventRow::record).collect()))
}

/// The newest events since `after`, at most `count`.
pub(super) async fn newest(
    pool: &ConnectionPool,
    filter: &Filter,
    after: DateTime<Utc>,
    count: i64,
) -> Result<(PgSnapshotPosition, Vec<RecordedEvent>), DatabaseError> {
    let query = sqlx::query_as!(
        EventRow,
        r#"with here as materialized (select dualauth.current_history() as history, pg_current_snapshot() as snapshot)
           select here.history as "history!", here.snapshot::text as "snapshot!", e.id as "id?", e.at as "at?",
                  e.event as "event?", e.source as "source?", e.user_id as "user_id?", e.username as "username?",
                  e.login_id as "login_id?", e.mode as "mode?", e.transport as "transport?",
                  e.client_id as "client_id?", e.address as "address?", e.user_agent as "user_agent?",
                  e.detail as "detail?"
           from here
           left join (
             select * from dualauth.audit_events
             where ($1::uuid is null or user_id = $1)
               and ($2::text is null or lower(username collate "C") = lower($2 collate "C"))
               and ($3::text is null or event = $3)
               and at >= $4
             order by at desc, id desc limit $5
           ) e on true
           order by e.at, e.id"#,
        filter.user_id,
        filter.username,
        filter.kind.map(Kind::as_str),
        after,
        count,
    );
    read(answer(query.fetch_all(pool)).await?)
}

/// Events that were committed since `last`. If Postgres is in another history, there are no events, only the position
/// with its history.
///
/// After a restore from another database, an event may have a transaction number that this server has not reached
/// yet. It is read once that has been reached.
pub(super) async fn since(
    pool: &ConnectionPool,
    filter: &Filter,
    last: &PgSnapshotPosition,
) -> Result<(PgSnapshotPosition, Vec<RecordedEvent>), DatabaseError> {
    let query = sqlx::query_as!(
        EventRow,
        r#"with here as materialized (select dualauth.current_history() as history, pg_current_snapshot() as snapshot)
           select here.history as "history!", here.snapshot::text as "snapshot!", e.id as "id?", e.at as "at?",
                  e.event as "event?", e.source as "source?", e.user_id as "user_id?", e.username as "username?",
                  e.login_id as "login_id?", e.mode as "mode?", e.transport as "transport?",
                  e.client_id as "client_id?", e.address as "address?", e.user_agent as "user_agent?",
                  e.detail as "detail?"
           from here
           left join (
             select * from dualauth.audit_events
             where xid >= pg_snapshot_xmax($5::text::pg_snapshot) and xid < pg_snapshot_xmax(pg_current_snapshot())
             union all
             select * from dualauth.audit_events where xid = any (array(select pg_snapshot_xip($5::text::pg_snapshot)))
           ) e on here.history = $4 and pg_visible_in_snapshot(e.xid, here.snapshot)
             and ($1::uuid is null or e.user_id = $1)
             and ($2::text is null or lower(e.username collate "C") = lower($2 collate "C"))
             and ($3::text is null or e.event = $3)
           order by e.at, e.id"#,
        filter.user_id,
        filter.username,
        filter.kind.map(Kind::as_str),
        last.history,
        last.snapshot.to_string(),
    );
    read(answer(query.fetch_all(pool)).await?)
}

/// Deletes events from before `cutoff`, at most `batch`, and returns their number. Only one node at a time: another
/// one finds nothing to do meanwhile.
pub(super) async fn sweep(
    pool: &ConnectionPool,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    let sweep = sqlx::query!(
        "delete from dualauth.audit_events where id in (
           select id from dualauth.audit_events where at < $1 and (select pg_try_advisory_xact_lock($3)) order by at limit $2)",
        cutoff,
        batch,
        SWEEP_LOCK,
    );
    Ok(answer(sweep.execute(pool)).await?.rows_affected())
}

/// Key of the advisory lock that a sweep holds: "da-audit" as a number.
const SWEEP_LOCK: i64 = i64::from_be_bytes(*b"da-audit");
