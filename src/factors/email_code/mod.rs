//! Codes by mail: a first factor where `EMAIL_SIGN_IN` is on, what resets a password, and what proves an address.
//!
//! Nobody is told by a challenge whether an address has an account: for one that nobody has, the account is made up, and the
//! mail is to nobody, as it is to a disabled user. Statements, rows and answers are the same.

mod address;
mod error;
mod step_up;
mod store;

use std::sync::Arc;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::challenges::{
    Challenge, ChallengeCode, ChallengeToken, ChallengedAccount, Challenges, HashedHalves, NewChallenge,
    Purpose,
};
use crate::clock::Clock;
use crate::crypto::SecretBytes;
use crate::database::{ConnectionPool, DatabaseError};
use crate::http::client::Client;
use crate::logins::Logins;
use crate::mail::{Language, Mail, Mails, Message, Recipient, SealedMail, SignInMethod};
use crate::metrics::Metrics;
use crate::network_rate_limits::{LimitedAttempt, Limiter};
use crate::users::{UnknownNames, User, UserIdAndName, account_locked};

pub use self::address::ChangeAddressError;
pub use self::error::CodeError;
use self::store::{AddressOwner, LiveChallenge};

use super::{FactorContext, Proof};

/// Mails and redeems codes.
pub struct EmailCodeFactor {
    pool: ConnectionPool,
    challenges: Arc<Challenges>,
    mails: Arc<Mails>,
    /// `EMAIL_SIGN_IN`.
    signs_in: bool,
    /// The relying party id that passkeys are good for today. `None`: for none.
    rp_id: Option<String>,
    /// The names of the providers that somebody may sign in by today.
    providers: Vec<String>,
    /// Those of them that somebody can authenticate again by.
    step_up_providers: Vec<String>,
    /// `LOGIN_LIMIT`.
    limit: Limiter,
    /// Addresses that nobody has, whose accounts are made up.
    unknown_names: UnknownNames,
    clock: Clock,
    logins: Logins,
    trail: Trail,
    metrics: Metrics,
}

/// A user who has proved to read the mail of the account.
pub struct VerifiedReader<'a> {
    /// The user.
    pub user: User,
    /// Where the user gets mail.
    pub recipient: Recipient,
    /// Whether a login of the user takes two factors.
    pub has_two_step: bool,
    /// The proof for the login.
    pub proof: Proof,
    /// Counts as a failure unless it is told that it was none.
    pub attempt: LimitedAttempt<'a>,
}

/// A try at the code of a challenge that can still be redeemed.
pub struct CodeAttempt<'a> {
    /// Both halves, for the statement that redeems it.
    pub halves: HashedHalves,
    /// Whose it is. `None`: nobody has the address that was asked for.
    pub user: Option<(UserIdAndName, Recipient)>,
    /// Whether strangers have closed the account by guessing.
    pub is_locked_account: bool,
    /// Counts as a failure unless it is told that it was none.
    pub limited: LimitedAttempt<'a>,
}

impl EmailCodeFactor {
    /// Sends and verifies codes. They are a first factor only if `signs_in`. Whoever is known at one of `step_up_providers`
    /// authenticates again there, and not by mail.
    pub fn new(context: &FactorContext<'_>, signs_in: bool, step_up_providers: Vec<String>) -> Self {
        Self {
            pool: context.pool.clone(),
            challenges: Arc::clone(&context.challenges),
            mails: Arc::clone(&context.mails),
            signs_in,
            rp_id: context.removal.rp_id.clone(),
            providers: context.removal.providers.clone(),
            step_up_providers,
            limit: context.limit.clone(),
            unknown_names: UnknownNames::new(context.secret),
            clock: context.clock.clone(),
            logins: context.logins.clone(),
            trail: context.trail.clone(),
            metrics: context.metrics.clone(),
        }
    }

    /// Whether a code by mail is a first factor.
    pub fn signs_in(&self) -> bool {
        self.signs_in
    }

    /// Creates a challenge for somebody who is not signed in: to sign in, or to reset the password.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn challenge_stranger(
        &self,
        purpose: Purpose,
        address: &str,
        language: Language,
    ) -> Result<Challenge, DatabaseError> {
        self.challenge_address_of(purpose, address, language, None).await
    }

    /// Creates a challenge for whoever reads the mail of this address, with or without an account: an identity at a provider is to
    /// be linked by it, or an account opened. `state` is kept.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn challenge_address_to_link(
        &self,
        address: &str,
        language: Language,
        state: SecretBytes,
    ) -> Result<Challenge, DatabaseError> {
        self.challenge_address_of(Purpose::Login, address, language, Some(state)).await
    }

    async fn challenge_address_of(
        &self,
        purpose: Purpose,
        address: &str,
        language: Language,
        state: Option<SecretBytes>,
    ) -> Result<Challenge, DatabaseError> {
        let is_for_anybody = state.is_some();
        let owner =
            store::find_by_address(&self.pool, address, self.rp_id.as_deref(), &self.providers).await?;
        // Made up also where it is not needed: it takes its time.
        let made_up = ChallengedAccount { user_id: self.unknown_names.bucket(address).account(), version: 0 };
        let account = owner
            .as_ref()
            .map_or(made_up, |owner| ChallengedAccount { user_id: owner.user_id, version: owner.version });
        let new = NewChallenge { purpose, account: Some(account), login_id: None, state, address };
        let challenge = self.challenges.mail_code(new, |code, expires_at| {
            let has_code = purpose == Purpose::Login || owner.as_ref().is_none_or(|owner| owner.has_password);
            let message = match purpose {
                _ if !has_code => Message::ResetWithoutPassword { methods: self.methods(owner.as_ref()) },
                Purpose::ResetPassword => Message::ResetPasswordCode(code),
                _ => Message::SignInCode(code),
            };
            let (to, language) = match owner {
                Some(AddressOwner { is_disabled: false, recipient, .. }) => {
                    (Some(recipient.address), recipient.language)
                }
                // A disabled user gets no code, and is counted as a user: wrong passwords are, too.
                Some(_) => (None, language),
                None => (is_for_anybody.then(|| address.to_owned()), language),
            };
            Mail { to, language, message, expires_at }
        });
        let challenge = challenge.await?;
        self.metrics.challenge(purpose.as_str(), "email", "created");
        Ok(challenge)
    }

    /// How an account without a password signs in.
    fn methods(&self, owner: Option<&AddressOwner>) -> Vec<SignInMethod> {
        let methods = [
            (SignInMethod::Email, self.signs_in),
            (SignInMethod::Passkey, owner.is_some_and(|owner| owner.has_passkey)),
            (SignInMethod::Provider, owner.is_some_and(|owner| owner.has_provider)),
        ];
        methods.into_iter().filter(|(_, is_there)| *is_there).map(|(method, _)| method).collect()
    }

    /// Redeems a challenge for a sign-in.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn verify(
        &self,
        challenge: &str,
        code: &str,
        client: &Client,
        actor: &Actor,
    ) -> Result<VerifiedReader<'_>, CodeError> {
        if !self.signs_in {
            return Err(CodeError::Expired);
        }
        self.verify_to_link(challenge, code, client, actor).await
    }

    /// Redeems a challenge for a sign-in that links an identity at a provider, whatever `EMAIL_SIGN_IN` says.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn verify_to_link(
        &self,
        challenge: &str,
        code: &str,
        client: &Client,
        actor: &Actor,
    ) -> Result<VerifiedReader<'_>, CodeError> {
        let purpose = Purpose::Login;
        let outcome = match self.attempt(purpose, challenge, code, client).await {
            Ok(attempt) => self.redeem_for_login(attempt, client, actor).await,
            Err(error) => Err(error),
        };
        self.record(purpose, outcome.as_ref().err(), actor);
        outcome
    }

    /// Begins a try at a code for somebody who is not signed in. The caller redeems the challenge.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn attempt(
        &self,
        purpose: Purpose,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<CodeAttempt<'_>, CodeError> {
        let limited = self.limit.begin(client.network()).await?;
        match self.find(purpose, challenge, code, client).await {
            Ok((halves, found)) => {
                let LiveChallenge { user, is_locked_account, .. } = found;
                Ok(CodeAttempt { halves, user, is_locked_account, limited })
            }
            Err(error) => Err(settle(limited, error)),
        }
    }

    async fn find(
        &self,
        purpose: Purpose,
        challenge: &str,
        code: &str,
        client: &Client,
    ) -> Result<(HashedHalves, LiveChallenge), CodeError> {
        let token = ChallengeToken::parse(challenge).ok_or(CodeError::Expired)?;
        let halves = self.challenges.hash(&token, &ChallengeCode::typed(code));
        let (address, now) = (client.address.to_string(), self.clock.now());
        let found = store::find_challenge(&self.pool, &halves.token_hash, purpose, &address, now).await?;
        let found = found.ok_or(CodeError::Expired)?;
        match found.locked_until {
            Some(until) => Err(CodeError::AccountLocked {
                limited: account_locked(until, now),
                user: found.user.map(|(user, _)| user),
            }),
            None => Ok((halves, found)),
        }
    }

    async fn redeem_for_login<'a>(
        &'a self,
        attempt: CodeAttempt<'a>,
        client: &Client,
        actor: &Actor,
    ) -> Result<VerifiedReader<'a>, CodeError> {
        let CodeAttempt { halves, user, limited, .. } = attempt;
        let (address, now) = (client.address.to_string(), self.clock.now());
        let notice = self.seal_notice(user.as_ref(), Message::AddressProved);
        let redeemed = store::redeem_for_login(&self.pool, &halves, &address, notice.as_ref(), now).await;
        let (proved, recipient) = match (redeemed, user) {
            (Ok(Some((true, Some(proved)))), Some((_, recipient))) => (proved, recipient),
            (Ok(Some((false, _))), user) => return Err(CodeError::WrongCode(user.map(|(user, _)| user))),
            (Ok(_), _) => return Err(CodeError::Expired),
            (Err(error), _) => return Err(settle(limited, error.into())),
        };
        if proved.is_first_proof {
            let entry = NewEvent::new(Kind::AddressProved, actor);
            self.trail.record(entry.of_user(proved.user.id, &proved.user.username));
            self.mails.wake_up();
            self.logins.notify_and_catch_up().await;
        }
        let proof = Proof::EmailCode { version: proved.version };
        Ok(VerifiedReader {
            user: proved.user,
            recipient,
            has_two_step: proved.has_two_step,
            proof,
            attempt: limited,
        })
    }

    /// A notice to the user of a challenge. One to nobody takes as long to seal, and is never queued.
    pub fn seal_notice(
        &self,
        user: Option<&(UserIdAndName, Recipient)>,
        message: Message,
    ) -> Option<SealedMail> {
        let nobody = Recipient { address: String::new(), is_verified: false, language: Language::default() };
        self.mails.seal_notice(user.map_or(&nobody, |(_, recipient)| recipient), message)
    }

    /// Counts the outcome of a try, and records a wrong code, and what a limit rejects, in the audit trail. No error: it was
    /// redeemed.
    pub fn record(&self, purpose: Purpose, error: Option<&CodeError>, actor: &Actor) {
        let entry = match error {
            Some(CodeError::WrongCode(user)) => {
                let entry = NewEvent::to_oneself(Kind::ChallengeFailed, actor).with("for", purpose.as_str());
                Some(of_user(entry, user.as_ref()))
            }
            Some(error) => error.limited_event(purpose, actor),
            None => None,
        };
        if let Some(entry) = entry {
            self.trail.record(entry);
        }
        self.count(purpose, error);
    }

    fn count(&self, purpose: Purpose, error: Option<&CodeError>) {
        if let Some(outcome) = error.map_or(Some("redeemed"), CodeError::metric_outcome) {
            self.metrics.challenge(purpose.as_str(), "email", outcome);
        }
    }
}

fn of_user(entry: NewEvent, user: Option<&UserIdAndName>) -> NewEvent {
    match user {
        Some(user) => entry.of_user(user.id, &user.username),
        None => entry,
    }
}

/// Ends an attempt, which counts as a failure unless the service failed.
pub fn settle(limited: LimitedAttempt<'_>, error: CodeError) -> CodeError {
    if !error.is_failure() {
        limited.forget();
    }
    error
}
