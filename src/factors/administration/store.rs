//! SQL of what operators do with factors.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::mail::SealedMail;

use super::FactorReset;

/// How many enabled accounts have two-step sign-in, and no second factor that can be used: with passkeys under `rp_id` alone.
///
/// # Errors
/// If the query fails.
pub async fn count_two_step_without_factor(
    pool: &ConnectionPool,
    rp_id: Option<&str>,
) -> Result<i64, DatabaseError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from dualauth.users u
           where u.two_step and u.disabled_at is null
             and not exists (select from dualauth.totp t where t.user_id = u.id)
             and not exists (select from dualauth.passkeys p where p.user_id = u.id and p.rp_id = $1)
             and not exists (select from dualauth.recovery_codes r where r.user_id = u.id and r.used_at is null)"#,
        rp_id,
    );
    answer(count.fetch_one(pool)).await
}

/// Removes every factor of a user but the password, and ends every login and every challenge. `None`: there was none. `notice`
/// is queued if there was one.
pub(super) async fn reset(
    pool: &ConnectionPool,
    user: Uuid,
    notice: Option<&SealedMail>,
    now: DateTime<Utc>,
) -> Result<Option<FactorReset>, DatabaseError> {
    let reset = sqlx::query_as!(
        FactorReset,
        r#"with reset as materialized (
             select id, password_hash, dualauth.reset_factors(id) as had_any from dualauth.users where id = $1
           ), changed as materialized (
             select id, password_hash from reset where had_any
           ), ended as (
             select count(ended.id) as logins from changed, dualauth.end_logins(changed.id, null, $2) ended
           ), noticed as (
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $3::uuid, $4::bytea, $2, $2, $5::timestamptz from changed where $3 is not null
           )
           select ended.logins as "logins!", coalesce(changed.password_hash, $6) <> $6 as "has_password!" from changed, ended"#,
        user,
        now,
        notice.map(|mail| mail.id),
        notice.map(|mail| mail.content.as_slice()),
        notice.map(|mail| mail.expires_at),
        crate::users::NO_PASSWORD,
    );
    answer(reset.fetch_optional(pool)).await
}
