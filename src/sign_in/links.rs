//! Identities at providers that are yet to be linked to an account: at sign-in, by proofs of the account's own, or while signed in.

use std::mem;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::{ChallengeHalves, Identity};
use crate::challenges::{
    Challenge, ChallengeCode, ChallengeMethod, ChallengeWithoutMail, ChallengedAccount, CheckedProof, Purpose,
};
use crate::clock::write_rfc3339;
use crate::database::DatabaseError;
use crate::error::{Code, FieldError, Problem};
use crate::factors::Proof;
use crate::factors::email_code::{CodeError, VerifiedReader};
use crate::factors::passkey::RequestOptions;
use crate::factors::provider::{
    BegunProviderAttempt, LinkError, LinkOwner, NewProviderAttempt, ProviderAccount, ProviderIdentity,
    StoredIdentity,
};
use crate::http::client::Client;
use crate::logins::Amr;
use crate::mail::{Language, Message, Recipient};

use super::SignIn;
use super::challenges::unknown_method;
use super::pending::{KeptAttempt, PendingSignIn, PendingStep, UnlinkedIdentity};
use super::policy::{self, Authenticated};
use super::start_login::{Attempt, Outcome, end_code};

/// What a sign-in goes on with before an identity is linked.
pub(super) struct PendingLink {
    challenge: Challenge,
    /// The account's own ways to be proved. Empty: it is not known which account.
    methods: Vec<String>,
    passkey: Option<RequestOptions>,
    code: Code,
}

impl From<PendingLink> for Problem {
    fn from(pending: PendingLink) -> Self {
        let PendingLink { challenge, methods, passkey, code } = pending;
        let detail = match code {
            Code::EmailRequired => {
                "The provider gives no verified address: ask for a code by mail, with the challenge."
            }
            _ => "An account has this address: sign in to it with the challenge, and it is linked.",
        };
        let mut expires_at = String::new();
        write_rfc3339(challenge.expires_at, &mut expires_at);
        let problem = Self::new(code, detail)
            .with("challenge", challenge.token.reveal())
            .with("expires_at", expires_at);
        let problem = if methods.is_empty() { problem } else { problem.with("methods", methods) };
        match passkey {
            Some(options) => problem.with("passkey", options),
            None => problem,
        }
    }
}

impl SignIn {
    /// Somebody has the address: the link wants proofs of that account's own.
    pub(super) async fn link_required(
        &self,
        attempt: &Attempt,
        identity: ProviderIdentity,
        account: ProviderAccount,
    ) -> Result<Outcome, Problem> {
        let user_id = account.user.id;
        let kept = KeptAttempt {
            step: PendingStep::Link,
            unlinked: Some(UnlinkedIdentity { identity, account: Some(user_id), said_at: self.clock.now() }),
            ..attempt.kept(Amr::default())
        };
        let owner = ChallengedAccount { user_id, version: account.version };
        let challenge = self.pend_link(&kept, ChallengeMethod::Link, Some(owner)).await?;
        let passkey = match &self.passkeys {
            Some(passkeys) => passkeys.first_factor_options_of(&challenge.token, user_id).await?,
            None => None,
        };
        let own_ways = [
            ("password", account.has_password),
            ("passkey", passkey.is_some()),
            ("email", self.may_link_by_mail(&account)),
        ];
        let own_ways = own_ways.into_iter().filter(|(_, is_there)| *is_there);
        let mut methods: Vec<String> = own_ways.map(|(name, _)| name.to_owned()).collect();
        let linked = self.identities.of_user(user_id).await?.into_iter().map(|linked| linked.provider);
        methods.extend(linked.filter(|name| self.provider_attempts.provider(name).is_some()));
        Ok(Outcome::IdentityUnlinked(Box::new(PendingLink {
            challenge,
            methods,
            passkey,
            code: Code::LinkRequired,
        })))
    }

    /// A code by mail counts where the account could sign in or reset its password by one.
    fn may_link_by_mail(&self, account: &ProviderAccount) -> bool {
        self.mails.is_on() && (self.email_code.signs_in() || account.has_password)
    }

    /// The provider gave no address, and it is not known which account, if any.
    pub(super) async fn email_required(
        &self,
        attempt: &Attempt,
        identity: ProviderIdentity,
    ) -> Result<Outcome, Problem> {
        let kept = KeptAttempt {
            step: PendingStep::Link,
            unlinked: Some(UnlinkedIdentity { identity, account: None, said_at: self.clock.now() }),
            ..attempt.kept(Amr::default())
        };
        let challenge = self.pend_link(&kept, ChallengeMethod::Link, None).await?;
        Ok(Outcome::IdentityUnlinked(Box::new(PendingLink {
            challenge,
            methods: Vec::new(),
            passkey: None,
            code: Code::EmailRequired,
        })))
    }

    async fn pend_link(
        &self,
        kept: &KeptAttempt,
        method: ChallengeMethod,
        account: Option<ChallengedAccount>,
    ) -> Result<Challenge, DatabaseError> {
        let new = ChallengeWithoutMail {
            purpose: Purpose::Login,
            method,
            account,
            login_id: None,
            state: Some(kept.to_secret()),
        };
        let challenge = self.challenges.create(new).await?;
        self.metrics.challenge(Purpose::Login.as_str(), method.as_str(), "created");
        Ok(challenge)
    }

    /// Creates a challenge by mail for a sign-in whose provider gave no address, or whose identity is yet to be linked, whatever
    /// `EMAIL_SIGN_IN` says.
    ///
    /// # Errors
    /// `validation_failed`, `challenge_expired`, `rate_limited`, and `unavailable` when mails are off.
    pub async fn challenge_address_of_identity(
        &self,
        superseded: &SecretString,
        address: Option<&str>,
        language: Language,
        client: &Client,
    ) -> Result<Challenge, Problem> {
        let PendingSignIn { token, kept } = self.go_on_with(superseded).await?;
        if kept.unlinked.is_none() {
            let detail = "is of a sign-in that no address goes with";
            return Err(Problem::validation(vec![FieldError::of("challenge", detail)]));
        }
        let address = self.check_mail(address, client)?;
        let kept = KeptAttempt { step: PendingStep::Mail, mailed_to: Some(address.to_owned()), ..kept };
        if !self.challenges.use_up(&token, Purpose::Login).await? {
            return Err(CodeError::Expired.into());
        }
        Ok(self.email_code.challenge_address_to_link(address, language, kept.to_secret()).await?)
    }

    /// A code by mail, for an identity: of the account that has the address, or of one that is yet to begin.
    pub(super) async fn start_by_mail_of_identity(
        &self,
        mut attempt: Attempt,
        pending: PendingSignIn,
        halves: &ChallengeHalves,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let (Some(unlinked), Some(address)) = (attempt.unlinked.clone(), pending.kept.mailed_to) else {
            return Err(CodeError::Expired.into());
        };
        let found = self.identities.find_account(&unlinked.identity, Some(&address)).await?;
        if let Some(account) = found.filter(|account| account.identity_id.is_none())
            && self.may_link_by_mail(&account)
        {
            return self.link_by_mail(attempt, &unlinked, halves, actor).await;
        }
        let code = ChallengeCode::typed(halves.code.expose_secret());
        let limited = self.limits.login.begin(attempt.client.network()).await?;
        let tried = self.challenges.try_code(&pending.token, &code, Purpose::Login, None).await?;
        let error = match tried {
            Some(tried) if tried.is_right => None,
            Some(_) => Some(CodeError::WrongCode(None)),
            None => Some(CodeError::Expired),
        };
        self.email_code.record(Purpose::Login, error.as_ref(), actor);
        if let Some(error) = error {
            return Err(error.into());
        }
        limited.forget();
        attempt.unlinked = None;
        let identity = ProviderIdentity { email: Some(address), ..unlinked.identity };
        self.enter(attempt, identity, Amr::EMAIL, actor).await
    }

    async fn link_by_mail(
        &self,
        attempt: Attempt,
        unlinked: &UnlinkedIdentity,
        halves: &ChallengeHalves,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let (challenge, code) = (halves.challenge.expose_secret(), halves.code.expose_secret());
        let verified = self.email_code.verify_to_link(challenge, code, &attempt.client, actor).await?;
        let VerifiedReader { user, recipient, has_two_step, proof, attempt: counted } = verified;
        if unlinked.account.is_some_and(|account| account != user.id) {
            return Err(CodeError::Expired.into());
        }
        let proved = Authenticated::new(user, Amr::default(), proof, self.clock.now());
        let outcome = self.go_on(attempt, proved.decide(has_two_step), &recipient, actor).await;
        end_code(counted, outcome)
    }

    /// The password of the account that an identity is to be linked to.
    pub(super) async fn start_by_password_to_link(
        &self,
        attempt: Attempt,
        pending: PendingSignIn,
        password: &SecretString,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let account = pending.kept.unlinked.and_then(|unlinked| unlinked.account);
        let user = match account {
            Some(id) => self.accounts.find_by_id(id).await?,
            None => None,
        };
        let user = user.ok_or(CodeError::Expired)?;
        if !self.challenges.begin_try(&pending.token, Purpose::Login).await? {
            return Err(CodeError::Expired.into());
        }
        let verified = self.password.verify(&user.username, password, &attempt.client, actor).await;
        let verified = verified.map_err(|error| {
            self.record_failure(&error, actor);
            Problem::from(error)
        })?;
        // Of many at once, one goes on.
        if !self.challenges.use_up(&pending.token, Purpose::Login).await? {
            return Err(CodeError::Expired.into());
        }
        let outcome = self.start_verified(attempt, verified, actor).await;
        outcome.map_err(|error| {
            self.record_failure(&error, actor);
            error.into()
        })
    }

    /// Links the identity of a sign-in whose account has been proved, and uses the proof up.
    pub(super) async fn link(
        &self,
        unlinked: &UnlinkedIdentity,
        authenticated: &mut Authenticated,
        recipient: &Recipient,
        actor: &Actor,
    ) -> Result<(), LinkError> {
        let owner = LinkOwner {
            account: ChallengedAccount { user_id: authenticated.user.id, version: authenticated.version },
            proved: authenticated.authentication(),
            login_id: None,
            checked: mem::take(&mut authenticated.checked),
        };
        let user = &authenticated.user;
        let notice = self.mails.seal_notice(recipient, Message::FactorAdded);
        self.identities.link(owner, &unlinked.identity, notice.as_ref(), self.clock.now()).await?;
        let entry = NewEvent::new(Kind::FactorAdded, actor).with("factor", "provider");
        self.trail.record(entry.of_user(user.id, &user.username));
        self.mails.wake_up();
        Ok(())
    }

    /// Creates a challenge of a signed-in user that a provider answers: to link it, or to step up by it.
    ///
    /// # Errors
    /// `insufficient_user_authentication`, `email_not_verified` to link; `validation_failed`; `unavailable`.
    pub async fn challenge_own_provider(
        &self,
        identity: &Identity,
        purpose: Purpose,
        name: &str,
        return_to: Option<&str>,
    ) -> Result<BegunProviderAttempt, Problem> {
        let provider = self.provider_attempts.provider(name).ok_or_else(unknown_method)?.clone();
        if purpose == Purpose::StepUp {
            let suffices = self.step_up_providers(identity.user_id).await?.iter().any(|own| own == name);
            if !suffices {
                let detail = "is none that your account can step up by";
                return Err(Problem::validation(vec![FieldError::of("method", detail)]));
            }
        } else {
            self.check_fresh(identity).await?;
        }
        let return_to = self.return_to(return_to)?;
        let version = match purpose {
            Purpose::StepUp => {
                let found = self.second_factors.version(identity.user_id).await?;
                found.ok_or(CodeError::Expired)?
            }
            _ => self.second_factors.check_enrolment(identity.user_id).await?,
        };
        let account = ChallengedAccount { user_id: identity.user_id, version };
        let new = NewProviderAttempt {
            provider,
            return_to,
            purpose,
            owner: Some((account, identity.login_id)),
            carried: None,
            supersedes: None,
        };
        self.begin_provider_attempt(new).await
    }

    /// The names of the providers that the user can step up by.
    pub(super) async fn step_up_providers(&self, user: Uuid) -> Result<Vec<String>, DatabaseError> {
        let linked = self.identities.of_user(user).await?.into_iter().map(|linked| linked.provider);
        let tells_when = |name: &String| {
            self.provider_attempts.provider(name).is_some_and(|provider| provider.tells_when())
        };
        Ok(linked.filter(tells_when).collect())
    }

    /// Whether a challenge of this login is of a provider.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn is_of_provider(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        purpose: Purpose,
    ) -> Result<bool, DatabaseError> {
        let token = halves.challenge.expose_secret();
        self.provider_attempts.is_of_provider(token, purpose, Some(identity.login_id)).await
    }

    /// Links the identity of a challenge to the account. That is a proof of this login.
    ///
    /// # Errors
    /// `invalid_code`, `challenge_expired`, `conflict`, `rate_limited`.
    pub async fn link_own(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        client: &Client,
    ) -> Result<StoredIdentity, Problem> {
        let before = self.live_authentication(identity).await?;
        let (linked, account) = self.redeem_own(identity, halves, Purpose::Factor, client).await?;
        let notice = self.second_factors.notice(identity.user_id, Message::FactorAdded).await?;
        let now = self.clock.now();
        let proof =
            Proof::Provider { proves_both_factors: linked.proves_both_factors, version: account.version };
        let owner = LinkOwner {
            account,
            proved: policy::with_proof(before, proof.amr(), proof.acr(), now),
            login_id: Some(identity.login_id),
            checked: CheckedProof::default(),
        };
        let id = self.identities.link(owner, &linked, notice.as_ref(), now).await?;
        let entry = NewEvent::to_oneself(Kind::FactorAdded, &identity.actor(client));
        self.trail.record(entry.with("factor", "provider"));
        self.second_factors.tell_of_change().await;
        Ok(StoredIdentity {
            id,
            user_id: identity.user_id,
            is_disabled: false,
            provider: linked.provider,
            email: linked.email,
            created_at: now,
            last_used_at: None,
        })
    }

    /// Who came back to a challenge of this login.
    pub(super) async fn redeem_own(
        &self,
        identity: &Identity,
        halves: &ChallengeHalves,
        purpose: Purpose,
        client: &Client,
    ) -> Result<(ProviderIdentity, ChallengedAccount), CodeError> {
        let (token, code) = (halves.challenge.expose_secret(), halves.code.expose_secret());
        let login = Some(identity.login_id);
        let (came, tried) = self.provider_attempts.redeem(token, code, purpose, login, client).await?;
        let account = tried.user_id.zip(tried.version);
        let account = account.map(|(user_id, version)| ChallengedAccount { user_id, version });
        Ok((came, account.filter(|of| of.user_id == identity.user_id).ok_or(CodeError::Expired)?))
    }
}
