//! SQL of identities: which account belongs to whom at a provider.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::identity::{ProviderIdentity, ProviderTokens};
use crate::crypto::{AppSecret, Sealer, SecretBytes};
use crate::database::{ConnectionPool, DatabaseError, answer};

/// The identities at providers that accounts have.
#[derive(Debug)]
pub struct Identities {
    pool: ConnectionPool,
    sealer: Sealer,
}

/// An identity at a provider that an account has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIdentity {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// Whether the account is disabled. It still has the identity: nobody opens another account by it.
    pub is_disabled: bool,
    /// The provider's name when it was linked.
    pub provider: String,
    /// The address when it was last used, if the provider had verified it.
    pub email: Option<String>,
    /// When it was linked.
    pub created_at: DateTime<Utc>,
    /// When somebody last signed in by it.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Why an identity is not linked to an account.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// An account has it already, maybe this one.
    #[error("an account has this identity")]
    Taken,
    /// The account has another identity of this issuer.
    #[error("the account has another identity of this issuer")]
    OtherOfIssuer,
    /// The query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Identities {
    /// The identities in this database. Tokens are sealed under this secret.
    pub fn new(pool: ConnectionPool, secret: &AppSecret) -> Self {
        Self { pool, sealer: Sealer::derive(secret, "provider tokens") }
    }

    /// The account of whoever signed in: by issuer and subject alone, never by an address. Also a disabled one.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn find(&self, identity: &ProviderIdentity) -> Result<Option<StoredIdentity>, DatabaseError> {
        let query = sqlx::query_as!(
            StoredIdentity,
            r#"select i.id, i.user_id, u.disabled_at is not null as "is_disabled!", i.provider, i.email, i.created_at, i.last_used_at
               from dualauth.identities i join dualauth.users u on u.id = i.user_id
               where i.issuer = $1 and i.subject = $2"#,
            identity.issuer,
            identity.subject,
        );
        answer(query.fetch_optional(&self.pool)).await
    }

    /// An account's identities, the oldest first.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn of_user(&self, user_id: Uuid) -> Result<Vec<StoredIdentity>, DatabaseError> {
        let query = sqlx::query_as!(
            StoredIdentity,
            r#"select i.id, i.user_id, u.disabled_at is not null as "is_disabled!", i.provider, i.email, i.created_at, i.last_used_at
               from dualauth.identities i join dualauth.users u on u.id = i.user_id
               where i.user_id = $1 order by i.id"#,
            user_id,
        );
        answer(query.fetch_all(&self.pool)).await
    }

    /// Links the identity to an account.
    ///
    /// # Errors
    /// [`LinkError`]. Nothing changes then.
    pub async fn link(
        &self,
        user_id: Uuid,
        identity: &ProviderIdentity,
        now: DateTime<Utc>,
    ) -> Result<Uuid, LinkError> {
        let id = Uuid::now_v7();
        let query = sqlx::query!(
            "insert into dualauth.identities (id, issuer, subject, user_id, provider, email, tokens, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            id,
            identity.issuer,
            identity.subject,
            user_id,
            identity.provider,
            identity.email,
            self.sealed(id, identity.tokens.as_ref()),
            now,
        );
        match answer(query.execute(&self.pool)).await {
            Ok(_) => Ok(id),
            Err(error) => Err(link_error(error)),
        }
    }

    /// Records that somebody signed in by an identity: when, and what the provider said. `false`: it is gone.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn record_use(
        &self,
        id: Uuid,
        identity: &ProviderIdentity,
        now: DateTime<Utc>,
    ) -> Result<bool, DatabaseError> {
        // Without `store_tokens`, those from before go as well.
        let query = sqlx::query_scalar!(
            "update dualauth.identities set provider = $2, email = $3, tokens = $4, last_used_at = $5 where id = $1 returning id",
            id,
            identity.provider,
            identity.email,
            self.sealed(id, identity.tokens.as_ref()),
            now,
        );
        Ok(answer(query.fetch_optional(&self.pool)).await?.is_some())
    }

    /// # Panics
    /// When the system's random number generator fails: nothing that this program does would be secure.
    #[expect(clippy::expect_used, reason = "no secret can be made without randomness")]
    fn sealed(&self, id: Uuid, tokens: Option<&ProviderTokens>) -> Option<Vec<u8>> {
        let json = SecretBytes::new(tokens?.reveal().as_bytes().to_vec());
        Some(self.sealer.seal(&id.to_string(), &json).expect("the random number generator works"))
    }
}

fn link_error(error: DatabaseError) -> LinkError {
    let DatabaseError::Refused(sqlx::Error::Database(refused)) = &error else {
        return LinkError::Database(error);
    };
    match refused.constraint() {
        Some("identities_issuer_subject_key") => LinkError::Taken,
        Some("identities_user_id_issuer_key") => LinkError::OtherOfIssuer,
        _ => LinkError::Database(error),
    }
}
