//! SQL of identities: which account belongs to whom at a provider.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::identity::{ProviderIdentity, ProviderTokens};
use crate::challenges::{ChallengedAccount, CheckedProof, Purpose};
use crate::crypto::{AppSecret, Sealer, SecretBytes};
use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::error::{Code, Problem};
use crate::factors::email_code::CodeError;
use crate::logins::Authentication;
use crate::mail::{Language, Recipient, SealedMail};
use crate::users::{NO_PASSWORD, User};

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
    /// The account was changed or disabled since it was proved.
    #[error("the account has changed")]
    AccountChanged,
    /// The query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        let detail = match error {
            LinkError::Taken => "An account has this identity already.",
            LinkError::OtherOfIssuer => {
                "The account is linked with another identity at this provider: remove that one first."
            }
            LinkError::AccountChanged => return CodeError::Expired.into(),
            LinkError::Database(error) => return error.into(),
        };
        Self::new(Code::Conflict, detail)
    }
}

/// Why no account was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenAccountError {
    /// Somebody has the username.
    #[error("the username is taken")]
    UsernameTaken,
    /// Somebody has the address or the identity by now.
    #[error("somebody came first")]
    Overtaken,
    /// The query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// An account that a provider's word leads to.
#[derive(Clone, Debug)]
pub struct ProviderAccount {
    /// The user.
    pub user: User,
    /// Where the user gets mail.
    pub recipient: Recipient,
    /// The account's credential version.
    pub version: i32,
    /// Whether a login of it takes two factors.
    pub has_two_step: bool,
    /// Whether it has a password.
    pub has_password: bool,
    /// Whether it is disabled.
    pub is_disabled: bool,
    /// The identity. `None`: the account only has the address.
    pub identity_id: Option<Uuid>,
}

/// Whom an identity is linked to, and by which proofs.
#[derive(Debug)]
pub struct LinkOwner {
    /// The account.
    pub account: ChallengedAccount,
    /// What the account was proved by. Of a signed-in user, it is the login's from then on.
    pub proved: Authentication,
    /// The login of a signed-in user.
    pub login_id: Option<Uuid>,
    /// What is used up with the link.
    pub checked: CheckedProof,
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

    /// See [`list`].
    ///
    /// # Errors
    /// If the query fails.
    pub async fn of_user(&self, user_id: Uuid) -> Result<Vec<StoredIdentity>, DatabaseError> {
        list(&self.pool, user_id).await
    }

    /// The account of whoever signed in, or else the account that has this address, also a disabled one.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn find_account(
        &self,
        identity: &ProviderIdentity,
        address: Option<&str>,
    ) -> Result<Option<ProviderAccount>, DatabaseError> {
        let query = sqlx::query!(
            r#"with owner as materialized (
                 select user_id, id from dualauth.identities where issuer = $1 and subject = $2
               ), found as (
                 select user_id, id as identity_id from owner
                 union all
                 select id, null from dualauth.users
                 where lower(email collate "C") = lower($3::text collate "C") and not exists (select from owner)
               )
               select u.id, u.username, u.email, u.email_verified_at is not null as "email_verified!", u.roles, u.created_at,
                      u.language, u.password_version, u.two_step, u.disabled_at is not null as "is_disabled!",
                      coalesce(u.password_hash, $4) <> $4 as "has_password!", found.identity_id
               from found join dualauth.users u on u.id = found.user_id"#,
            identity.issuer,
            identity.subject,
            address,
            NO_PASSWORD,
        );
        let row = answer(query.fetch_optional(&self.pool)).await?;
        Ok(row.map(|row| ProviderAccount {
            recipient: Recipient::new(row.email.clone(), row.email_verified, &row.language),
            user: User {
                id: row.id,
                username: row.username,
                email: row.email,
                email_verified: row.email_verified,
                roles: row.roles,
                created_at: row.created_at,
            },
            version: row.password_version,
            has_two_step: row.two_step,
            has_password: row.has_password,
            is_disabled: row.is_disabled,
            identity_id: row.identity_id,
        }))
    }

    /// Opens an account for whoever has this identity, and a proved address.
    ///
    /// # Errors
    /// [`OpenAccountError`]. Nothing changes then.
    pub async fn open_account(
        &self,
        user: &User,
        identity: &ProviderIdentity,
        language: Language,
    ) -> Result<ProviderAccount, OpenAccountError> {
        let id = Uuid::now_v7();
        let query = sqlx::query_scalar!(
            "with opened as (
               insert into dualauth.users (id, username, email, roles, created_at, email_verified_at, language)
               values ($1, $2, $3, $4, $5, $5, $6) returning id, password_version
             ), linked as (
               insert into dualauth.identities (id, issuer, subject, user_id, provider, email, tokens, created_at, last_used_at)
               select $7, $8, $9, id, $10, $11, $12, $5, $5 from opened
             )
             select password_version from opened",
            user.id,
            user.username,
            user.email,
            &user.roles,
            user.created_at,
            language.as_str(),
            id,
            identity.issuer,
            identity.subject,
            identity.provider,
            identity.email,
            self.sealed(id, identity.tokens.as_ref()),
        );
        let version = answer(query.fetch_one(&self.pool)).await.map_err(open_account_error)?;
        Ok(ProviderAccount {
            recipient: Recipient { address: user.email.clone(), is_verified: true, language },
            user: user.clone(),
            version,
            has_two_step: false,
            has_password: false,
            is_disabled: false,
            identity_id: Some(id),
        })
    }

    /// Links the identity to an account, as long as it has this version, and queues the notice. The account's row is locked: with
    /// two-step sign-in, turned on meanwhile, one factor links nothing.
    ///
    /// # Errors
    /// [`LinkError`]. Nothing changes then.
    pub async fn link(
        &self,
        owner: LinkOwner,
        identity: &ProviderIdentity,
        notice: Option<&SealedMail>,
        now: DateTime<Utc>,
    ) -> Result<Uuid, LinkError> {
        let id = Uuid::now_v7();
        let LinkOwner { account, proved, login_id, checked } = owner;
        let amr: Vec<String> = proved.amr.names().map(str::to_owned).collect();
        let query = sqlx::query_scalar!(
            r#"with proof as materialized (
                 select dualauth.use_checked_proof($17, $4, $13, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $8) as is_used
               ), owner as materialized (
                 select u.id from dualauth.users u join proof on proof.is_used
                 where u.id = $4 and u.password_version = $9 and u.disabled_at is null
                   and case when $13::uuid is null then $15::smallint >= 2 or not u.two_step
                            else dualauth.may_change_factors($4, $13) end
                 for update of u
               ), linked as (
                 insert into dualauth.identities (id, issuer, subject, user_id, provider, email, tokens, created_at)
                 select $1, $2, $3, id, $5, $6, $7, $8 from owner returning id
               ), raised as (
                 update dualauth.logins l
                 set amr = l.amr || array(select name from unnest($14::text[]) as name where name <> all (l.amr)),
                     aal = greatest(l.aal, $15::smallint), auth_time = greatest(l.auth_time, $16)
                 from linked where l.id = $13 and l.user_id = $4 and l.ended_at is null
               ), noticed as materialized (
                 select dualauth.queue_mail($10, $11, $12, $8) from linked
               )
               select linked.id as "id!" from linked, noticed"#,
            id,
            identity.issuer,
            identity.subject,
            account.user_id,
            identity.provider,
            identity.email,
            self.sealed(id, identity.tokens.as_ref()),
            now,
            account.version,
            notice.map(|mail| mail.id),
            notice.map(|mail| mail.content.as_slice()),
            notice.map(|mail| mail.expires_at),
            login_id,
            &amr,
            proved.acr.level(),
            proved.time,
            checked.purpose.map(Purpose::as_str),
            checked.token_hash.as_ref().map(<[u8; 32]>::as_slice),
            checked.totp_step,
            checked.recovery_hash.as_ref().map(<[u8; 32]>::as_slice),
            checked.passkey.map(|passkey| passkey.id),
            checked.passkey.map(|passkey| i64::from(passkey.sign_count)),
            checked.passkey.map(|passkey| passkey.backed_up),
            checked.address.as_deref(),
            checked.notice.as_ref().map(|mail| mail.id),
            checked.notice.as_ref().map(|mail| mail.content.as_slice()),
            checked.notice.as_ref().map(|mail| mail.expires_at),
        );
        match answer(query.fetch_optional(&self.pool)).await {
            Ok(linked) => linked.ok_or(LinkError::AccountChanged),
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

/// An account's identities, the oldest first.
///
/// # Errors
/// If the query fails.
pub async fn list(pool: &ConnectionPool, user_id: Uuid) -> Result<Vec<StoredIdentity>, DatabaseError> {
    let query = sqlx::query_as!(
        StoredIdentity,
        r#"select i.id, i.user_id, u.disabled_at is not null as "is_disabled!", i.provider, i.email, i.created_at, i.last_used_at
           from dualauth.identities i join dualauth.users u on u.id = i.user_id
           where i.user_id = $1 order by i.id"#,
        user_id,
    );
    answer(query.fetch_all(pool)).await
}

fn open_account_error(error: DatabaseError) -> OpenAccountError {
    match constraint(&error) {
        Some("users_username_key") => OpenAccountError::UsernameTaken,
        Some("users_email_key" | "identities_issuer_subject_key") => OpenAccountError::Overtaken,
        _ => OpenAccountError::Database(error),
    }
}

fn constraint(error: &DatabaseError) -> Option<&str> {
    let DatabaseError::Refused(sqlx::Error::Database(refused)) = error else { return None };
    refused.constraint()
}

fn link_error(error: DatabaseError) -> LinkError {
    match constraint(&error) {
        Some("identities_issuer_subject_key") => LinkError::Taken,
        Some("identities_user_id_issuer_key") => LinkError::OtherOfIssuer,
        _ => LinkError::Database(error),
    }
}
