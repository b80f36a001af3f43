//! Challenges that a provider answers: the browser is sent there, comes back, and brings a code to whoever asked.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::authorization::{AuthorizationRequest, STATE_PREFIX};
use super::callback::{CallbackError, CallbackParameters, CalledBackAttempt};
use super::error::ProviderError;
use super::identity::ProviderIdentity;
use super::registry::{Provider, ProviderCallback, Providers};
use crate::challenges::{
    CalledBack, Challenge, ChallengeCode, ChallengeMethod, ChallengeToken, ChallengeWithoutMail,
    ChallengedAccount, Challenges, Purpose, TriedCode,
};
use crate::clock::Clock;
use crate::crypto::SecretBytes;
use crate::database::DatabaseError;
use crate::factors::FactorContext;
use crate::factors::email_code::{CodeError, settle};
use crate::http::client::Client;
use crate::metrics::Metrics;
use crate::network_rate_limits::Limiter;
use crate::tokens::OpaqueToken;

/// The word for this factor in metrics.
const METHOD: &str = "provider";

/// Sends browsers to providers, and takes them back.
#[derive(Debug)]
pub struct ProviderAttempts {
    providers: Providers,
    challenges: Arc<Challenges>,
    /// `LOGIN_LIMIT`.
    limit: Limiter,
    clock: Clock,
    metrics: Metrics,
}

/// What is asked of [`ProviderAttempts::begin`].
#[derive(Debug)]
pub struct NewProviderAttempt {
    /// Where the browser goes.
    pub provider: Arc<Provider>,
    /// Where it returns to.
    pub return_to: Url,
    /// What the challenge is for.
    pub purpose: Purpose,
    /// The account, and the login that alone may redeem the challenge.
    pub owner: Option<(ChallengedAccount, Uuid)>,
    /// What is to be kept for whoever asked.
    pub carried: Option<Value>,
    /// The challenge whose place it takes.
    pub supersedes: Option<ChallengeToken>,
}

/// A browser's way to a provider.
#[derive(Debug)]
pub struct BegunProviderAttempt {
    /// The challenge.
    pub challenge: Challenge,
    /// Where the browser goes.
    pub url: Url,
    /// What an ID token must have that an app gets itself. `None`: there are no ID tokens at this provider.
    pub nonce: Option<String>,
}

/// What is kept with the challenge. No `Debug`: it has PKCE's verifier.
#[derive(Serialize, Deserialize)]
struct KeptProviderAttempt {
    provider: String,
    return_to: Url,
    nonce: Option<String>,
    verifier: String,
    /// Since when whoever signs in must have proved themselves anew.
    authenticated_since: Option<DateTime<Utc>>,
    carried: Option<Value>,
    /// Who came back.
    identity: Option<ProviderIdentity>,
}

impl KeptProviderAttempt {
    fn to_secret(&self) -> SecretBytes {
        SecretBytes::new(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Why an ID token that an app has from a provider signs nobody in.
#[derive(Debug, thiserror::Error)]
pub enum IdTokenAttemptError {
    /// It is not valid for this challenge, or the challenge is over.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The provider could not be asked for its keys.
    #[error("the provider can't be reached")]
    ProviderFailed,
}

impl ProviderAttempts {
    /// Attempts at these providers.
    pub fn new(context: &FactorContext<'_>, providers: Providers) -> Self {
        Self {
            providers,
            challenges: Arc::clone(&context.challenges),
            limit: context.limit.clone(),
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
        }
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// Creates a challenge, and tells where the browser goes. `None`: the challenge that it would supersede is over.
    ///
    /// # Errors
    /// [`ProviderError`] when the provider does not tell; the inner error, if a query fails.
    pub async fn begin(
        &self,
        new: NewProviderAttempt,
    ) -> Result<Result<Option<BegunProviderAttempt>, DatabaseError>, ProviderError> {
        let reauthenticate = new.purpose == Purpose::StepUp;
        let authenticated_since = reauthenticate.then(|| self.clock.now());
        let authorization = new.provider.authorization(AuthorizationRequest { reauthenticate }).await?;
        let kept = KeptProviderAttempt {
            provider: new.provider.name().to_owned(),
            return_to: new.return_to,
            nonce: authorization.nonce.clone(),
            verifier: authorization.verifier.expose_secret().to_owned(),
            authenticated_since,
            carried: new.carried,
            identity: None,
        };
        let (account, login_id) = new.owner.unzip();
        let row = ChallengeWithoutMail {
            purpose: new.purpose,
            method: ChallengeMethod::Provider,
            account,
            login_id,
            state: Some(kept.to_secret()),
        };
        let challenge = self.create(row, &authorization.state, new.supersedes).await;
        Ok(challenge.map(|challenge| {
            challenge.map(|challenge| BegunProviderAttempt {
                challenge,
                url: authorization.url,
                nonce: authorization.nonce,
            })
        }))
    }

    async fn create(
        &self,
        row: ChallengeWithoutMail,
        state: &OpaqueToken,
        supersedes: Option<ChallengeToken>,
    ) -> Result<Option<Challenge>, DatabaseError> {
        if let Some(superseded) = &supersedes
            && !self.challenges.use_up(superseded, row.purpose).await?
        {
            return Ok(None);
        }
        self.metrics.challenge(row.purpose.as_str(), METHOD, "created");
        self.challenges.create_for_callback(row, &state.hash()).await.map(Some)
    }

    /// Takes a browser that a provider sends back: asks the provider who it is, and tells where the browser goes.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn call_back(
        &self,
        name: &str,
        parameters: &CallbackParameters,
    ) -> Result<CalledBackAttempt, DatabaseError> {
        use CalledBackAttempt::{Answered, Refused, Unknown};
        let state = parameters.state.as_deref().and_then(|state| OpaqueToken::parse(STATE_PREFIX, state));
        let Some(state) = state else { return Ok(Unknown) };
        let Some(called_back) = self.challenges.take_callback(&state.hash()).await? else {
            return Ok(Unknown);
        };
        let kept = serde_json::from_slice::<KeptProviderAttempt>(called_back.state.reveal()).ok();
        // Sent to one provider, and back by another.
        let Some(kept) = kept.filter(|kept| kept.provider == name) else { return Ok(Unknown) };
        let (mut url, purpose) = (kept.return_to.clone(), called_back.purpose.as_str());
        let answer = self.answer(&called_back, kept, parameters).await?;
        let text = match &answer {
            Ok(code) => format!("code={}", code.reveal()),
            Err(error) => {
                self.metrics.challenge(purpose, METHOD, error.as_str());
                format!("error={}", error.as_str())
            }
        };
        url.set_fragment(Some(&format!("challenge={}&{text}", called_back.id)));
        Ok(if matches!(answer, Err(CallbackError::Refused)) { Refused(url) } else { Answered(url) })
    }

    /// The challenge's code, once the provider has said who came.
    async fn answer(
        &self,
        called_back: &CalledBack,
        mut kept: KeptProviderAttempt,
        parameters: &CallbackParameters,
    ) -> Result<Result<ChallengeCode, CallbackError>, DatabaseError> {
        use CallbackError::{AccessDenied, Failed, Refused};
        if let Some(error) = &parameters.error {
            return Ok(Err(if error == "access_denied" { AccessDenied } else { Failed }));
        }
        let provider = self.provider(&kept.provider);
        let (Some(code), Some(provider)) = (&parameters.code, provider) else { return Ok(Err(Failed)) };
        let callback = ProviderCallback {
            code: code.expose_secret(),
            issuer: parameters.iss.as_deref(),
            verifier: &SecretString::from(kept.verifier.clone()),
            nonce: kept.nonce.as_deref(),
            authenticated_since: kept.authenticated_since,
        };
        kept.identity = match provider.identify(callback).await {
            Ok(identity) => Some(identity),
            Err(error) => return Ok(Err(if error.is_refusal() { Refused } else { Failed })),
        };
        let code = self.challenges.answer_callback(called_back, &kept.to_secret()).await?;
        Ok(code.ok_or(Failed))
    }

    /// Whether what was kept with a challenge is an attempt at a provider, and what is carried with it.
    pub fn carried(state: &SecretBytes) -> Option<Option<Value>> {
        let kept = serde_json::from_slice::<KeptProviderAttempt>(state.reveal()).ok()?;
        Some(kept.carried)
    }

    /// Whether this is such a challenge, of this login.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn is_of_provider(
        &self,
        token: &str,
        purpose: Purpose,
        login: Option<Uuid>,
    ) -> Result<bool, DatabaseError> {
        let Some(token) = ChallengeToken::parse(token) else { return Ok(false) };
        let state = self.challenges.state(&token, purpose, login).await?;
        Ok(state.is_some_and(|state| Self::carried(&state).is_some()))
    }

    /// Who came back to a challenge, for whoever has both halves. Uses it up.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn redeem(
        &self,
        token: &str,
        code: &str,
        purpose: Purpose,
        login: Option<Uuid>,
        client: &Client,
    ) -> Result<(ProviderIdentity, TriedCode), CodeError> {
        let limited = self.limit.begin(client.network()).await?;
        let outcome = self.try_redeem(token, code, purpose, login).await;
        self.count(purpose, outcome.as_ref().err());
        match outcome {
            Ok(redeemed) => {
                limited.forget();
                Ok(redeemed)
            }
            Err(error) => Err(settle(limited, error)),
        }
    }

    async fn try_redeem(
        &self,
        token: &str,
        code: &str,
        purpose: Purpose,
        login: Option<Uuid>,
    ) -> Result<(ProviderIdentity, TriedCode), CodeError> {
        let token = ChallengeToken::parse(token).ok_or(CodeError::Expired)?;
        let kept = self.kept(&token, purpose, login).await?;
        // It may have been removed from the settings meanwhile.
        self.provider(&kept.provider).ok_or(CodeError::Expired)?;
        let tried = self.challenges.try_code(&token, &ChallengeCode::typed(code), purpose, login).await?;
        match tried.ok_or(CodeError::Expired)? {
            tried if tried.is_right => Ok((kept.identity.ok_or(CodeError::Expired)?, tried)),
            _ => Err(CodeError::WrongCode(None)),
        }
    }

    async fn kept(
        &self,
        token: &ChallengeToken,
        purpose: Purpose,
        login: Option<Uuid>,
    ) -> Result<KeptProviderAttempt, CodeError> {
        let state = self.challenges.state(token, purpose, login).await?.ok_or(CodeError::Expired)?;
        serde_json::from_slice(state.reveal()).map_err(|_| CodeError::Expired)
    }

    /// Who signed in to an app, which got the ID token from the provider itself, with the challenge's `nonce`. Uses it up.
    ///
    /// # Errors
    /// See [`IdTokenAttemptError`].
    pub async fn redeem_id_token(
        &self,
        token: &ChallengeToken,
        id_token: &str,
        client: &Client,
    ) -> Result<ProviderIdentity, IdTokenAttemptError> {
        let limited = self.limit.begin(client.network()).await.map_err(CodeError::from)?;
        let outcome = self.try_id_token(token, id_token).await;
        match outcome {
            Ok(identity) => {
                limited.forget();
                self.count(Purpose::Login, None);
                Ok(identity)
            }
            Err(IdTokenAttemptError::Code(error)) => {
                self.count(Purpose::Login, Some(&error));
                Err(settle(limited, error).into())
            }
            Err(error) => {
                limited.forget();
                Err(error)
            }
        }
    }

    async fn try_id_token(
        &self,
        token: &ChallengeToken,
        id_token: &str,
    ) -> Result<ProviderIdentity, IdTokenAttemptError> {
        let purpose = Purpose::Login;
        let kept = self.kept(token, purpose, None).await?;
        let provider = self.provider(&kept.provider).ok_or(CodeError::Expired)?;
        let nonce = kept.nonce.unwrap_or_default();
        match provider.verify_id_token(id_token, &nonce).await {
            Ok(identity) => {
                let is_used_up = self.challenges.use_up(token, purpose).await.map_err(CodeError::from)?;
                if is_used_up { Ok(identity) } else { Err(CodeError::Expired.into()) }
            }
            Err(ProviderError::IdToken(_) | ProviderError::NoIdTokens) => {
                // No code is right: it counts as a try.
                let tried = self.challenges.try_code(token, &ChallengeCode::typed(""), purpose, None).await;
                tried.map_err(CodeError::from)?.ok_or(CodeError::Expired)?;
                Err(CodeError::WrongCode(None).into())
            }
            Err(_) => Err(IdTokenAttemptError::ProviderFailed),
        }
    }

    /// Counts a try. No error: the challenge was redeemed.
    fn count(&self, purpose: Purpose, error: Option<&CodeError>) {
        if let Some(outcome) = error.map_or(Some("redeemed"), CodeError::metric_outcome) {
            self.metrics.challenge(purpose.as_str(), METHOD, outcome);
        }
    }
}
