//! The audit trail in Postgres. It takes the rights to insert, to select and to delete, and no others.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::database::{DatabaseError, answer};

use super::{Kind, Record};

/// Which events are asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this user's.
    pub user_id: Option<Uuid>,
    /// Only those with this username, in any letter case.
    pub username: Option<String>,
    /// Only of this kind.
    pub kind: Option<Kind>,
}

/// Writes a batch. What of it is there already is left alone.
pub(super) async fn insert(pool: &PgPool, records: &[Arc<Record>]) -> Result<(), DatabaseError> {
    let records: Vec<&Record> = records.iter().map(Arc::as_ref).collect();
    let insert = sqlx::query!(
        "insert into audit_events (id, at, event, source, user_id, username, login_id, mode, transport, client_id,
             address, user_agent, detail)
         select * from jsonb_to_recordset($1) as record (id uuid, at timestamptz, event text, source text,
             user_id uuid, username text, login_id uuid, mode text, transport text, client_id uuid, address text,
             user_agent text, detail jsonb)
         on conflict (id) do nothing",
        Json(records) as _,
    );
    answer(insert.execute(pool)).await.map(drop)
}

/// The newest of those events that were written since `snapshot` was taken, `count` at most, the oldest first; and
/// the snapshot in which that was seen. Not given, there is no such limit.
pub(super) async fn find(
    pool: &PgPool,
    filter: &Filter,
    snapshot: Option<&str>,
    count: Option<i64>,
) -> Result<(String, Vec<Record>), DatabaseError> {
    let query = sqlx::query!(
        r#"select pg_current_snapshot()::text as "snapshot!", e.id as "id?", e.at as "at?", e.event as "event?",
                  e.source as "source?", e.user_id as "user_id?", e.username as "username?",
                  e.login_id as "login_id?", e.mode as "mode?", e.transport as "transport?",
                  e.client_id as "client_id?", e.address as "address?", e.user_agent as "user_agent?",
                  e.detail as "detail?"
           from (select) as always
           left join (
             select * from audit_events
             where ($1::uuid is null or user_id = $1)
               and ($2::text is null or lower(username collate "C") = lower($2 collate "C"))
               and ($3::text is null or event = $3)
               and ($4::text is null or xid >= pg_snapshot_xmin($4::pg_snapshot)
                 and not pg_visible_in_snapshot(xid, $4::pg_snapshot))
               -- One from another database, restored into this one, may have a number that is still to come.
               and ($4::text is null or pg_visible_in_snapshot(xid, pg_current_snapshot()))
             order by at desc, id desc limit $5
           ) e on true
           order by e.at, e.id"#,
        filter.user_id,
        filter.username,
        filter.kind.map(Kind::as_str),
        snapshot,
        count,
    );
    let rows = answer(query.fetch_all(pool)).await?;
    let snapshot = rows.first().map(|row| row.snapshot.clone()).unwrap_or_default();
    let records = rows.into_iter().filter_map(|row| {
        Some(Record {
            id: row.id?,
            at: row.at?,
            event: row.event?,
            source: row.source?,
            user_id: row.user_id,
            username: row.username,
            login_id: row.login_id,
            mode: row.mode,
            transport: row.transport,
            client_id: row.client_id,
            address: row.address,
            user_agent: row.user_agent,
            detail: row.detail,
        })
    });
    Ok((snapshot, records.collect()))
}

/// Deletes what is from before `cutoff`, at most `batch` of it, and gives how much that was. One node at a time: to
/// another one there is nothing to do meanwhile.
pub(super) async fn sweep(pool: &PgPool, cutoff: DateTime<Utc>, batch: i64) -> Result<u64, DatabaseError> {
    let sweep = sqlx::query!(
        "delete from audit_events where id in (
           select id from audit_events where at < $1 and (select pg_try_advisory_xact_lock($3)) order by at limit $2)",
        cutoff,
        batch,
        SWEEP_LOCK,
    );
    Ok(answer(sweep.execute(pool)).await?.rows_affected())
}

/// The advisory lock of whoever sweeps: "da-audit", read as a number.
const SWEEP_LOCK: i64 = i64::from_be_bytes(*b"da-audit");
