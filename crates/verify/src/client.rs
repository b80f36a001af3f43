//! The HTTP client: asks dualauth for the JWK set and for the revocation feed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::{Serializer, byte_serialize};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::BuildError;
use crate::key_set::JwkSet;
use crate::revocations::Answer;

/// The longest answer that is read, in bytes. A page of the feed is far shorter.
const MAX_ANSWER: usize = 16 << 20;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("no answer in time")]
    Timeout,
    #[error("it can't be reached: {0}")]
    Unreachable(#[from] legacy::Error),
    #[error("it refuses the client's id or secret (401)")]
    WrongClient,
    #[error("it answered with {0}")]
    Status(StatusCode),
    #[error("its answer can't be read: {0}")]
    Answer(String),
}

/// Sends requests to one dualauth, whichever of its nodes answers.
pub(crate) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    keys: Uri,
    feed: Uri,
    /// HTTP Basic (RFC 6749, section 2.3.1). `None`: no feed.
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client for dualauth at this base URL.
    pub(crate) fn new(base: &str, client: Option<&(String, SecretString)>) -> Result<Self, BuildError> {
        let (keys, feed) = (endpoint(base, "/.well-known/jwks.json")?, endpoint(base, "/jwt/feed")?);
        let authorization = client.map(|(id, secret)| basic(id, secret)).transpose()?;
        let tls = tls(base.starts_with("https:"))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector.wrap_connector(http));
        Ok(Self { http, keys, feed, authorization })
    }

    /// Whether there is a client to follow the feed as.
    pub(crate) fn can_follow(&self) -> bool {
        self.authorization.is_some()
    }

    /// Fetches the JWK set; if a feed tells of its changes, as it is committed now, at a URL that no cache has seen. Without a
    /// feed, dualauth's copy will do, which it has in an outage, too.
    pub(crate) async fn keys(&self, uptime: Duration, limit: Duration) -> Result<JwkSet, RequestError> {
        let mut url = self.keys.clone();
        if self.can_follow() {
            let current = format!("{}?current={}", url, uptime.as_nanos());
            url = current.parse().map_err(|_| RequestError::Answer(current))?;
        }
        self.send(Request::builder().uri(url), Bytes::new(), limit).await
    }

    /// Asks the feed what is new since `cursor`. It may wait for `wait` until there is something, and takes `limit` more.
    pub(crate) async fn feed(
        &self,
        cursor: &str,
        wait: Duration,
        limit: Duration,
    ) -> Result<Answer, RequestError> {
        let mut request = Request::builder().method(Method::POST).uri(self.feed.clone());
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        self.send(request, form(cursor, wait).into(), wait.saturating_add(limit)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: http::request::Builder,
        body: Bytes,
        limit: Duration,
    ) -> Result<T, RequestError> {
        let request = request.header(ACCEPT, "application/json").body(Full::new(body));
        let request = request.map_err(|error| RequestError::Answer(error.to_string()))?;
        let answered = tokio::time::timeout(limit, self.response_body(request)).await;
        let body = answered.map_err(|_| RequestError::Timeout)??;
        serde_json::from_slice(&body).map_err(|error| RequestError::Answer(error.to_string()))
    }

    async fn response_body(&self, request: Request<Full<Bytes>>) -> Result<Bytes, RequestError> {
        let response = self.http.request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(RequestError::WrongClient),
            status => return Err(RequestError::Status(status)),
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| RequestError::Answer(error.to_string()))
    }
}

/// The form of a request to the feed.
fn form(cursor: &str, wait: Duration) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("cursor", cursor).append_pair("wait", &format!("{:.3}", wait.as_secs_f64()));
    form.finish()
}

/// The URL of an endpoint below the base.
fn endpoint(base: &str, path: &str) -> Result<Uri, BuildError> {
    let error = || BuildError::Url(base.to_owned());
    let uri: Uri = format!("{}{path}", base.trim_end_matches('/')).parse().map_err(|_| error())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_credentials = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
    if is_http && !has_credentials && !base.contains(['?', '#']) { Ok(uri) } else { Err(error()) }
}

fn basic(id: &str, secret: &SecretString) -> Result<HeaderValue, BuildError> {
    let encode = |part: &str| byte_serialize(part.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret.expose_secret()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
    if let Ok(value) = &mut value {
        // Not to be printed.
        value.set_sensitive(true);
    }
    let is_empty = id.is_empty() || secret.expose_secret().is_empty();
    value.ok().filter(|_| !is_empty).ok_or(BuildError::Client)
}

fn tls(is_needed: bool) -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    if is_needed {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(BuildError::NoRootCertificates);
        }
    }
    // The provider by name: the process' default may be none, or another library's.
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|error| BuildError::Tls(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
