//! Challenges: something that has to come back another way. The token stays with whoever asks, the code goes another way; both
//! together, once, within minutes and five tries, prove that whoever asked reads that mail.
//!
//! A challenge is created with its mail, and redeemed with what it changes, in one statement each. The function
//! `redeem_challenge` in the migrations counts, compares and uses it up.

mod callback;
mod checked_proof;
mod store;
mod token;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::clock::Clock;
use crate::crypto::{AppSecret, MacKey, Sealer, SecretBytes};
use crate::database::{ConnectionPool, DatabaseError};
use crate::mail::{Mail, MailedCode, Mails};
use crate::upkeep;

pub use self::callback::{CalledBack, TriedCode};
pub use self::checked_proof::{CheckedProof, UsedPasskey};
pub use self::token::{ChallengeCode, ChallengeToken};

/// Maximum lifetime of a code by mail.
const MAX_MAILED: Duration = Duration::from_secs(10 * 60);

/// Maximum number of rows that one statement of the sweep deletes.
const SWEEP_BATCH: i64 = 10_000;

/// What a challenge is good for. A code for one purpose is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing in.
    Login,
    /// Setting a new password.
    ResetPassword,
    /// Proving an address of a signed-in user: the account's, or another one that takes its place.
    Email,
    /// Registering an account.
    Register,
    /// Enrolling a factor of a signed-in user.
    Factor,
    /// Authenticating a signed-in user again.
    StepUp,
}

impl Purpose {
    /// Its name, in requests and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::ResetPassword => "reset_password",
            Self::Email => "email",
            Self::Register => "register",
            Self::Factor => "factor",
            Self::StepUp => "step_up",
        }
    }

    /// The purpose with this name. `None`: a later version's.
    fn of_name(name: &str) -> Option<Self> {
        let all = [Self::Login, Self::ResetPassword, Self::Email, Self::Register, Self::Factor, Self::StepUp];
        all.into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// The way that the other half of a challenge comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeMethod {
    /// A code by mail.
    Email,
    /// The first code of a new authenticator.
    Totp,
    /// A passkey, new or of the account. To sign in: anybody's.
    Passkey,
    /// A new security key.
    SecurityKey,
    /// A second factor of the account: a sign-in that has had its first.
    SecondFactor,
    /// A provider, which sends the browser back with a code.
    Provider,
    /// Proofs of the account's own, before an identity at a provider is linked to it.
    Link,
}

impl ChallengeMethod {
    /// Its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::SecurityKey => "security_key",
            Self::SecondFactor => "second_factor",
            Self::Provider => "provider",
            Self::Link => "link",
        }
    }
}

/// The input of [`Challenges::create`].
#[derive(Debug)]
pub struct ChallengeWithoutMail {
    /// What it is good for.
    pub purpose: Purpose,
    /// The way that the other half comes.
    pub method: ChallengeMethod,
    /// The account. `None`: whoever has the other half.
    pub account: Option<ChallengedAccount>,
    /// The login that alone may redeem it.
    pub login_id: Option<Uuid>,
    /// What is to be kept until then.
    pub state: Option<SecretBytes>,
}

/// The input of [`Challenges::mail_code`].
#[derive(Debug)]
pub struct NewChallenge<'a> {
    /// What it is good for.
    pub purpose: Purpose,
    /// The account, real or made up. `None`: one that is yet to begin.
    pub account: Option<ChallengedAccount>,
    /// The login that alone may redeem it.
    pub login_id: Option<Uuid>,
    /// What is to be kept until then.
    pub state: Option<SecretBytes>,
    /// Where the code goes, for the limit per address.
    pub address: &'a str,
}

/// The account of a challenge.
#[derive(Clone, Copy, Debug)]
pub struct ChallengedAccount {
    /// The user's id.
    pub user_id: Uuid,
    /// The user's `password_version`. The challenge is good for as long as the account has it.
    pub version: i32,
}

/// A challenge that was created.
#[derive(Debug)]
pub struct Challenge {
    /// The half for whoever asked.
    pub token: ChallengeToken,
    /// Names the challenge in links: worth nothing by itself.
    pub id: Uuid,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// Both halves of a challenge as the database recognises them.
#[derive(Debug)]
pub struct HashedHalves {
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// MACs of the code, one of which a right code has.
    pub code_macs: Vec<Vec<u8>>,
}

/// The challenges of the service.
#[derive(Debug)]
pub struct Challenges {
    pool: ConnectionPool,
    codes: MacKey,
    states: Sealer,
    ttl: Duration,
    clock: Clock,
    mails: Arc<Mails>,
}

impl Challenges {
    /// Challenges in this database. `ttl` is `CHALLENGE_TTL`.
    pub fn new(
        pool: ConnectionPool,
        secret: &AppSecret,
        ttl: Duration,
        clock: Clock,
        mails: Arc<Mails>,
    ) -> Self {
        let (codes, states) =
            (MacKey::derive(secret, "challenge codes"), Sealer::derive(secret, "challenge states"));
        Self { pool, codes, states, ttl, clock, mails }
    }

    /// Creates a challenge whose code goes by the mail that `mail` makes of it. If the address has had too many mails, or
    /// the mail does not contain the code, no code is right; the challenge is like any other for whoever asked.
    ///
    /// # Errors
    /// If the query fails.
    ///
    /// # Panics
    /// When the system's random number generator fails.
    pub async fn mail_code(
        &self,
        new: NewChallenge<'_>,
        mail: impl FnOnce(MailedCode, DateTime<Utc>) -> Mail,
    ) -> Result<Challenge, DatabaseError> {
        let (id, token, code) = (Uuid::now_v7(), ChallengeToken::generate(), ChallengeCode::generate());
        let now = self.clock.now();
        let expires_at = now + self.ttl.min(MAX_MAILED);
        let code_mac = self.codes.sign(&mac_input(&token, &code));
        let mail =
            self.mails.seal(&mail(MailedCode { challenge: id, code: code.reveal().to_owned() }, expires_at));
        let row = store::ChallengeRow {
            id,
            token_hash: &token.hash(),
            purpose: new.purpose,
            account: new.account,
            login_id: new.login_id,
            state: new.state.as_ref().map(|state| self.seal_state(id, state)),
            created_at: now,
            expires_at,
        };
        store::insert_with_mail(&self.pool, row, &code_mac, &mail, &self.mails.address_mac(new.address))
            .await?;
        self.mails.wake_up();
        Ok(Challenge { token, id, expires_at })
    }

    /// Creates a challenge without a code of its own: what comes back is checked by a factor.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn create(&self, new: ChallengeWithoutMail) -> Result<Challenge, DatabaseError> {
        self.insert(new, None).await
    }

    async fn insert(
        &self,
        new: ChallengeWithoutMail,
        callback_hash: Option<&[u8; 32]>,
    ) -> Result<Challenge, DatabaseError> {
        let (id, token, now) = (Uuid::now_v7(), ChallengeToken::generate(), self.clock.now());
        let expires_at = now + self.ttl;
        let row = store::ChallengeRow {
            id,
            token_hash: &token.hash(),
            purpose: new.purpose,
            account: new.account,
            login_id: new.login_id,
            state: new.state.as_ref().map(|state| self.seal_state(id, state)),
            created_at: now,
            expires_at,
        };
        store::insert_without_code(&self.pool, row, new.method, callback_hash).await?;
        Ok(Challenge { token, id, expires_at })
    }

    /// # Panics
    /// When the system's random number generator fails.
    #[expect(
        clippy::expect_used,
        reason = "no secret can be made without randomness, whatever the caller did"
    )]
    fn seal_state(&self, id: Uuid, state: &SecretBytes) -> Vec<u8> {
        self.states.seal(&id.to_string(), state).expect("the system's random number generator works")
    }

    /// The halves, hashed for a statement with `redeem_challenge`.
    pub fn hash(&self, token: &ChallengeToken, code: &ChallengeCode) -> HashedHalves {
        HashedHalves {
            token_hash: token.hash().to_vec(),
            code_macs: self.codes.sign_with_each(&mac_input(token, code)),
        }
    }

    /// What was kept with a challenge that can still be redeemed. `None`: there is none with this token, purpose and
    /// login. Counts no try.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn state(
        &self,
        token: &ChallengeToken,
        purpose: Purpose,
        login: Option<Uuid>,
    ) -> Result<Option<SecretBytes>, DatabaseError> {
        let found = store::find_state(&self.pool, &token.hash(), purpose, login, self.clock.now()).await?;
        Ok(found.and_then(|(id, sealed)| Some(self.states.unseal(&id.to_string(), &sealed)?.secret)))
    }

    /// Runs the task that deletes expired challenges.
    pub async fn run_sweep(self: Arc<Self>, pool: ConnectionPool) {
        upkeep::sweep_at_intervals("expired challenges", || {
            let (pool, now) = (&pool, self.clock.now());
            upkeep::delete_in_batches(SWEEP_BATCH, move || store::sweep(pool, now, SWEEP_BATCH))
        })
        .await;
    }
}

/// The token's hash has a fixed length, so that no two pairs have the same input.
fn mac_input(token: &ChallengeToken, code: &ChallengeCode) -> Vec<u8> {
    [token.hash().as_slice(), code.reveal().as_bytes()].concat()
}
