//! Requests to a provider: bounded in time, size and number, without redirects and proxies, and to public addresses alone.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use ureq::Agent;
use ureq::config::Config as AgentConfig;
use ureq::http::{Response, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::Url;
use zeroize::Zeroizing;

use super::error::ProviderError;
use super::public_address::is_public;
use crate::config::{ProviderConfig, is_loopback};
use crate::metrics::Metrics;

/// How long everything that one sign-in asks of a provider may take.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The size limit of a set of keys, in bytes, and of every other answer.
const MOST_OF_KEYS: u64 = 256 * 1024;
const MOST: u64 = 64 * 1024;

/// How many requests to one provider there may be at a time, each on a thread of its own. A provider that is away holds no more.
const AT_A_TIME: usize = 8;

/// How many more for what it publishes, which sign-ins that hang must not keep from being loaded.
const DOCUMENTS_AT_A_TIME: usize = 2;

/// What a provider is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its discovery document.
    Discovery,
    /// Its keys.
    Keys,
    /// Tokens for a code.
    Token,
    /// What it knows about whoever signed in.
    UserInfo,
    /// Their addresses (GitHub).
    Emails,
}

impl Step {
    /// Its name in metrics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Keys => "keys",
            Self::Token => "token",
            Self::UserInfo => "userinfo",
            Self::Emails => "emails",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request to a provider.
pub(super) struct ProviderRequest {
    pub(super) step: Step,
    pub(super) url: Url,
    /// `Authorization`.
    pub(super) authorization: Option<Zeroizing<String>>,
    /// The body of a POST, as a form. `None`: a GET.
    pub(super) form: Option<Zeroizing<String>>,
}

impl ProviderRequest {
    pub(super) fn get(step: Step, url: Url) -> Self {
        Self { step, url, authorization: None, form: None }
    }

    pub(super) fn bearer(step: Step, url: Url, token: &str) -> Self {
        Self { authorization: Some(Zeroizing::new(format!("Bearer {token}"))), ..Self::get(step, url) }
    }
}

/// What a provider answered.
pub(super) struct ProviderAnswer {
    step: Step,
    pub(super) status: u16,
    /// The header `Date`.
    pub(super) date: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

impl ProviderAnswer {
    /// The JSON in the answer, whatever its status.
    ///
    /// # Errors
    /// [`ProviderError::Malformed`].
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ProviderError::Malformed { step: self.step, what: what_is_wrong(&error) })
    }

    /// The JSON of an answer with status 200.
    ///
    /// # Errors
    /// [`ProviderError::Status`] or [`ProviderError::Malformed`].
    pub(super) fn ok<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        match self.status {
            200 => self.json(),
            status => Err(ProviderError::Status { step: self.step, status }),
        }
    }
}

/// The library's own text may repeat a value, which may be a token.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "not of the members that it must have",
        _ => "no JSON",
    };
    format!("{kind} (line {}, column {})", error.line(), error.column())
}

/// The client for one provider.
#[derive(Clone, Debug)]
pub(super) struct ProviderHttpClient {
    provider: String,
    agent: Agent,
    /// Whether plain http is allowed: the issuer is on this machine, and plain http.
    allows_http: bool,
    permits: Arc<Semaphore>,
    document_permits: Arc<Semaphore>,
    metrics: Metrics,
}

impl ProviderHttpClient {
    /// The client for a provider. If the settings name its issuer, that host may have a private address.
    pub(super) fn new(provider: &ProviderConfig, tls: TlsConfig, metrics: Metrics) -> Self {
        let ProviderConfig { name, issuer_url, issuer_is_set, .. } = provider;
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("dualauth/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(TIME_LIMIT))
            // A connection that was closed meanwhile would cost a sign-in: its code is good once.
            .max_idle_connections(0)
            .build();
        let trusted_host = issuer_url.host_str().filter(|_| *issuer_is_set).map(str::to_owned);
        let resolver = PublicAddressResolver { inner: DefaultResolver::default(), trusted_host };
        Self {
            provider: name.clone(),
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            // The settings allow that on this machine alone.
            allows_http: issuer_url.scheme() == "http",
            permits: Arc::new(Semaphore::new(AT_A_TIME)),
            document_permits: Arc::new(Semaphore::new(DOCUMENTS_AT_A_TIME)),
            metrics,
        }
    }

    /// Checks that the URL is https, or plain http on this machine where the issuer is, too.
    ///
    /// # Errors
    /// [`ProviderError::NotHttps`].
    pub(super) fn check_scheme(&self, name: &'static str, url: &Url) -> Result<(), ProviderError> {
        let is_local = || self.allows_http && url.host().is_some_and(|host| is_loopback(&host));
        match url.scheme() {
            "https" => Ok(()),
            "http" if is_local() => Ok(()),
            _ => Err(ProviderError::NotHttps(name)),
        }
    }

    /// Sends a request; the answer may have any status.
    ///
    /// # Errors
    /// [`ProviderError`], at the deadline at the latest.
    pub(super) async fn send(
        &self,
        request: ProviderRequest,
        deadline: Instant,
    ) -> Result<ProviderAnswer, ProviderError> {
        self.check_scheme(request.step.as_str(), &request.url)?;
        let permits = match request.step {
            Step::Discovery | Step::Keys => &self.document_permits,
            Step::Token | Step::UserInfo | Step::Emails => &self.permits,
        };
        let permit = timeout_at(deadline, Arc::clone(permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(ProviderError::Busy) };
        let (agent, step, began) = (self.agent.clone(), request.step, Instant::now());
        let sending = tokio::task::spawn_blocking(move || {
            // Whoever gave up waiting does not free the thread.
            let _permit = permit;
            exchange(&agent, &request, deadline)
        });
        let answer = timeout_at(deadline, sending).await;
        self.metrics.provider(&self.provider, step.as_str(), began.elapsed());
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(ProviderError::Connection { step, error: error.to_string() }),
            Err(_) => Err(ProviderError::TimedOut),
        }
    }
}

fn exchange(
    agent: &Agent,
    request: &ProviderRequest,
    deadline: Instant,
) -> Result<ProviderAnswer, ProviderError> {
    let ProviderRequest { step, url, authorization, form } = request;
    let left = deadline.saturating_duration_since(Instant::now());
    let authorization = authorization.as_ref().map(|value| value.as_str());
    let sent = match form {
        None => {
            let request = agent.get(url.as_str()).config().timeout_global(Some(left)).build();
            with_authorization(request, authorization).call()
        }
        Some(form) => {
            let request = agent.post(url.as_str()).config().timeout_global(Some(left)).build();
            let request = request.header("Content-Type", "application/x-www-form-urlencoded");
            with_authorization(request, authorization).send(form.as_bytes())
        }
    };
    read(*step, sent.map_err(|error| failure(*step, error))?)
}

fn with_authorization<B>(
    request: ureq::RequestBuilder<B>,
    authorization: Option<&str>,
) -> ureq::RequestBuilder<B> {
    match authorization {
        Some(value) => request.header("Authorization", value),
        None => request,
    }
}

fn read(step: Step, mut response: Response<ureq::Body>) -> Result<ProviderAnswer, ProviderError> {
    let most = if step == Step::Keys { MOST_OF_KEYS } else { MOST };
    let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = response.body_mut().with_config().limit(most).read_to_vec();
    let body = Zeroizing::new(body.map_err(|error| failure(step, error))?);
    Ok(ProviderAnswer { step, status: response.status().as_u16(), date, body })
}

fn failure(step: Step, error: ureq::Error) -> ProviderError {
    match error {
        ureq::Error::Timeout(_) => ProviderError::TimedOut,
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            ProviderError::TooLarge { step }
        }
        ureq::Error::Other(error) if error.is::<NotPublicAddress>() => ProviderError::NotPublic { step },
        error => ProviderError::Connection { step, error: error.to_string() },
    }
}

/// The host has no public address.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
struct NotPublicAddress;

/// Resolves names for the connection itself, so that what was checked is what is connected to. A name of the issuer's host, which the
/// settings have, may have any address; any other only public ones. Plain http stays on this machine.
#[derive(Debug)]
struct PublicAddressResolver {
    inner: DefaultResolver,
    trusted_host: Option<String>,
}

impl PublicAddressResolver {
    fn allows(&self, uri: &Uri, address: &SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_trusted = self.trusted_host.as_deref() == uri.host();
        match uri.scheme_str() {
            Some("http") => ip.is_loopback(),
            _ => is_trusted || is_public(ip),
        }
    }
}

impl Resolver for PublicAddressResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &AgentConfig,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        found.iter().filter(|address| self.allows(uri, address)).for_each(|address| allowed.push(*address));
        match allowed.is_empty() {
            false => Ok(allowed),
            true => Err(ureq::Error::Other(Box::new(NotPublicAddress))),
        }
    }
}
