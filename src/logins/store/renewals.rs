//! Statements that renew a login's credential, step a login up, and update its last-seen time.

use crate::challenges::{CheckedProof, Purpose};
use crate::config::Lifetimes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

use crate::logins::authentication::Authentication;
use crate::logins::credential_rotation_history::MOST_REPLACED;
use crate::logins::login::{HandleHash, Login, RefreshTokenClaims, SecretHash};

use super::read::LoginRow;
use super::start::names;

/// How to find the login whose credential is renewed.
#[derive(Clone, Copy, Debug)]
pub(in crate::logins) enum RenewalKey<'a> {
    /// By its handle in this mode. The caller has just found the login live.
    Handle(&'a HandleHash, &'static str),
    /// By the claims of a refresh token.
    Claims(&'a RefreshTokenClaims),
}

impl<'a> RenewalKey<'a> {
    fn mode(self) -> &'static str {
        match self {
            Self::Handle(_, mode) => mode,
            Self::Claims(claims) => claims.mode,
        }
    }

    /// The hash of the handle; else the login's id and the hash of its secret, if it has one.
    fn parameters(self) -> (Option<&'a [u8]>, Option<Uuid>, Option<&'a SecretHash>) {
        match self {
            Self::Handle(hash, _) => (Some(hash.as_slice()), None, None),
            Self::Claims(claims) => (None, Some(claims.login), claims.secret_hash.as_ref()),
        }
    }
}

/// Renews a login from this generation of its credential. `None` when the login is not live or is at a later
/// generation: of two concurrent renewals, the second gets `None`.
pub(in crate::logins) async fn renew(
    pool: &ConnectionPool,
    which: RenewalKey<'_>,
    generation: i32,
    now: DateTime<Utc>,
    lifetimes: &Lifetimes,
) -> Result<Option<Login>, DatabaseError> {
    let (handle, id, secret) = which.parameters();
    let update = sqlx::query_as!(
        LoginRow,
        r#"with owner as (
             select u.* from dualauth.users u join dualauth.logins l on l.user_id = u.id
             where (l.handle_hash = $1 or l.id = $2) and u.disabled_at is null for share of u
           )
           update dualauth.logins l
           -- The other mode's credential stays as it is.
           set (generation, replaced_at, other_generation, other_replaced_at) = (
                 select case when own then next else l.generation end, case when own then replaced else l.replaced_at end,
                        case when own then l.other_generation else next end, case when own then l.other_replaced_at else replaced end
                 from (select l.mode = $11 as own, $3 + 1 as next,
                   -- By their number and not one by one: the clocks of nodes differ, and each has its place.
                   case when dualauth.presented_generation(l, $11) = $3
                     then (array_prepend($5::timestamptz, dualauth.presented_replaced_at(l, $11)))[1:least($9,
                       1 + (select count(*) from unnest(dualauth.presented_replaced_at(l, $11)) as replaced_at
                            where replaced_at > $4))::int]
                     else array[$5::timestamptz] end as replaced) renewal),
               renewed_at = $5, last_seen_at = $5,
               idle_expires_at = least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end),
               -- Null stays null: a login that has no tokens gets none. None is ever shortened: it is about.
               token_expires_at = case when l.token_expires_at is not null then greatest(l.token_expires_at,
                   least(l.expires_at, case when l.remember_me then $7::timestamptz else $6 end, $8)) end
           from owner u
           where (l.handle_hash = $1
                  or l.id = $2 and l.refresh_hash is not distinct from $10 and dualauth.is_presented_in(l, $11)
                     and l.idle_expires_at > $5)
             -- One that is newer was given out by us, and a failover has lost that.
             and dualauth.presented_generation(l, $11) <= $3
             and u.id = l.user_id and l.ended_at is null and l.expires_at > $5
           returning l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                  l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  dualauth.presented_generation(l, $11) as "generation!",
                  dualauth.presented_replaced_at(l, $11) as "replaced_at!", dualauth.is_presented_in(l, $11) as "is_presented!",
                  l.amr, l.aal, coalesce(l.auth_time, l.created_at) as "auth_time!", l.user_id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!""#,
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
        which.mode(),
    );
    Ok(answer(update.fetch_optional(pool)).await?.map(Login::from))
}

/// Updates last-seen times. Never moves a time backwards, and never revives a login.
pub(in crate::logins) async fn touch(
    pool: &ConnectionPool,
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

/// An additional authentication of a login.
#[derive(Clone, Copy, Debug)]
pub(in crate::logins) struct StepUpUpdate<'a> {
    pub(in crate::logins) login: Uuid,
    /// The mode whose credential is replaced.
    pub(in crate::logins) mode: &'static str,
    /// The generation of its credential when the authentication began. If it has been renewed since, the step-up
    /// fails, since the client already has the new credential.
    pub(in crate::logins) generation: i32,
    /// The generation that the client presented. It is newer than the row's if a failover lost the renewal.
    pub(in crate::logins) shown: i32,
    /// The user's password version at that time.
    pub(in crate::logins) password_version: i32,
    /// The authentication to add.
    pub(in crate::logins) authentication: Authentication,
    /// Hash of a new secret for its refresh tokens. `None`: the mode has handles.
    pub(in crate::logins) secret_hash: Option<&'a SecretHash>,
    /// Used up if the login is stepped up.
    pub(in crate::logins) proof: &'a CheckedProof,
}

/// Adds the authentication and moves the login to a new generation without a grace, so that every earlier credential
/// is rejected. The other mode's credential ends: whoever may have a copy of it has not authenticated. Uses up the proof, unless
/// `None`: the login is not live or not presented in this mode, was renewed meanwhile, the user's password has changed since, or
/// the proof was used by another.
pub(in crate::logins) async fn step_up(
    pool: &ConnectionPool,
    step_up: StepUpUpdate<'_>,
    now: DateTime<Utc>,
    lifetimes: &Lifetimes,
) -> Result<Option<Login>, DatabaseError> {
    let update = sqlx::query_as!(
        LoginRow,
        r#"with owner as (
             select u.* from dualauth.users u join dualauth.logins l on l.user_id = u.id
             where l.id = $1 and u.disabled_at is null and u.password_version = $2 for share of u
           ), renewable as materialized (
             -- Locked before the proof is used: who was overtaken loses nothing.
             select l.id, l.user_id from dualauth.logins l join owner u on u.id = l.user_id
             where l.id = $1 and dualauth.presented_generation(l, $23) = $3 and dualauth.is_presented_in(l, $23)
               and l.ended_at is null and l.expires_at > $5 for update of l
           ), proved as materialized (
             select id, dualauth.use_checked_proof($13, user_id, id, $14, $15, $16, $17, $18, $19, null, $20, $21, $22, $5) as is_used
             from renewable
           )
           update dualauth.logins l
           set (generation, replaced_at, other_generation, other_replaced_at) = (
                 select case when own then next else l.generation + 1 end, '{}'::timestamptz[],
                        case when own then null else next end, case when own then null else '{}'::timestamptz[] end
                 from (select l.mode = $23 as own, greatest(dualauth.presented_generation(l, $23), $4) + 1 as next) renewal),
               handle_hash = case when $6::bytea is null then l.handle_hash end,
               handle_transport = case when $6 is null then l.handle_transport end,
               refresh_hash = $6, renewed_at = $5, last_seen_at = $5,
               -- What a newer version has written stays, known here or not.
               amr = l.amr || array(select name from unnest($7::text[]) as name where name <> all (l.amr)),
               aal = greatest(l.aal, $8::smallint), auth_time = greatest(l.auth_time, $9),
               idle_expires_at = least(l.expires_at, case when l.remember_me then $11::timestamptz else $10 end),
               token_expires_at = case when l.token_expires_at is not null then greatest(l.token_expires_at,
                   least(l.expires_at, case when l.remember_me then $11::timestamptz else $10 end, $12)) end
           from owner u, proved
           where l.id = proved.id and proved.is_used and u.id = l.user_id
           returning l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                  l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  dualauth.presented_generation(l, $23) as "generation!",
                  dualauth.presented_replaced_at(l, $23) as "replaced_at!", dualauth.is_presented_in(l, $23) as "is_presented!",
                  l.amr, l.aal, coalesce(l.auth_time, l.created_at) as "auth_time!", l.user_id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!""#,
        step_up.login,
        step_up.password_version,
        step_up.generation,
        step_up.shown,
        now,
        step_up.secret_hash.map(SecretHash::as_slice),
        &names(step_up.authentication.amr),
        step_up.authentication.acr.level(),
        step_up.authentication.time,
        now + lifetimes.session.idle,
        now + lifetimes.remember.idle,
        now + lifetimes.access_token,
        step_up.proof.purpose.map(Purpose::as_str),
        step_up.proof.token_hash.as_ref().map(<[u8; 32]>::as_slice),
        step_up.proof.totp_step,
        step_up.proof.recovery_hash.as_ref().map(<[u8; 32]>::as_slice),
        step_up.proof.passkey.map(|passkey| passkey.id),
        step_up.proof.passkey.map(|passkey| i64::from(passkey.sign_count)),
        step_up.proof.passkey.map(|passkey| passkey.backed_up),
        step_up.proof.notice.as_ref().map(|mail| mail.id),
        step_up.proof.notice.as_ref().map(|mail| mail.content.as_slice()),
        step_up.proof.notice.as_ref().map(|mail| mail.expires_at),
        step_up.mode,
    );
    Ok(answer(update.fetch_optional(pool)).await?.map(Login::from))
}
