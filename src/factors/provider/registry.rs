//! The providers of the settings, and what each can be asked.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio::time::Instant;
use url::Url;

use super::authorization::{AuthorizationRequest, AuthorizationUrl, authorization_url};
use super::discovery::{self, DiscoveryDocument};
use super::error::{IdTokenError, ProviderError};
use super::expected_issuer::ExpectedIssuer;
use super::github::GitHubEndpoints;
use super::http_client::{ProviderHttpClient, TIME_LIMIT};
use super::id_token::{ExpectedIdToken, IdTokenClaims, ProfileClaims, UnverifiedIdToken};
use super::identity::ProviderIdentity;
use super::keys::ProviderKeys;
use super::refreshed_cache::RefreshedCache;
use super::token_exchange::{self, TokenAnswer, TokenRequest};
use super::userinfo;
use crate::clock::Clock;
use crate::config::{ProviderConfig, ProviderKind};
use crate::machine_roots::{RootsError, http_client_tls};
use crate::metrics::Metrics;

/// How far a provider's clock may be behind ours where it says that somebody has proved themselves anew.
const REAUTHENTICATION_LEEWAY: TimeDelta = TimeDelta::seconds(10);

/// The providers that users may sign in with, in the order of the settings.
#[derive(Clone, Debug, Default)]
pub struct Providers(Vec<Arc<Provider>>);

impl Providers {
    /// Those of the settings. Providers send browsers back to `PUBLIC_URL`, which is without a slash at its end. Asks nothing of
    /// anybody.
    ///
    /// # Errors
    /// If the certificates that this machine trusts can't be read.
    pub fn new(
        config: &[ProviderConfig],
        public_url: &str,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, RootsError> {
        let provider =
            |config| Ok(Arc::new(Provider::new(config, public_url, clock.clone(), metrics.clone())?));
        config.iter().map(provider).collect::<Result<_, _>>().map(Self)
    }

    /// The provider of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Provider>> {
        self.0.iter().find(|provider| provider.name() == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.0.iter()
    }
}

/// One provider.
#[derive(Debug)]
pub struct Provider {
    pub(super) config: ProviderConfig,
    pub(super) redirect_uri: String,
    pub(super) client: ProviderHttpClient,
    pub(super) clock: Clock,
    pub(super) protocol: Protocol,
}

/// How a provider says who signed in.
#[derive(Debug)]
pub(super) enum Protocol {
    /// By an ID token (OpenID Connect Core 1.0).
    OpenIdConnect(Box<OpenIdConnect>),
    /// By its API.
    GitHub(Box<GitHubEndpoints>),
}

#[derive(Debug)]
pub(super) struct OpenIdConnect {
    pub(super) issuer: ExpectedIssuer,
    discovery: RefreshedCache<DiscoveryDocument>,
    keys: RefreshedCache<ProviderKeys>,
}

/// What came back from a provider by a browser, and what was kept meanwhile.
#[derive(Debug)]
pub struct ProviderCallback<'a> {
    /// `code`.
    pub code: &'a str,
    /// `iss` (RFC 9207).
    pub issuer: Option<&'a str>,
    /// See [`AuthorizationUrl::verifier`].
    pub verifier: &'a SecretString,
    /// See [`AuthorizationUrl::nonce`].
    pub nonce: Option<&'a str>,
    /// Since when they must have proved themselves anew (by the claim `auth_time`), with [`AuthorizationRequest::reauthenticate`].
    pub authenticated_since: Option<DateTime<Utc>>,
}

impl Provider {
    fn new(
        config: &ProviderConfig,
        public_url: &str,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, RootsError> {
        let protocol = match config.kind {
            ProviderKind::GitHub => Protocol::GitHub(Box::new(GitHubEndpoints::new(&config.issuer_url))),
            _ => Protocol::OpenIdConnect(Box::new(OpenIdConnect {
                issuer: ExpectedIssuer::new(config),
                discovery: RefreshedCache::new(clock.clone()),
                keys: RefreshedCache::new(clock.clone()),
            })),
        };
        Ok(Self {
            redirect_uri: format!("{public_url}/providers/{}/callback", config.name),
            client: ProviderHttpClient::new(config, http_client_tls()?, metrics),
            config: config.clone(),
            clock,
            protocol,
        })
    }

    /// Its name in the API.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its name for people.
    pub fn title(&self) -> &str {
        &self.config.title
    }

    /// Whether it tells when somebody has proved themselves there, which a step-up is about.
    pub fn tells_when(&self) -> bool {
        matches!(self.protocol, Protocol::OpenIdConnect(_))
    }

    /// Where it sends browsers back to, as it must be registered there.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Where the browser goes to sign in.
    ///
    /// # Errors
    /// [`ProviderError`] when it can't be told, within 5 s.
    pub async fn authorization(
        &self,
        request: AuthorizationRequest,
    ) -> Result<AuthorizationUrl, ProviderError> {
        let url = match &self.protocol {
            Protocol::GitHub(endpoints) => Ok(endpoints.authorization.clone()),
            Protocol::OpenIdConnect(protocol) => {
                let document = self.discovery(protocol, deadline()).await;
                document.map(|document| document.authorization_endpoint.clone())
            }
        };
        let url = self.logged(url)?;
        Ok(authorization_url(&self.config, &url, &self.redirect_uri, request))
    }

    /// Who came back.
    ///
    /// # Errors
    /// [`ProviderError`], within 5 s.
    pub async fn identify(&self, callback: ProviderCallback<'_>) -> Result<ProviderIdentity, ProviderError> {
        let deadline = deadline();
        let identity = match &self.protocol {
            Protocol::GitHub(endpoints) => self.identify_at_github(endpoints, &callback, deadline).await,
            Protocol::OpenIdConnect(protocol) => self.identify_by_code(protocol, &callback, deadline).await,
        };
        let since = callback.authenticated_since.map(|since| since - REAUTHENTICATION_LEEWAY);
        self.logged(identity.and_then(|identity| identity.authenticated_since(since)))
    }

    /// Whose ID token this is that an app got from the provider itself, for this `nonce`.
    ///
    /// # Errors
    /// [`ProviderError`], within 5 s.
    pub async fn verify_id_token(&self, token: &str, nonce: &str) -> Result<ProviderIdentity, ProviderError> {
        let identity = match &self.protocol {
            Protocol::GitHub(_) => Err(ProviderError::NoIdTokens),
            Protocol::OpenIdConnect(protocol) => {
                let claims = self.verified_claims(protocol, token, nonce, None, deadline()).await;
                let identity =
                    |claims| ProviderIdentity::of_claims(&self.config, claims, ProfileClaims::default());
                claims.map(identity)
            }
        };
        self.logged(identity)
    }

    /// The one place that tells why a provider failed: outwards there is but one word for it.
    fn logged<T>(&self, outcome: Result<T, ProviderError>) -> Result<T, ProviderError> {
        if let Err(error) = &outcome {
            tracing::warn!(provider = self.name(), %error, "sign-in provider failed");
        }
        outcome
    }

    async fn identify_at_github(
        &self,
        endpoints: &GitHubEndpoints,
        callback: &ProviderCallback<'_>,
        deadline: Instant,
    ) -> Result<ProviderIdentity, ProviderError> {
        let tokens = self.exchange(&endpoints.token, true, callback, deadline).await?;
        let token = tokens.access_token()?;
        let identity = endpoints.identify(&self.client, &self.config, token, deadline).await?;
        Ok(ProviderIdentity { tokens: tokens.kept(&self.config), ..identity })
    }

    async fn identify_by_code(
        &self,
        protocol: &OpenIdConnect,
        callback: &ProviderCallback<'_>,
        deadline: Instant,
    ) -> Result<ProviderIdentity, ProviderError> {
        let document = self.discovery(protocol, deadline).await?;
        let is_its_own = match callback.issuer {
            Some(issuer) => protocol.issuer.calls_back(issuer),
            None => !document.authorization_response_iss_parameter_supported,
        };
        if !is_its_own {
            return Err(ProviderError::CallbackIssuer);
        }
        let in_body = self.config.kind == ProviderKind::Apple || document.wants_secret_in_body();
        let tokens = self.exchange(&document.token_endpoint, in_body, callback, deadline).await?;
        let (client, nonce) = (Some(&*self.config.client_id), callback.nonce.unwrap_or_default());
        let claims = self.verified_claims(protocol, tokens.id_token()?, nonce, client, deadline).await?;
        let more = self.further_claims(&document, &claims, &tokens, deadline).await?;
        let identity = ProviderIdentity::of_claims(&self.config, claims, more);
        Ok(ProviderIdentity { tokens: tokens.kept(&self.config), ..identity })
    }

    async fn exchange(
        &self,
        endpoint: &Url,
        secret_in_body: bool,
        callback: &ProviderCallback<'_>,
        deadline: Instant,
    ) -> Result<TokenAnswer, ProviderError> {
        let request = TokenRequest {
            endpoint,
            secret_in_body,
            redirect_uri: &self.redirect_uri,
            code: callback.code,
            verifier: callback.verifier,
            now: self.clock.now(),
        };
        token_exchange::exchange(&self.client, &self.config, &request, deadline).await
    }

    /// What the userinfo endpoint says, where the ID token says nothing of an address. At Microsoft that is never verified.
    async fn further_claims(
        &self,
        document: &DiscoveryDocument,
        claims: &IdTokenClaims,
        tokens: &TokenAnswer,
        deadline: Instant,
    ) -> Result<ProfileClaims, ProviderError> {
        let says_all = claims.profile.email.is_some() || claims.profile.email_verified.is_some();
        match (&document.userinfo_endpoint, &tokens.access_token) {
            (Some(endpoint), Some(token)) if !says_all && self.config.kind == ProviderKind::Oidc => {
                userinfo::load(&self.client, endpoint, token, &claims.sub, deadline).await
            }
            _ => Ok(ProfileClaims::default()),
        }
    }

    async fn verified_claims(
        &self,
        protocol: &OpenIdConnect,
        token: &str,
        nonce: &str,
        client: Option<&str>,
        deadline: Instant,
    ) -> Result<IdTokenClaims, ProviderError> {
        let token = UnverifiedIdToken::parse(token)?;
        let trusted: Vec<_> =
            self.config.client_ids.iter().chain([&self.config.client_id]).map(String::as_str).collect();
        let now = self.clock.now();
        let expected = ExpectedIdToken { issuer: &protocol.issuer, client, trusted: &trusted, nonce, now };
        let (kid, algorithm) = (token.kid.as_deref(), token.algorithm);
        let keys = self.keys(protocol, deadline).await?;
        if let Some(key) = keys.find(kid, algorithm) {
            return Ok(token.verify(key, &expected)?);
        }
        // The provider may have a new key.
        let (client, document) = (self.client.clone(), self.discovery(protocol, deadline).await?);
        let load = |deadline| load_keys(client, document, deadline);
        let keys = protocol.keys.renew(&keys, deadline, load).await.ok_or(IdTokenError::UnknownKey)?;
        let key = keys.find(kid, algorithm).ok_or(IdTokenError::UnknownKey)?;
        Ok(token.verify(key, &expected)?)
    }

    pub(super) async fn discovery(
        &self,
        protocol: &OpenIdConnect,
        deadline: Instant,
    ) -> Result<Arc<DiscoveryDocument>, ProviderError> {
        let (client, url) = (self.client.clone(), self.config.issuer_url.clone());
        let issuer = protocol.issuer.clone();
        let load = |deadline| async move {
            discovery::load(&client, &url, &issuer, deadline).await.map(|(document, _)| document)
        };
        protocol.discovery.get(deadline, load).await
    }

    async fn keys(
        &self,
        protocol: &OpenIdConnect,
        deadline: Instant,
    ) -> Result<Arc<ProviderKeys>, ProviderError> {
        let (client, document) = (self.client.clone(), self.discovery(protocol, deadline).await?);
        protocol.keys.get(deadline, |deadline| load_keys(client, document, deadline)).await
    }
}

async fn load_keys(
    client: ProviderHttpClient,
    document: Arc<DiscoveryDocument>,
    deadline: Instant,
) -> Result<ProviderKeys, ProviderError> {
    let keys = ProviderKeys::load(&client, &document.jwks_uri, deadline).await?;
    if keys.count() == 0 { Err(ProviderError::NoKeys) } else { Ok(keys) }
}

/// When everything that begins now has to be done.
pub(super) fn deadline() -> Instant {
    Instant::now() + TIME_LIMIT
}
