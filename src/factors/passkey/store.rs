//! SQL of passkeys and security keys: what an account has, their enrolment, and their use.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::challenges::Purpose;
use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::logins::Authentication;
use crate::mail::{Recipient, SealedMail};
use crate::users::{User, UserIdAndName};

use super::{ChallengedUser, PasskeyKind, StoredPasskey, VerifiedAssertion, VerifiedRegistration};

/// A row as the queries return it.
struct PasskeyRow {
    id: Uuid,
    user_id: Uuid,
    credential_id: Vec<u8>,
    public_key: Vec<u8>,
    kind: String,
    name: String,
    backup_eligible: bool,
    transports: Vec<String>,
    rp_id: String,
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<PasskeyRow> for StoredPasskey {
    fn from(row: PasskeyRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            credential_id: row.credential_id,
            public_key: row.public_key,
            kind: PasskeyKind::of_name(&row.kind),
            name: row.name,
            backup_eligible: row.backup_eligible,
            transports: row.transports,
            rp_id: row.rp_id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
        }
    }
}

/// How many passkeys and security keys there are under each relying party id.
///
/// # Errors
/// If the query fails.
pub async fn count_by_rp_id(pool: &ConnectionPool) -> Result<Vec<(String, i64)>, DatabaseError> {
    let query = sqlx::query!(
        r#"select rp_id, count(*) as "count!" from dualauth.passkeys group by rp_id order by rp_id"#
    );
    let rows = answer(query.fetch_all(pool)).await?;
    Ok(rows.into_iter().map(|row| (row.rp_id, row.count)).collect())
}

/// A user's passkeys and security keys, the oldest first: under this relying party id, or, without one, under any.
pub(super) async fn of_user(
    pool: &ConnectionPool,
    user_id: Uuid,
    rp_id: Option<&str>,
) -> Result<Vec<StoredPasskey>, DatabaseError> {
    let query = sqlx::query_as!(
        PasskeyRow,
        r#"select id, user_id, credential_id, public_key, kind, name, backup_eligible, transports, rp_id, created_at, last_used_at
           from dualauth.passkeys where user_id = $1 and rp_id = coalesce($2, rp_id) order by id"#,
        user_id,
        rp_id,
    );
    let rows = answer(query.fetch_all(pool)).await?;
    Ok(rows.into_iter().map(StoredPasskey::from).collect())
}

/// A challenge that can still be redeemed by a passkey.
pub(super) struct LivePasskeyChallenge {
    /// Whose it is. `None`: anybody's.
    pub(super) challenged: Option<ChallengedUser>,
    /// The credential version of that account.
    pub(super) version: Option<i32>,
    /// The user of the challenge, or else of the credential: for the audit trail.
    pub(super) owner: Option<UserIdAndName>,
    /// The credential, unless its user is disabled.
    pub(super) passkey: Option<StoredPasskey>,
    /// When the next try is possible, if not now.
    pub(super) locked_until: Option<DateTime<Utc>>,
}

/// The input of [`find_challenge`].
pub(super) struct SoughtChallenge<'a> {
    pub(super) token_hash: &'a [u8; 32],
    pub(super) purpose: Purpose,
    pub(super) login_id: Option<Uuid>,
    pub(super) credential_id: &'a [u8],
    pub(super) rp_id: &'a str,
    /// `None`: of a signed-in user, whose tries are counted elsewhere.
    pub(super) address: Option<&'a str>,
}

/// Finds a challenge that can still be redeemed, and the credential that is to redeem it. Counts no try.
pub(super) async fn find_challenge(
    pool: &ConnectionPool,
    sought: &SoughtChallenge<'_>,
    now: DateTime<Utc>,
) -> Result<Option<LivePasskeyChallenge>, DatabaseError> {
    let query = sqlx::query!(
        r#"select c.user_id as challenged, c.version,
                  exists (select from dualauth.passkeys k
                          where k.user_id = c.user_id and k.kind = 'security_key' and k.rp_id = $5) as "has_security_key!",
                  u.id as "owner_id?", u.username as "username?",
                  case when $6::text is null or c.user_id is null then null
                       when c.purpose = 'reset_password' then dualauth.next_reset_try_at(c.user_id, $6, $7)
                       else dualauth.next_try_at(c.user_id, null, $6, $7) end as locked_until,
                  p.id as "id?", p.user_id as "user_id?", p.credential_id as "credential_id?", p.public_key as "public_key?",
                  p.kind as "kind?", p.name as "name?", p.backup_eligible as "backup_eligible?",
                  p.transports as "transports?", p.rp_id as "rp_id?", p.created_at as "created_at?", p.last_used_at
           from dualauth.challenges c
           left join dualauth.passkeys p on p.credential_id = $4 and p.rp_id = $5
             -- Where an identity is to be linked the first factor is wanted.
             and (c.method <> 'link' or p.kind = 'passkey')
             and exists (select from dualauth.users u where u.id = p.user_id and u.disabled_at is null)
           left join dualauth.users u on u.id = coalesce(c.user_id, p.user_id) and u.disabled_at is null
           where c.token_hash = $1 and c.purpose = $2 and c.method in ('passkey', 'second_factor', 'link')
             and c.login_id is not distinct from $3 and (c.version is null or c.version = u.password_version)
             and c.used_at is null and c.expires_at > $7 and c.tries < dualauth.most_code_tries()"#,
        sought.token_hash.as_slice(),
        sought.purpose.as_str(),
        sought.login_id,
        sought.credential_id,
        sought.rp_id,
        sought.address,
        now,
    );
    let row = answer(query.fetch_optional(pool)).await?;
    Ok(row.map(|row| LivePasskeyChallenge {
        challenged: row.challenged.map(|id| ChallengedUser { id, has_security_key: row.has_security_key }),
        version: row.version,
        owner: row.owner_id.zip(row.username).map(|(id, username)| UserIdAndName { id, username }),
        locked_until: row.locked_until,
        passkey: (|| {
            Some(StoredPasskey {
                id: row.id?,
                user_id: row.user_id?,
                credential_id: row.credential_id?,
                public_key: row.public_key?,
                kind: PasskeyKind::of_name(&row.kind?),
                name: row.name?,
                backup_eligible: row.backup_eligible?,
                transports: row.transports?,
                rp_id: row.rp_id?,
                created_at: row.created_at?,
                last_used_at: row.last_used_at,
            })
        })(),
    }))
}

/// Whether a challenge of a signed-in user can still be redeemed by a passkey.
pub(super) async fn is_live(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    login_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<bool, DatabaseError> {
    let query = sqlx::query_scalar!(
        r#"select exists (
             select from dualauth.challenges c join dualauth.users u on u.id = c.user_id and u.password_version = c.version
             where c.token_hash = $1 and c.purpose = $2 and c.method = 'passkey' and c.login_id is not distinct from $3
               and c.used_at is null and c.expires_at > $4 and c.tries < dualauth.most_code_tries()) as "is_live!""#,
        token_hash.as_slice(),
        purpose.as_str(),
        login_id,
        now,
    );
    answer(query.fetch_one(pool)).await
}

/// Counts an answer that was refused.
pub(super) async fn count_refused(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    address: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), DatabaseError> {
    let count = sqlx::query_scalar!(
        r#"select dualauth.count_refused_passkey($1, $2, $3, $4)::text as "nothing""#,
        token_hash.as_slice(),
        purpose.as_str(),
        address,
        now,
    );
    answer(count.fetch_one(pool)).await.map(drop)
}

/// A challenge that was tried with a verified assertion.
pub(super) struct RedeemedPasskey {
    /// Whether the authenticator's counter was taken. If not, the challenge lives.
    pub(super) is_counted: bool,
    pub(super) user: User,
    pub(super) recipient: Recipient,
    pub(super) has_two_step: bool,
    pub(super) version: i32,
}

/// Redeems a challenge with a verified assertion, as `redeem_passkey` in the migrations does. `None`: the challenge is over.
pub(super) async fn redeem(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    purpose: Purpose,
    login_id: Option<Uuid>,
    assertion: &VerifiedAssertion,
    now: DateTime<Utc>,
) -> Result<Option<RedeemedPasskey>, DatabaseError> {
    let redeem = sqlx::query!(
        r#"with redeemed as materialized (
             select * from dualauth.redeem_passkey($1, $2, $3, $4, $5, $6, $7)
           )
           select is_counted as "is_counted!", version as "version!", u.id, u.username, u.email,
                  u.email_verified_at is not null as "email_verified!", u.roles, u.created_at, u.language, u.two_step
           from redeemed join dualauth.users u on u.id = redeemed.user_id"#,
        token_hash.as_slice(),
        purpose.as_str(),
        login_id,
        assertion.passkey_id,
        i64::from(assertion.sign_count),
        assertion.backed_up,
        now,
    );
    let row = answer(redeem.fetch_optional(pool)).await?;
    Ok(row.map(|row| RedeemedPasskey {
        is_counted: row.is_counted,
        recipient: Recipient::new(row.email.clone(), row.email_verified, &row.language),
        user: User {
            id: row.id,
            username: row.username,
            email: row.email,
            email_verified: row.email_verified,
            roles: row.roles,
            created_at: row.created_at,
        },
        has_two_step: row.two_step,
        version: row.version,
    }))
}

/// Counts an attempt of a signed-in user as a failure. Returns when the next one is possible, if not now.
pub(super) async fn count_own_attempt(
    pool: &ConnectionPool,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, DatabaseError> {
    let count = sqlx::query_scalar!("select dualauth.count_own_try($1, $2)", user, now);
    answer(count.fetch_one(pool)).await
}

/// An enrolment that can still be completed.
pub(super) struct LiveEnrolment {
    pub(super) kind: PasskeyKind,
    pub(super) has_two_step: bool,
    pub(super) recipient: Recipient,
}

/// Finds the enrolment of a challenge of this login.
pub(super) async fn find_enrolment(
    pool: &ConnectionPool,
    token_hash: &[u8; 32],
    login_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<LiveEnrolment>, DatabaseError> {
    let query = sqlx::query!(
        r#"select c.method, u.two_step, u.email, u.email_verified_at is not null as "is_verified!", u.language
           from dualauth.challenges c
           join dualauth.users u on u.id = c.user_id and u.password_version = c.version and u.disabled_at is null
           where c.token_hash = $1 and c.purpose = 'factor' and c.method in ('passkey', 'security_key') and c.login_id = $2
             and c.used_at is null and c.expires_at > $3 and c.tries < dualauth.most_code_tries()"#,
        token_hash.as_slice(),
        login_id,
        now,
    );
    let row = answer(query.fetch_optional(pool)).await?;
    Ok(row.map(|row| LiveEnrolment {
        kind: PasskeyKind::of_name(&row.method),
        has_two_step: row.two_step,
        recipient: Recipient::new(row.email, row.is_verified, &row.language),
    }))
}

/// The input of [`enrol`].
pub(super) struct NewPasskey<'a> {
    pub(super) token_hash: &'a [u8; 32],
    pub(super) login_id: Uuid,
    pub(super) id: Uuid,
    pub(super) rp_id: &'a str,
    pub(super) registration: &'a VerifiedRegistration,
    pub(super) name: &'a str,
    pub(super) recovery_hashes: &'a [Vec<u8>],
    /// The login's authentication afterwards.
    pub(super) authentication: Authentication,
    pub(super) notice: Option<&'a SealedMail>,
}

/// What came of an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasskeyEnrolment {
    /// It is stored; `is_first`: it turned two-step sign-in on.
    Enrolled { is_first: bool },
    /// Somebody has the credential (WebAuthn Level 3, section 7.1, step 26).
    AlreadyRegistered,
}

/// Uses the challenge up and stores the credential. If it is the first second factor, two-step sign-in is on from then on,
/// recovery codes are stored, and every other login ends. `None`: the challenge is over.
pub(super) async fn enrol(
    pool: &ConnectionPool,
    new: NewPasskey<'_>,
    now: DateTime<Utc>,
) -> Result<Option<PasskeyEnrolment>, DatabaseError> {
    let registration = new.registration;
    let amr: Vec<String> = new.authentication.amr.names().map(str::to_owned).collect();
    let enrol = sqlx::query!(
        r#"with used as materialized (
             update dualauth.challenges c set tries = c.tries + 1, used_at = $5
             from dualauth.users u
             where c.token_hash = $1 and c.purpose = 'factor' and c.method = $3 and c.login_id = $2
               and u.id = c.user_id and u.password_version = c.version and u.disabled_at is null
               and c.used_at is null and c.expires_at > $5 and c.tries < dualauth.most_code_tries()
             returning c.user_id, c.version
           ), owner as materialized (
             select u.id from dualauth.users u join used on u.id = used.user_id
             where u.password_version = used.version and u.disabled_at is null
               and dualauth.may_change_factors(used.user_id, $2) for update of u
           ), enrolled as (
             insert into dualauth.passkeys (id, user_id, credential_id, public_key, algorithm, kind, name, sign_count,
                 backup_eligible, backed_up, transports, aaguid, rp_id, created_at)
             select $4, id, $6, $7, $8, $3, $9, $10, $11, $12, $13, $14, $15, $5 from owner
             on conflict (credential_id) do nothing returning user_id, kind
           ), noted as materialized (
             select dualauth.note_enrolled_factor(user_id, $2, kind = 'security_key', $16, $17, $18, $19, $20, $21, $22, $5) as is_first
             from enrolled
           )
           select noted.is_first as "is_first?" from owner left join noted on true"#,
        new.token_hash.as_slice(),
        new.login_id,
        registration.kind.as_str(),
        new.id,
        now,
        registration.credential_id,
        registration.public_key,
        registration.algorithm.identifier(),
        new.name,
        i64::from(registration.sign_count),
        registration.backup_eligible,
        registration.backed_up,
        &registration.transports,
        registration.aaguid,
        new.rp_id,
        new.recovery_hashes,
        &amr,
        new.authentication.acr.level(),
        new.authentication.time,
        new.notice.map(|mail| mail.id),
        new.notice.map(|mail| mail.content.as_slice()),
        new.notice.map(|mail| mail.expires_at),
    );
    let row = answer(enrol.fetch_optional(pool)).await?;
    Ok(row.map(|row| match row.is_first {
        Some(is_first) => PasskeyEnrolment::Enrolled { is_first },
        None => PasskeyEnrolment::AlreadyRegistered,
    }))
}
