//! The shared extractor: picks exactly one credential of a request, then asks the modes whose it is.

use std::fmt;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use futures_util::future::LocalBoxFuture;
use zeroize::Zeroizing;

use crate::error::Problem;
use crate::http::cookies::{self, Found};
use crate::logins::Transport;

use super::{AuthError, Csrf, Identity, Mode};

/// The one credential of a request. It is not printed.
#[derive(Clone)]
pub struct Credential {
    /// As it was sent.
    pub token: Zeroizing<String>,
    /// The way it came.
    pub transport: Transport,
}

impl Credential {
    /// As a token that came in this way.
    pub fn new(token: &str, transport: Transport) -> Self {
        Self { token: Zeroizing::new(token.to_owned()), transport }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// The modes that a route takes, in the order in which their cookies are looked at.
#[derive(Clone)]
pub struct Modes(Vec<Arc<dyn Mode>>);

impl Modes {
    /// These, in this order.
    pub fn new(modes: Vec<Arc<dyn Mode>>) -> Self {
        Self(modes)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Mode>> {
        self.0.iter()
    }

    /// The credential that a request with these headers presents to these modes, good or bad.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] when what is looked at can't be read one way only; [`AuthError::NotAuthenticated`]
    /// when there is nothing.
    pub fn credential(&self, headers: &HeaderMap) -> Result<Credential, AuthError> {
        self.pick(headers).map(|picked| picked.credential)
    }

    fn pick(&self, headers: &HeaderMap) -> Result<Picked<'_>, AuthError> {
        if let Some(token) = bearer(headers)? {
            return Ok(Picked { credential: Credential::new(token, Transport::Bearer), mode: None });
        }
        for mode in &self.0 {
            if let Some(credential) = pick(headers, mode.cookie())? {
                return Ok(Picked { credential, mode: Some(mode) });
            }
        }
        Err(AuthError::NotAuthenticated)
    }

    async fn authenticate(&self, picked: Picked<'_>) -> Result<Identity, AuthError> {
        let asked = match picked.mode {
            Some(mode) => std::slice::from_ref(mode),
            None => &self.0,
        };
        for mode in asked {
            if let Some(identity) = mode.authenticate(&picked.credential).await? {
                return Ok(identity);
            }
        }
        Err(AuthError::InvalidToken)
    }
}

/// A credential, and the mode whose cookie it came in; none: any mode may know it.
struct Picked<'a> {
    credential: Credential,
    mode: Option<&'a Arc<dyn Mode>>,
}

/// The token of the one `Authorization: Bearer` header (RFC 6750, section 2.1). `None` without such a header.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let mut sent = headers.get_all(AUTHORIZATION);
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(AuthError::Malformed("Send one Authorization header, not several."));
    }
    let bytes = value.as_bytes();
    let is_bearer = bytes.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    match bytes.get(6..) {
        Some([b' ', rest @ ..]) if is_bearer => b64token(rest.trim_ascii()).ok_or(MALFORMED_BEARER).map(Some),
        Some([] | [b'\t', ..]) if is_bearer => Err(MALFORMED_BEARER),
        _ => Ok(None),
    }
}

const MALFORMED_BEARER: AuthError =
    AuthError::Malformed("Send `Authorization: Bearer`, one space and the token.");

/// The characters that a token may have (RFC 6750, section 2.1).
fn b64token(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let token = text.trim_end_matches('=');
    // All of them, and not until the first that is none: so it takes many bytes at a time.
    let is_token = token.bytes().fold(true, |all, byte| all & is_token_byte(byte));
    (!token.is_empty() && is_token).then_some(text)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}

/// The credential in the cookie of this name.
///
/// # Errors
/// [`AuthError::Malformed`] when it is there with different values.
pub fn pick(headers: &HeaderMap, cookie: &str) -> Result<Option<Credential>, AuthError> {
    match cookies::find(headers, cookie) {
        Found::Absent => Ok(None),
        Found::One(value) => Ok(Some(Credential::new(value, Transport::Cookie))),
        Found::Ambiguous => Err(AuthError::Malformed("A cookie came twice, with different values.")),
    }
}

/// Why a request was turned away, and whether what it presented came in a cookie, which then may have to be
/// cleared.
#[derive(Debug)]
pub struct Rejection {
    /// The reason.
    pub problem: Problem,
    /// The way the credential came; none when there was none.
    pub transport: Option<Transport>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        self.problem.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        self.problem.response()
    }
}

impl FromRequest for Identity {
    type Error = Rejection;
    type Future = LocalBoxFuture<'static, Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request).await })
    }
}

async fn authenticate(request: &HttpRequest) -> Result<Identity, Rejection> {
    let reject = |error: AuthError, transport| Rejection { problem: error.into(), transport };
    let (Some(modes), Some(csrf)) =
        (request.app_data::<web::Data<Modes>>(), request.app_data::<web::Data<Csrf>>())
    else {
        return Err(reject(AuthError::NotAuthenticated, None));
    };
    let picked = modes.pick(request.headers()).map_err(|error| reject(error, None))?;
    let transport = picked.credential.transport;
    let identity = modes.authenticate(picked).await.map_err(|error| reject(error, Some(transport)))?;
    // Asked of a credential that is good: one that is bad proves nothing either way.
    if transport == Transport::Cookie && !request.method().is_safe() {
        csrf.check(identity.login_id, request.headers()).map_err(|error| reject(error, Some(transport)))?;
    }
    Ok(identity)
}
