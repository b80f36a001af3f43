//! SQL of passkeys and security keys.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};

use super::{PasskeyKind, VerifiedAssertion, VerifiedRegistration};

/// The passkeys and security keys under one relying party id.
#[derive(Debug)]
pub struct Passkeys {
    pool: ConnectionPool,
    rp_id: String,
}

/// A stored passkey or security key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPasskey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The credential's id, by which authenticators know it.
    pub credential_id: Vec<u8>,
    /// The public key, as a COSE_Key.
    pub public_key: Vec<u8>,
    /// What it was registered as.
    pub kind: PasskeyKind,
    /// The name that its user gave it.
    pub name: String,
    /// Whether it may be copied to other devices.
    pub backup_eligible: bool,
    /// How browsers reach the authenticator.
    pub transports: Vec<String>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
}

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
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<PasskeyRow> for StoredPasskey {
    fn from(row: PasskeyRow) -> Self {
        let is_passkey = row.kind == PasskeyKind::Passkey.as_str();
        Self {
            id: row.id,
            user_id: row.user_id,
            credential_id: row.credential_id,
            public_key: row.public_key,
            kind: if is_passkey { PasskeyKind::Passkey } else { PasskeyKind::SecurityKey },
            name: row.name,
            backup_eligible: row.backup_eligible,
            transports: row.transports,
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

impl Passkeys {
    /// The passkeys in this database under this relying party id.
    pub fn new(pool: ConnectionPool, rp_id: String) -> Self {
        Self { pool, rp_id }
    }

    /// Stores a registration. `None`: the credential is registered already, by whomever (WebAuthn Level 3, section 7.1, step 26).
    ///
    /// # Errors
    /// If the query fails.
    pub async fn insert(
        &self,
        user_id: Uuid,
        name: &str,
        new: &VerifiedRegistration,
        now: DateTime<Utc>,
    ) -> Result<Option<Uuid>, DatabaseError> {
        let query = sqlx::query_scalar!(
            r#"insert into dualauth.passkeys
                 (id, user_id, credential_id, public_key, algorithm, kind, name, sign_count, backup_eligible, backed_up,
                  transports, aaguid, rp_id, created_at)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
               on conflict (credential_id) do nothing returning id"#,
            Uuid::now_v7(),
            user_id,
            new.credential_id,
            new.public_key,
            new.algorithm.identifier(),
            new.kind.as_str(),
            name,
            i64::from(new.sign_count),
            new.backup_eligible,
            new.backed_up,
            &new.transports,
            new.aaguid,
            self.rp_id,
            now,
        );
        answer(query.fetch_optional(&self.pool)).await
    }

    /// A user's passkeys and security keys, the oldest first.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn of_user(&self, user_id: Uuid) -> Result<Vec<StoredPasskey>, DatabaseError> {
        let query = sqlx::query_as!(
            PasskeyRow,
            r#"select id, user_id, credential_id, public_key, kind, name, backup_eligible, transports, created_at, last_used_at
               from dualauth.passkeys where user_id = $1 and rp_id = $2 order by id"#,
            user_id,
            self.rp_id,
        );
        let rows = answer(query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(StoredPasskey::from).collect())
    }

    /// The passkey with this credential id, unless its user is disabled.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn find(&self, credential_id: &[u8]) -> Result<Option<StoredPasskey>, DatabaseError> {
        let query = sqlx::query_as!(
            PasskeyRow,
            r#"select p.id, p.user_id, p.credential_id, p.public_key, p.kind, p.name, p.backup_eligible, p.transports,
                      p.created_at, p.last_used_at
               from dualauth.passkeys p join dualauth.users u on u.id = p.user_id and u.disabled_at is null
               where p.credential_id = $1 and p.rp_id = $2"#,
            credential_id,
            self.rp_id,
        );
        Ok(answer(query.fetch_optional(&self.pool)).await?.map(StoredPasskey::from))
    }

    /// Records the use of a passkey. `false`: it is gone, or its counter did not go up, so there may be a copy of the credential, or
    /// the same answer came twice (section 7.2, step 22). The devices that share a synced passkey don't share a counter: theirs may be
    /// lower, and the higher one is kept.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn record_use(
        &self,
        assertion: &VerifiedAssertion,
        now: DateTime<Utc>,
    ) -> Result<bool, DatabaseError> {
        let query = sqlx::query_scalar!(
            r#"update dualauth.passkeys
               set sign_count = greatest(sign_count, $2), backed_up = $3, last_used_at = $4
               where id = $1 and (sign_count < $2 or $2 = 0 and sign_count = 0 or backup_eligible)
               returning id"#,
            assertion.passkey_id,
            i64::from(assertion.sign_count),
            assertion.backed_up,
            now,
        );
        Ok(answer(query.fetch_optional(&self.pool)).await?.is_some())
    }
}
