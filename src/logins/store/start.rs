//! The statement that starts a login.

use chrono::{DateTime, Utc};

use crate::database::{ConnectionPool, DatabaseError, answer};

use crate::challenges::{CheckedProof, Purpose};
use crate::mail::SealedMail;

use crate::logins::authentication::Amr;
use crate::logins::login::{Device, HandleHash, Login, SecretHash};
use crate::logins::replaced_login::ReplacedLogin;

/// The input of [`insert`].
pub(in crate::logins) struct Start<'a> {
    pub(in crate::logins) login: &'a Login,
    pub(in crate::logins) device: &'a Device,
    pub(in crate::logins) handle_hash: Option<&'a HandleHash>,
    /// The user's password version when they authenticated.
    pub(in crate::logins) password_version: i32,
    pub(in crate::logins) replaces: Option<ReplacedLogin>,
    /// Queued if the owner has not signed in from this network before, unless the account is new.
    pub(in crate::logins) notice: Option<&'a SealedMail>,
    /// Used up if the login begins.
    pub(in crate::logins) proof: &'a CheckedProof,
    /// Generations that were replaced after this time are within their grace.
    pub(in crate::logins) grace_from: DateTime<Utc>,
}

/// Inserts the login and returns its owner's current roles. `None` when the owner may not sign in.
pub(in crate::logins) async fn insert(
    pool: &ConnectionPool,
    start: Start<'_>,
) -> Result<Option<Vec<String>>, DatabaseError> {
    let (replaced_handle, replaced_generation, replaced_id) =
        ReplacedLogin::parameters(start.replaces.as_ref());
    let Start { login, device, .. } = start;
    // However a sign-in came here: no login of an account with two-step sign-in begins by one factor.
    // The share lock waits for a concurrent change of the user, then re-checks the conditions.
    let insert = sqlx::query_scalar!(
        r#"with proof as materialized (
             -- First, since it locks the user's row more than the login does.
             select dualauth.use_checked_proof($26, $2, null, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $9) as is_used
           ), owner as (
             select u.id, u.roles, u.created_at from dualauth.users u join proof on proof.is_used
             where u.id = $2 and u.disabled_at is null and u.password_version = $15 and (not u.two_step or $21::smallint >= 2)
             for share of u
           ), started as (
             insert into dualauth.logins (id, user_id, mode, transport, remember_me, device_name, address, user_agent,
                 created_at, last_seen_at, idle_expires_at, expires_at, renewed_at, handle_hash, token_expires_at,
                 refresh_hash, sweep_at, amr, aal, auth_time)
             select $1, owner.id, $3, $4, $5, $6, $7, $8, $9, $9, $10::timestamptz, $11::timestamptz, $9, $12, $16, $19,
                 least($10::timestamptz, $11::timestamptz), $20, $21, $22 from owner
             returning id
           ), replaced as (
             update dualauth.logins l set ended_at = $9
             where (l.handle_hash = $13
                    and (dualauth.presented_generation(l, $3) = $17
                         or (dualauth.presented_replaced_at(l, $3))[dualauth.presented_generation(l, $3) - $17] > $18)
                    or l.id = $14)
               and dualauth.is_presented_in(l, $3) and l.ended_at is null and exists (select from started)
           ), noticed as (
             -- As it was before: the trigger of `started` notes the network at the end of this statement.
             insert into dualauth.mails (id, content, created_at, send_at, expires_at)
             select $23::uuid, $24::bytea, $9, $9, $25::timestamptz from started, owner
             where $23 is not null and owner.created_at < $9::timestamptz - interval '1 day'
               and not exists (select from dualauth.guessers
                               where account = uuid_send($2) and network = dualauth.network_of($7))
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
        &names(login.authentication.amr),
        login.authentication.acr.level(),
        login.authentication.time,
        start.notice.map(|mail| mail.id),
        start.notice.map(|mail| mail.content.as_slice()),
        start.notice.map(|mail| mail.expires_at),
        start.proof.purpose.map(Purpose::as_str),
        start.proof.token_hash.as_ref().map(<[u8; 32]>::as_slice),
        start.proof.totp_step,
        start.proof.recovery_hash.as_ref().map(<[u8; 32]>::as_slice),
        start.proof.passkey.map(|passkey| passkey.id),
        start.proof.passkey.map(|passkey| i64::from(passkey.sign_count)),
        start.proof.passkey.map(|passkey| passkey.backed_up),
        start.proof.address.as_deref(),
        start.proof.notice.as_ref().map(|mail| mail.id),
        start.proof.notice.as_ref().map(|mail| mail.content.as_slice()),
        start.proof.notice.as_ref().map(|mail| mail.expires_at),
    );
    answer(insert.fetch_optional(pool)).await
}

/// The names as the database stores them.
pub(super) fn names(amr: Amr) -> Vec<String> {
    amr.names().map(str::to_owned).collect()
}
