//! SQL of the signing keys. Each change of the ring is a compare-and-swap in one statement: of two concurrent changes, the
//! second finds another ring than it expected, and does nothing.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::database::{ConnectionPool, DatabaseError, answer};

use super::KeyState;

/// How long a retired key stays listed, in seconds.
const LISTED: f64 = 90.0 * 24.0 * 60.0 * 60.0;

/// A stored key.
pub(super) struct KeyRow {
    pub(super) kid: String,
    pub(super) algorithm: String,
    pub(super) public_key: Option<Value>,
    pub(super) private_key: Option<Vec<u8>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) activated_at: Option<DateTime<Utc>>,
    pub(super) superseded_at: Option<DateTime<Utc>>,
    pub(super) verify_until: Option<DateTime<Utc>>,
    pub(super) is_active: bool,
    pub(super) is_next: bool,
}

impl KeyRow {
    pub(super) fn state(&self, now: DateTime<Utc>) -> KeyState {
        match self.verify_until {
            _ if self.is_active => KeyState::Active,
            _ if self.is_next => KeyState::Next,
            Some(until) if now < until => KeyState::Verifying,
            _ => KeyState::Retired,
        }
    }
}

/// A key to be stored.
pub(super) struct NewKeyRow {
    pub(super) kid: String,
    pub(super) algorithm: &'static str,
    pub(super) public_key: Option<Value>,
    pub(super) private_key: Option<Vec<u8>>,
}

/// The `kid`s of the active and the next key, which a change of the ring expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExpectedKids {
    pub(super) active: String,
    pub(super) next: Option<String>,
}

/// Loads every key, oldest first.
pub(super) async fn load(pool: &ConnectionPool) -> Result<Vec<KeyRow>, DatabaseError> {
    let query = sqlx::query_as!(
        KeyRow,
        r#"select k.kid, k.algorithm, k.public_key, k.private_key, k.created_at, k.activated_at, k.superseded_at,
                  k.verify_until, k.kid = r.active as "is_active!", coalesce(k.kid = r.next, false) as "is_next!"
           from dualauth.signing_keys k cross join dualauth.key_ring r order by k.created_at, k.kid"#
    );
    answer(query.fetch_all(pool)).await
}

/// Stores the first keys, unless there are keys already. `token_life` is in seconds.
pub(super) async fn insert_initial_keys(
    pool: &ConnectionPool,
    active: &NewKeyRow,
    next: Option<&NewKeyRow>,
    token_life: i32,
    now: DateTime<Utc>,
) -> Result<(), DatabaseError> {
    let insert = sqlx::query!(
        r#"with ring as (
             insert into dualauth.key_ring (active, next, token_life) values ($1, $5, $9) on conflict do nothing returning 1
           )
           insert into dualauth.signing_keys (kid, algorithm, public_key, private_key, created_at, activated_at)
           select k.* from ring, (values
             ($1::text, $2::text, $3::jsonb, $4::bytea, $10::timestamptz, $10::timestamptz),
             ($5, $6, $7, $8, $10, null)) as k (kid)
           where k.kid is not null"#,
        active.kid,
        active.algorithm,
        active.public_key,
        active.private_key,
        next.map(|key| key.kid.as_str()),
        next.map(|key| key.algorithm),
        next.and_then(|key| key.public_key.clone()),
        next.and_then(|key| key.private_key.clone()),
        token_life,
        now,
    );
    answer(insert.execute(pool)).await.map(drop)
}

/// Publishes another next key; the previous next key is retired unused. `false` if the ring is not as expected.
pub(super) async fn publish(
    pool: &ConnectionPool,
    expected: &ExpectedKids,
    next: Option<&NewKeyRow>,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let update = sqlx::query_scalar!(
        r#"with ring as (
             update dualauth.key_ring set next = $3 where active = $1 and next is not distinct from $2 returning 1
           ), dropped as (
             update dualauth.signing_keys set verify_until = $7, private_key = null
             where kid = $2 and exists (select from ring)
           ), made as (
             insert into dualauth.signing_keys (kid, algorithm, public_key, private_key, created_at)
             select $3, $4, $5, $6, $7 from ring where $3::text is not null
             -- A key of a file may come back.
             on conflict (kid) do update set private_key = excluded.private_key, created_at = excluded.created_at,
               activated_at = null, superseded_at = null, verify_until = null
           )
           select exists (select from ring) as "done!""#,
        expected.active,
        expected.next,
        next.map(|key| key.kid.as_str()),
        next.map(|key| key.algorithm),
        next.and_then(|key| key.public_key.clone()),
        next.and_then(|key| key.private_key.clone()),
        now,
    );
    answer(update.fetch_one(pool)).await
}

/// Makes the next key the active one, and stores a new next key. `false` if the ring is not as expected.
///
/// The superseded key goes on verifying until its last token has expired, and `margin` seconds longer.
pub(super) async fn promote(
    pool: &ConnectionPool,
    expected: &ExpectedKids,
    next: Option<&NewKeyRow>,
    margin: f64,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let update = sqlx::query_scalar!(
        r#"with ring as (
             update dualauth.key_ring set active = next, next = $3 where active = $1 and next = $2 returning token_life
           ), superseded as (
             update dualauth.signing_keys set superseded_at = $7,
               verify_until = $7::timestamptz + make_interval(secs => ring.token_life + $8::float8)
             from ring where kid = $1
           ), activated as (
             update dualauth.signing_keys set activated_at = $7 where kid = $2 and exists (select from ring)
           ), made as (
             insert into dualauth.signing_keys (kid, algorithm, public_key, private_key, created_at)
             select $3, $4, $5, $6, $7 from ring where $3::text is not null
             on conflict (kid) do update set private_key = excluded.private_key, created_at = excluded.created_at,
               activated_at = null, superseded_at = null, verify_until = null
           )
           select exists (select from ring) as "done!""#,
        expected.active,
        expected.next,
        next.map(|key| key.kid.as_str()),
        next.map(|key| key.algorithm),
        next.and_then(|key| key.public_key.clone()),
        next.and_then(|key| key.private_key.clone()),
        now,
        margin,
    );
    answer(update.fetch_one(pool)).await
}

/// Replaces the ring by two new keys, and retires every other key at once. `false` if the ring is not as expected.
pub(super) async fn reset(
    pool: &ConnectionPool,
    expected: &ExpectedKids,
    active: &NewKeyRow,
    next: &NewKeyRow,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let update = sqlx::query_scalar!(
        r#"with ring as (
             update dualauth.key_ring set active = $3, next = $7 where active = $1 and next is not distinct from $2 returning 1
           ), retired as (
             update dualauth.signing_keys set superseded_at = coalesce(superseded_at, $11),
               verify_until = least(verify_until, $11), private_key = null
             where exists (select from ring)
           ), made as (
             insert into dualauth.signing_keys (kid, algorithm, public_key, private_key, created_at, activated_at)
             select k.* from ring, (values
               ($3::text, $4::text, $5::jsonb, $6::bytea, $11::timestamptz, $11::timestamptz),
               ($7, $8, $9, $10, $11, null)) as k
           )
           select exists (select from ring) as "done!""#,
        expected.active,
        expected.next,
        active.kid,
        active.algorithm,
        active.public_key,
        active.private_key,
        next.kid,
        next.algorithm,
        next.public_key,
        next.private_key,
        now,
    );
    answer(update.fetch_one(pool)).await
}

/// Retires a superseded key early. `false` if there is no such key.
pub(super) async fn retire(
    pool: &ConnectionPool,
    kid: &str,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let update = sqlx::query!(
        "update dualauth.signing_keys set verify_until = $2, private_key = null
         where kid = $1 and verify_until > $2 and not exists (select from dualauth.key_ring where $1 in (active, next))",
        kid,
        now,
    );
    Ok(answer(update.execute(pool)).await?.rows_affected() == 1)
}

/// Prolongs the verification of a superseded key with which some node still signs.
pub(super) async fn extend_verification(
    pool: &ConnectionPool,
    kid: &str,
    margin: f64,
    now: DateTime<Utc>,
) -> Result<(), DatabaseError> {
    let update = sqlx::query!(
        "update dualauth.signing_keys set verify_until = greatest(verify_until,
           $2::timestamptz + make_interval(secs => r.token_life + $3::float8))
         from dualauth.key_ring r where kid = $1 and verify_until > $2",
        kid,
        now,
        margin,
    );
    answer(update.execute(pool)).await.map(drop)
}

/// Records a longer token lifetime, in seconds. Never shortens it: older tokens may still be valid.
pub(super) async fn record_token_lifetime(
    pool: &ConnectionPool,
    token_life: i32,
) -> Result<(), DatabaseError> {
    let update =
        sqlx::query!("update dualauth.key_ring set token_life = $1 where token_life < $1", token_life);
    answer(update.execute(pool)).await.map(drop)
}

/// Replaces an encrypted private key by the same key, encrypted again.
pub(super) async fn reseal(
    pool: &ConnectionPool,
    kid: &str,
    old: &[u8],
    new: &[u8],
) -> Result<(), DatabaseError> {
    let update = sqlx::query!(
        "update dualauth.signing_keys set private_key = $3 where kid = $1 and private_key = $2",
        kid,
        old,
        new,
    );
    answer(update.execute(pool)).await.map(drop)
}

/// Deletes the private keys of retired keys, and rows that were retired long ago.
pub(super) async fn purge_retired(pool: &ConnectionPool, now: DateTime<Utc>) -> Result<(), DatabaseError> {
    let purge = sqlx::query!(
        "with deleted as (
           delete from dualauth.signing_keys where verify_until < $1::timestamptz - make_interval(secs => $2::float8) returning kid
         )
         update dualauth.signing_keys set private_key = null
         where verify_until <= $1 and private_key is not null and kid not in (select kid from deleted)",
        now,
        LISTED,
    );
    answer(purge.execute(pool)).await.map(drop)
}
