//! Queries for logins: by handle, by id, and the list of a user's logins.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::users::User;

use crate::logins::authentication::{Acr, Amr, Authentication};
use crate::logins::credential_rotation_history::CredentialRotationHistory;
use crate::logins::login::{Device, ListedLogin, Login, PageCursor, Transport};

/// A login and its owner, as the queries below return them.
pub(super) struct LoginRow {
    pub(super) id: Uuid,
    pub(super) mode: String,
    pub(super) transport: String,
    pub(super) handle_transport: Option<String>,
    pub(super) is_presented: bool,
    pub(super) remember_me: bool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) last_seen_at: DateTime<Utc>,
    pub(super) idle_expires_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) generation: i32,
    pub(super) replaced_at: Vec<DateTime<Utc>>,
    pub(super) refresh_hash: Option<Vec<u8>>,
    pub(super) token_expires_at: Option<DateTime<Utc>>,
    pub(super) ended_at: Option<DateTime<Utc>>,
    pub(super) amr: Vec<String>,
    pub(super) aal: i16,
    pub(super) auth_time: DateTime<Utc>,
    pub(super) user_id: Uuid,
    pub(super) username: String,
    pub(super) email: String,
    pub(super) email_verified: bool,
    pub(super) roles: Vec<String>,
    pub(super) user_created_at: DateTime<Utc>,
    pub(super) user_disabled: bool,
}

impl From<LoginRow> for Login {
    fn from(row: LoginRow) -> Self {
        Self {
            id: row.id,
            user: User {
                id: row.user_id,
                username: row.username,
                email: row.email,
                email_verified: row.email_verified,
                roles: row.roles,
                created_at: row.user_created_at,
            },
            mode: row.mode,
            transport: row.transport.into(),
            handle_transport: row.handle_transport.map(Transport::from),
            is_presented: row.is_presented,
            remember_me: row.remember_me,
            authentication: authentication(&row.amr, row.aal, row.auth_time),
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
            generations: CredentialRotationHistory { current: row.generation, replaced_at: row.replaced_at },
            secret_hash: row.refresh_hash.and_then(|hash| hash.try_into().ok()),
            token_expires_at: row.token_expires_at,
            ended_at: row.ended_at,
            user_disabled: row.user_disabled,
        }
    }
}

/// A login without `amr`, written by an older version, began with a password.
fn authentication(amr: &[String], aal: i16, time: DateTime<Utc>) -> Authentication {
    Authentication::new(Amr::of_names(amr.iter().map(String::as_str)), Acr::of_level(aal), time)
}

/// The login with this handle, as this mode presents it. May be asked with every request, so it calls no function of ours.
pub(in crate::logins) async fn find_by_handle(
    pool: &ConnectionPool,
    hash: &[u8],
    mode: &str,
) -> Result<Option<Login>, DatabaseError> {
    let query = sqlx::query_as!(
        LoginRow,
        r#"select l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                  l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  case when l.mode = $2 then l.generation else coalesce(l.other_generation, 0) end as "generation!",
                  case when l.mode = $2 then l.replaced_at else coalesce(l.other_replaced_at, '{}') end as "replaced_at!",
                  true as "is_presented!",
                  l.amr, l.aal, coalesce(l.auth_time, l.created_at) as "auth_time!", l.user_id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from dualauth.logins l join dualauth.users u on u.id = l.user_id
           where l.handle_hash = $1 and (select dualauth.on_primary())"#,
        hash,
        mode,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(Login::from))
}

/// The login with this id, as this mode presents it.
pub(in crate::logins) async fn find(
    pool: &ConnectionPool,
    id: Uuid,
    mode: &str,
) -> Result<Option<Login>, DatabaseError> {
    let query = sqlx::query_as!(
        LoginRow,
        r#"select l.id, l.mode, l.transport, l.handle_transport, l.remember_me, l.created_at, l.last_seen_at,
                  l.idle_expires_at, l.expires_at, l.refresh_hash, l.token_expires_at, l.ended_at,
                  dualauth.presented_generation(l, $2) as "generation!",
                  dualauth.presented_replaced_at(l, $2) as "replaced_at!", dualauth.is_presented_in(l, $2) as "is_presented!",
                  l.amr, l.aal, coalesce(l.auth_time, l.created_at) as "auth_time!", l.user_id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at as user_created_at, u.disabled_at is not null as "user_disabled!"
           from dualauth.logins l join dualauth.users u on u.id = l.user_id
           where l.id = $1 and (select dualauth.on_primary())"#,
        id,
        mode,
    );
    Ok(answer(query.fetch_optional(pool)).await?.map(Login::from))
}

/// Live logins of a user after this position, newest first.
pub(in crate::logins) async fn list(
    pool: &ConnectionPool,
    user: Uuid,
    after: Option<PageCursor>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<ListedLogin>, DatabaseError> {
    let query = sqlx::query!(
        r#"select id, mode, dualauth.is_presented_in(l, mode) as "in_own_mode!", other_generation is not null as "in_other_mode!",
                  transport, remember_me, device_name, address, user_agent, created_at, last_seen_at,
                  idle_expires_at, expires_at, amr, aal, coalesce(auth_time, created_at) as "auth_time!"
         from dualauth.logins l
         where user_id = $1 and ended_at is null and idle_expires_at > $2 and expires_at > $2
           and (created_at, id) < (coalesce($3::timestamptz, 'infinity'),
                                   coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
         order by created_at desc, id desc limit $5"#,
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
            in_own_mode: row.in_own_mode,
            in_other_mode: row.in_other_mode,
            transport: row.transport.into(),
            remember_me: row.remember_me,
            authentication: authentication(&row.amr, row.aal, row.auth_time),
            device: Device { name: row.device_name, address: row.address, user_agent: row.user_agent },
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
        })
        .collect())
}
