//! Statements that present a login in another mode beside its own, with the codes for that, and that note its access tokens.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config::Lifetimes;
use crate::database::{ConnectionPool, DatabaseError, answer};

use crate::logins::authentication::Acr;
use crate::logins::login::{ClaimedLogin, Login, LoginCredentialHash, Presentation};
use crate::logins::replaced_login::ReplacedLogin;

use super::read::LoginRow;

/// SHA-256 of a hand-off code.
pub(in crate::logins) type CodeHash = [u8; 32];

/// Inserts a hand-off code. `false` when the login is not live, or was authenticated again since.
pub(in crate::logins) async fn insert_code(
    pool: &ConnectionPool,
    code: &CodeHash,
    claimed: ClaimedLogin,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let insert = sqlx::query!(
        "insert into dualauth.handoffs (code_hash, login_id, auth_time, aal, expires_at)
         select $1, l.id, $3, $4, $6 from dualauth.logins l join dualauth.users u on u.id = l.user_id
         where l.id = $2 and date_trunc('second', coalesce(l.auth_time, l.created_at)) = $3 and l.aal = $4
           and l.ended_at is null and l.expires_at > $5 and u.disabled_at is null",
        code.as_slice(),
        claimed.id,
        claimed.authentication.time,
        claimed.authentication.acr.level(),
        now,
        expires_at,
    );
    Ok(answer(insert.execute(pool)).await?.rows_affected() > 0)
}

/// Notes an access token of a live login of another mode, and that the login was used. Returns the login, with the time until which
/// that token may be valid. `None` when the login is not live, or was authenticated again since.
pub(in crate::logins) async fn note_token(
    pool: &ConnectionPool,
    claimed: ClaimedLogin,
    mode: &str,
    now: DateTime<Utc>,
    lifetimes: &Lifetimes,
) -> Result<Option<Login>, DatabaseError> {
    // The share lock: whoever changes the user's roles sees this token, or this token has the new ones.
    let update = sqlx::query_as!(
        LoginRow,
        r#"with owner as (
             select u.* from dualauth.users u join dualauth.logins l on l.user_id = u.id
             where l.id = $1 and u.disabled_at is null for share of u
           )
           update dualauth.logins l
           set last_seen_at = greatest(l.last_seen_at, $5),
               idle_expires_at = greatest(l.idle_expires_at,
                   least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end)),
               token_expires_at = greatest(l.token_expires_at,
                   least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end, $8))
           from owner u
           where l.id = $1 and date_trunc('second', coalesce(l.auth_time, l.created_at)) = $3 and l.aal = $4
             and u.id = l.user_id and l.ended_at is null and l.expires_at > $5
           returning l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                  l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  dualauth.presented_generation(l, $2) as "generation!",
                  dualauth.presented_replaced_at(l, $2) as "replaced_at!", dualauth.is_presented_in(l, $2) as "is_presented!",
                  l.amr, l.aal, coalesce(l.auth_time, l.created_at) as "auth_time!", l.user_id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!""#,
        claimed.id,
        mode,
        claimed.authentication.time,
        claimed.authentication.acr.level(),
        now,
        now + lifetimes.session.idle,
        now + lifetimes.remember.idle,
        now + lifetimes.access_token,
    );
    Ok(answer(update.fetch_optional(pool)).await?.map(Login::from))
}

/// By what a login is presented in a mode.
#[derive(Clone, Copy, Debug)]
pub(in crate::logins) enum PresentedBy<'a> {
    /// By a hand-off code, which is used up. The mode must have no credential of the login yet.
    Code(&'a CodeHash),
    /// By a credential of the other mode. If the mode has a credential of the login, it is replaced.
    Credential(ClaimedLogin),
}

/// How a login is presented in a mode from now on.
#[derive(Clone, Copy, Debug)]
pub(in crate::logins) struct NewPresentation<'a> {
    pub(in crate::logins) by: PresentedBy<'a>,
    pub(in crate::logins) presentation: Presentation,
    /// Logins below it are left alone.
    pub(in crate::logins) least_acr: Acr,
}

impl NewPresentation<'_> {
    fn code(&self) -> Option<&[u8]> {
        match self.by {
            PresentedBy::Code(code) => Some(code.as_slice()),
            PresentedBy::Credential(_) => None,
        }
    }

    fn claimed(&self) -> (Option<Uuid>, Option<DateTime<Utc>>, Option<i16>) {
        match self.by {
            PresentedBy::Code(_) => (None, None, None),
            PresentedBy::Credential(ClaimedLogin { id, authentication }) => {
                (Some(id), authentication.time, Some(authentication.acr.level()))
            }
        }
    }

    /// The hash of the handle, or else of the secret in refresh tokens.
    fn hashes(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        match &self.presentation.key {
            LoginCredentialHash::Handle(hash) => (Some(hash.as_slice()), None),
            LoginCredentialHash::Token(hash) => (None, Some(hash.as_slice())),
        }
    }
}

/// Gives a mode a credential of a live login. Counts as a use of the login, and changes nothing else of it. The login that it
/// replaces ends, unless it is this one. `None` when the code is
/// unknown, used or expired, the login is not live or was authenticated again since, or the mode has a credential that is not to be
/// replaced. Of concurrent uses of a code one gets the login: the others wait for its row, and look at it anew.
pub(in crate::logins) async fn present(
    pool: &ConnectionPool,
    new: NewPresentation<'_>,
    now: DateTime<Utc>,
    lifetimes: &Lifetimes,
) -> Result<Option<Login>, DatabaseError> {
    let ((login, auth_time, aal), (handle_hash, refresh_hash)) = (new.claimed(), new.hashes());
    let (replaced_handle, replaced_generation, replaced_id) =
        ReplacedLogin::parameters(new.presentation.replaces.as_ref());
    let update = sqlx::query_as!(
        LoginRow,
        r#"with claimed as (
             select login_id, auth_time, aal from dualauth.handoffs where code_hash = $1 and expires_at > $5
             union all
             select $9::uuid, $10::timestamptz, $11::smallint where $9 is not null
           ), owner as (
             select u.* from claimed join dualauth.logins l on l.id = claimed.login_id join dualauth.users u on u.id = l.user_id
             where u.disabled_at is null for share of u
           ), presented as (
             update dualauth.logins l
             -- The other mode's credential stays as it is.
             set (generation, replaced_at, other_generation, other_replaced_at) = (
                   select case when own then l.generation + 1 else l.generation end,
                          case when own then '{}'::timestamptz[] else l.replaced_at end,
                          case when own then l.other_generation else coalesce(l.other_generation + 1, 0) end,
                          case when own then l.other_replaced_at else '{}'::timestamptz[] end
                   from (select l.mode = $2 as own) presentation),
                 handle_hash = coalesce($3, l.handle_hash),
                 handle_transport = case when $3 is null then l.handle_transport else $12 end,
                 refresh_hash = coalesce($4, l.refresh_hash),
                 renewed_at = $5, last_seen_at = greatest(l.last_seen_at, $5),
                 idle_expires_at = greatest(l.idle_expires_at,
                     least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end)),
                 token_expires_at = case when $4 is null then l.token_expires_at else greatest(l.token_expires_at,
                     least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end, $8)) end
             from owner u, claimed
             where l.id = claimed.login_id and u.id = l.user_id
               and date_trunc('second', coalesce(l.auth_time, l.created_at)) = claimed.auth_time
               and l.aal = claimed.aal and l.aal >= $13::smallint
               and l.ended_at is null and l.expires_at > $5 and l.idle_expires_at > $5
               and ($1 is null or not dualauth.is_presented_in(l, $2))
             returning l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                    l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                    dualauth.presented_generation(l, $2) as generation,
                    dualauth.presented_replaced_at(l, $2) as replaced_at, dualauth.is_presented_in(l, $2) as is_presented,
                    l.amr, l.aal, coalesce(l.auth_time, l.created_at) as auth_time, l.user_id
           ), replaced as (
             update dualauth.logins l set ended_at = $5
             where (l.handle_hash = $14
                    and (dualauth.presented_generation(l, $2) = $15
                         or (dualauth.presented_replaced_at(l, $2))[dualauth.presented_generation(l, $2) - $15] > $17)
                    or l.id = $16)
               and dualauth.is_presented_in(l, $2) and l.ended_at is null and l.id <> (select id from presented)
           ), used as (
             delete from dualauth.handoffs where code_hash = $1 and exists (select from presented)
           )
           select l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                  l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  l.generation as "generation!", l.replaced_at as "replaced_at!", l.is_presented as "is_presented!",
                  l.amr, l.aal, l.auth_time as "auth_time!", l.user_id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from presented l join owner u on u.id = l.user_id"#,
        new.code(),
        new.presentation.mode,
        handle_hash,
        refresh_hash,
        now,
        now + lifetimes.session.idle,
        now + lifetimes.remember.idle,
        now + lifetimes.access_token,
        login,
        auth_time,
        aal,
        new.presentation.transport.as_str(),
        new.least_acr.level(),
        replaced_handle,
        replaced_generation,
        replaced_id,
        now - lifetimes.refresh_grace,
    );
    Ok(answer(update.fetch_optional(pool)).await?.map(Login::from))
}

/// The login behind a hand-off code, as this mode presents it. `None` when the code is unknown, used or expired, or the login was
/// authenticated again since.
pub(in crate::logins) async fn find_by_code(
    pool: &ConnectionPool,
    code: &CodeHash,
    mode: &str,
    now: DateTime<Utc>,
) -> Result<Option<Login>, DatabaseError> {
    let query = sqlx::query_as!(
        LoginRow,
        r#"select l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                  l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  dualauth.presented_generation(l, $2) as "generation!",
                  dualauth.presented_replaced_at(l, $2) as "replaced_at!", dualauth.is_presented_in(l, $2) as "is_presented!",
                  l.amr, l.aal, coalesce(l.auth_time, l.created_at) as "auth_time!", l.user_id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from dualauth.handoffs h join dualauth.logins l on l.id = h.login_id join dualauth.users u on u.id = l.user_id
           where h.code_hash = $1 and h.expires_at > $3 and (select dualauth.on_primary())
             and date_trunc('second', coalesce(l.auth_time, l.created_at)) = h.auth_time and l.aal = h.aal"#,
        code.as_slice(),
        mode,
        now,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(Login::from))
}

/// Deletes codes that had expired by `cutoff`, at most `batch`. Returns how many there were.
pub(in crate::logins) async fn sweep_codes(
    pool: &ConnectionPool,
    cutoff: DateTime<Utc>,
    batch: i64,
) -> Result<u64, DatabaseError> {
    let sweep = sqlx::query!(
        "delete from dualauth.handoffs where code_hash in (
           select code_hash from dualauth.handoffs where expires_at <= $1
           order by expires_at limit $2 for update skip locked)",
        cutoff,
        batch,
    );
    Ok(answer(sweep.execute(pool)).await?.rows_affected())
}
