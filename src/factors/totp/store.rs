//! SQL of authenticators: whether there is one, and its enrolment.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::logins::Authentication;
use crate::mail::SealedMail;

use super::resealing::StoredSecret;

/// Whether the user has an authenticator.
pub(super) async fn exists(pool: &ConnectionPool, user: Uuid) -> Result<bool, DatabaseError> {
    let query = sqlx::query_scalar!(
        r#"select exists (select from dualauth.totp where user_id = $1) as "exists!""#,
        user,
    );
    answer(query.fetch_one(pool)).await
}

/// The input of [`enrol`].
pub(super) struct Enrolment<'a> {
    pub(super) token_hash: &'a [u8; 32],
    pub(super) user_id: Uuid,
    pub(super) login_id: Uuid,
    pub(super) id: Uuid,
    pub(super) sealed: Vec<u8>,
    /// The time step that the code is of. `None`: it is wrong.
    pub(super) step: Option<i64>,
    pub(super) name: &'a str,
    pub(super) recovery_hashes: &'a [Vec<u8>],
    /// The login's authentication afterwards.
    pub(super) authentication: Authentication,
    pub(super) notice: Option<&'a SealedMail>,
}

/// The outcome of a try at a challenge that can still be redeemed.
pub(super) enum Outcome {
    Enrolled {
        /// Whether it turned two-step sign-in on.
        is_first: bool,
    },
    WrongCode,
    AlreadyEnrolled,
}

/// Redeems the challenge: counts a try, and with a right code stores the authenticator, whose code can't be used again. If it
/// is the first second factor, two-step sign-in is on from then on, recovery codes are stored, and every other login ends.
/// `None`: the challenge is over.
pub(super) async fn enrol(
    pool: &ConnectionPool,
    enrolment: Enrolment<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Outcome>, DatabaseError> {
    let amr: Vec<String> = enrolment.authentication.amr.names().map(str::to_owned).collect();
    let enrol = sqlx::query!(
        r#"with tried as materialized (
             update dualauth.challenges c
             set tries = c.tries + 1, used_at = case when $4::bigint is not null then $5 end
             from dualauth.users u
             where c.token_hash = $1 and c.purpose = 'factor' and c.method = 'totp' and c.login_id = $2
               and c.user_id = $3 and u.id = c.user_id and u.password_version = c.version and u.disabled_at is null
               and c.used_at is null and c.expires_at > $5 and c.tries < dualauth.most_code_tries()
             returning c.used_at is not null as is_right, c.user_id, c.version
           ), owner as materialized (
             select u.id, u.two_step from dualauth.users u join tried on u.id = tried.user_id and tried.is_right
             where u.password_version = tried.version and u.disabled_at is null
               and dualauth.may_change_factors(tried.user_id, $2) for update of u
           ), enrolled as (
             insert into dualauth.totp (user_id, id, secret, last_step, name, created_at)
             select id, $6, $7, $4, $8, $5 from owner on conflict (user_id) do nothing
             returning user_id
           ), noted as materialized (
             select dualauth.note_enrolled_factor(user_id, $2, true, $9, $10, $11, $12, $13, $14, $15, $5) as is_first from enrolled
           )
           select tried.is_right as "is_right!", exists (select from owner) as "is_current!", noted.is_first as "is_first?"
           from tried left join noted on true"#,
        enrolment.token_hash.as_slice(),
        enrolment.login_id,
        enrolment.user_id,
        enrolment.step,
        now,
        enrolment.id,
        enrolment.sealed,
        enrolment.name,
        enrolment.recovery_hashes,
        &amr,
        enrolment.authentication.acr.level(),
        enrolment.authentication.time,
        enrolment.notice.map(|mail| mail.id),
        enrolment.notice.map(|mail| mail.content.as_slice()),
        enrolment.notice.map(|mail| mail.expires_at),
    );
    let row = answer(enrol.fetch_optional(pool)).await?;
    Ok(row.and_then(|row| match (row.is_right, row.is_current, row.is_first) {
        (false, ..) => Some(Outcome::WrongCode),
        (true, true, Some(is_first)) => Some(Outcome::Enrolled { is_first }),
        (true, true, None) => Some(Outcome::AlreadyEnrolled),
        (true, false, _) => None,
    }))
}

/// The secrets of the users with higher ids than this one, in order.
pub(super) async fn secrets_after(
    pool: &ConnectionPool,
    after: Uuid,
    limit: i64,
) -> Result<Vec<StoredSecret>, DatabaseError> {
    let query = sqlx::query_as!(
        StoredSecret,
        "select user_id, id, secret from dualauth.totp where user_id > $1 order by user_id limit $2",
        after,
        limit,
    );
    answer(query.fetch_all(pool)).await
}

/// Replaces a secret by the same one, sealed anew, unless another node has done so.
pub(in crate::factors) async fn replace_secret(
    pool: &ConnectionPool,
    id: Uuid,
    before: &[u8],
    after: &[u8],
) -> Result<(), DatabaseError> {
    let replace = sqlx::query!(
        "update dualauth.totp set secret = $3 where id = $1 and secret = $2",
        id,
        before,
        after,
    );
    answer(replace.execute(pool)).await.map(drop)
}
