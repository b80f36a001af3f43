//! Sign-in by a provider: sends browsers there, and starts the login of whoever comes back, opens their account, or asks for what
//! is missing.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::audit::{Actor, Kind, NewEvent};
use crate::auth::ChallengeHalves;
use crate::challenges::{ChallengeMethod, ChallengeToken, Purpose};
use crate::config::RegistrationPolicy;
use crate::error::{Code, FieldError, Problem};
use crate::factors::Proof;
use crate::factors::email_code::CodeError;
use crate::factors::password::{LoginError, LoginFailure};
use crate::factors::provider::{
    BegunProviderAttempt, CallbackParameters, IdTokenAttemptError, NewProviderAttempt, OpenAccountError,
    ProviderAccount, ProviderIdentity,
};
use crate::http::client::Client;
use crate::logins::Amr;
use crate::mail::Language;
use crate::users::{USER_ROLE, User};

use super::SignIn;
use super::challenges::unknown_method;
use super::pending::{LONGEST_WAIT_FOR_LINK, PendingSignIn, UnlinkedIdentity};
use super::policy::Authenticated;
use super::start_login::{Attempt, Outcome};

impl SignIn {
    /// Checks that a provider has this name.
    ///
    /// # Errors
    /// `validation_failed`.
    pub fn check_provider(&self, name: &str) -> Result<(), Problem> {
        self.provider_attempts.provider(name).map(drop).ok_or_else(unknown_method)
    }

    /// Creates a challenge to sign in by a provider. With the challenge of a sign-in that waits for something else, it goes on
    /// with that one.
    ///
    /// # Errors
    /// `validation_failed`, `challenge_expired`, `rate_limited`; `unavailable` when the provider can't be reached.
    pub async fn challenge_provider(
        &self,
        name: &str,
        return_to: Option<&str>,
        superseded: Option<&SecretString>,
        client: &Client,
    ) -> Result<BegunProviderAttempt, Problem> {
        let provider = self.provider_attempts.provider(name).ok_or_else(unknown_method)?;
        let return_to = self.return_to(return_to)?;
        self.count_challenge(&self.limits.provider_challenge, ChallengeMethod::Provider, client)?;
        let (supersedes, carried) = match superseded {
            Some(token) => {
                let PendingSignIn { token, kept } = self.go_on_with(token).await?;
                (Some(token), serde_json::to_value(&kept).ok())
            }
            None => (None, None),
        };
        let new = NewProviderAttempt {
            provider: provider.clone(),
            return_to,
            purpose: Purpose::Login,
            owner: None,
            carried,
            supersedes,
        };
        self.begin_provider_attempt(new).await
    }

    pub(super) async fn begin_provider_attempt(
        &self,
        new: NewProviderAttempt,
    ) -> Result<BegunProviderAttempt, Problem> {
        let begun = self.provider_attempts.begin(new).await;
        let begun = begun.map_err(|_| provider_unavailable())??;
        begun.ok_or_else(|| CodeError::Expired.into())
    }

    /// Where a sign-in elsewhere returns to.
    pub(super) fn return_to(&self, text: Option<&str>) -> Result<Url, Problem> {
        let invalid = |detail: &str| Problem::validation(vec![FieldError::of("return_to", detail)]);
        let text = text.ok_or_else(|| invalid("is missing"))?;
        self.return_to.allowed(text).ok_or_else(|| {
            invalid("must be a URL of PUBLIC_URL's origin or of ALLOWED_ORIGINS, or one of RETURN_TO, without a fragment")
        })
    }

    /// The sign-in that another challenge takes the place of. What was proved of an account is not carried over: the new one may
    /// lead to another.
    pub(super) async fn go_on_with(&self, token: &SecretString) -> Result<PendingSignIn, Problem> {
        let token = ChallengeToken::parse(token.expose_secret()).ok_or(CodeError::Expired)?;
        let state = self.challenges.state(&token, Purpose::Login, None).await?.ok_or(CodeError::Expired)?;
        let pending = PendingSignIn::of_state(token, &state).ok_or(CodeError::Expired)?;
        let since = self.clock.now() - LONGEST_WAIT_FOR_LINK;
        if pending.kept.unlinked.as_ref().is_some_and(|unlinked| unlinked.said_at < since) {
            return Err(CodeError::Expired.into());
        }
        Ok(pending.without_proofs())
    }

    /// Takes a browser that a provider sends back, and tells where it goes.
    ///
    /// # Errors
    /// `malformed_request` when it was not sent there from here, or has come back before. `rate_limited`, where the network had too
    /// many codes refused: the same URL is as good as before, once the network is let in again.
    pub async fn call_back(
        &self,
        provider: &str,
        parameters: &CallbackParameters,
        client: &Client,
    ) -> Result<Url, Problem> {
        let limit = &self.limits.provider_callback;
        let counted = limit.begin(client.network()).await.map_err(|limited| {
            let entry = NewEvent::new(Kind::LoginLimited, &client.actor());
            self.trail.record(entry.with("limit", limited.policy));
            Problem::from(limited)
        })?;
        let called_back = self.provider_attempts.call_back(provider, parameters).await;
        if !called_back.as_ref().is_ok_and(|called_back| called_back.is_refused()) {
            counted.forget();
        }
        called_back?.into_url().ok_or_else(|| {
            let detail =
                "This sign-in is over, or was not begun here. Go back to where you began, and begin anew.";
            Problem::new(Code::MalformedRequest, detail)
        })
    }

    pub(super) async fn start_by_provider(
        &self,
        attempt: Attempt,
        halves: &ChallengeHalves,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let (token, code) = (halves.challenge.expose_secret(), halves.code.expose_secret());
        let redeemed =
            self.provider_attempts.redeem(token, code, Purpose::Login, None, &attempt.client).await;
        let (identity, _) = self.recorded(redeemed, actor)?;
        self.enter(attempt, identity, Amr::default(), actor).await
    }

    /// Records a wrong code.
    fn recorded<T>(&self, redeemed: Result<T, CodeError>, actor: &Actor) -> Result<T, Problem> {
        if let Err(CodeError::WrongCode(_)) = &redeemed {
            let entry = NewEvent::new(Kind::ChallengeFailed, actor);
            self.trail.record(entry.with("for", Purpose::Login.as_str()));
        }
        Ok(redeemed?)
    }

    pub(super) async fn start_by_id_token(
        &self,
        attempt: Attempt,
        challenge: &SecretString,
        id_token: &SecretString,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        let token = ChallengeToken::parse(challenge.expose_secret()).ok_or(CodeError::Expired)?;
        let id_token = id_token.expose_secret();
        let redeemed = self.provider_attempts.redeem_id_token(&token, id_token, &attempt.client).await;
        let identity = match redeemed {
            Ok(identity) => identity,
            Err(IdTokenAttemptError::Code(error)) => self.recorded(Err(error), actor)?,
            Err(IdTokenAttemptError::ProviderFailed) => return Err(provider_unavailable()),
        };
        self.enter(attempt, identity, Amr::default(), actor).await
    }

    /// Whoever a provider has named: their account, a new one, or what is missing for either. `of_address` is how the address was
    /// proved, if not by the provider: a proof of an account that it opens, and of no other.
    pub(super) async fn enter(
        &self,
        attempt: Attempt,
        identity: ProviderIdentity,
        of_address: Amr,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        // Somebody may open an account with the same identity or address meanwhile: two tabs.
        for _ in 0..2 {
            let found = self.identities.find_account(&identity, identity.email.as_deref()).await?;
            match found {
                Some(account) if account.identity_id.is_some() => {
                    return self.start_identified(attempt, account, &identity, actor).await;
                }
                Some(account) => return self.link_required(&attempt, identity, account).await,
                None => {}
            }
            // The one that is to be linked is the account's, and this one is nobody's.
            if attempt.unlinked.is_some() {
                return Err(CodeError::Expired.into());
            }
            let Some(email) = &identity.email else {
                return self.email_required(&attempt, identity).await;
            };
            if let Some(account) = self.open_account(&identity, email, attempt.language, actor).await? {
                let proved = authenticated(&account, of_address, &identity, self.clock.now());
                let decision = proved.decide(account.has_two_step);
                return Ok(self.go_on(attempt, decision, &account.recipient, actor).await?);
            }
        }
        Err(Problem::new(Code::Conflict, "Somebody else is opening an account with this address. Try again."))
    }

    async fn start_identified(
        &self,
        attempt: Attempt,
        account: ProviderAccount,
        identity: &ProviderIdentity,
        actor: &Actor,
    ) -> Result<Outcome, Problem> {
        if account.is_disabled {
            let error = LoginError::from(LoginFailure::Disabled(account.user.into()));
            self.record_failure(&error, actor);
            return Err(Problem::new(Code::InvalidCredentials, "Nobody can sign in to this account."));
        }
        let is_other = |unlinked: &UnlinkedIdentity| unlinked.account.is_some_and(|id| id != account.user.id);
        if attempt.unlinked.as_ref().is_some_and(is_other) {
            return Err(CodeError::Expired.into());
        }
        if let Some(id) = account.identity_id {
            self.identities.record_use(id, identity, self.clock.now()).await?;
        }
        let proved = authenticated(&account, Amr::default(), identity, self.clock.now());
        let decision = proved.decide(account.has_two_step);
        let outcome = self.go_on(attempt, decision, &account.recipient, actor).await;
        outcome.map_err(|error| {
            self.record_failure(&error, actor);
            error.into()
        })
    }

    /// Opens an account. `None`: somebody has come first.
    async fn open_account(
        &self,
        identity: &ProviderIdentity,
        email: &str,
        language: Language,
        actor: &Actor,
    ) -> Result<Option<ProviderAccount>, Problem> {
        if self.registration == RegistrationPolicy::Closed {
            return Err(Problem::new(Code::RegistrationClosed, "Nobody may register here."));
        }
        let wanted = identity.preferred_username.as_deref().unwrap_or(email);
        let (username, fallback) = self.accounts.derive_username(wanted).await?;
        let mut opened = self.insert_account(identity, email, username, language).await;
        if let Err(OpenAccountError::UsernameTaken) = opened {
            opened = self.insert_account(identity, email, fallback, language).await;
        }
        match opened {
            Ok(account) => {
                let entry =
                    NewEvent::new(Kind::Registered, actor).with("provider", identity.provider.clone());
                self.trail.record(entry.of_user(account.user.id, &account.user.username));
                Ok(Some(account))
            }
            Err(OpenAccountError::Database(error)) => Err(error.into()),
            Err(OpenAccountError::Overtaken | OpenAccountError::UsernameTaken) => Ok(None),
        }
    }

    async fn insert_account(
        &self,
        identity: &ProviderIdentity,
        email: &str,
        username: String,
        language: Language,
    ) -> Result<ProviderAccount, OpenAccountError> {
        let user = User {
            id: uuid::Uuid::now_v7(),
            username,
            email: email.to_owned(),
            email_verified: true,
            roles: vec![USER_ROLE.to_owned()],
            created_at: self.clock.now(),
        };
        self.identities.open_account(&user, identity, language).await
    }
}

fn authenticated(
    account: &ProviderAccount,
    before: Amr,
    identity: &ProviderIdentity,
    at: chrono::DateTime<chrono::Utc>,
) -> Authenticated {
    let proof =
        Proof::Provider { proves_both_factors: identity.proves_both_factors, version: account.version };
    Authenticated::new(account.user.clone(), before, proof, at)
}

fn provider_unavailable() -> Problem {
    Problem::new(Code::Unavailable, "The provider can't be reached. Try again later.")
}
