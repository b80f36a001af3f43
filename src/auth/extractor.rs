//! The common extractor: picks exactly one credential of a request, and lets the modes authenticate it.

use std::fmt;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use futures_util::future::LocalBoxFuture;
use zeroize::Zeroizing;

use crate::error::Problem;
use crate::http::cookie_header::{self, CookieLookup};
use crate::logins::{Acr, Transport};
use crate::telemetry::{self, RequestUser};

use super::required_second_factor::{is_open_below_aal2, second_factor_missing};
use super::{AuthError, Csrf, Identity, Mode};

/// The credential of a request. `Debug` does not print it.
#[derive(Clone)]
pub struct Credential {
    /// As it was sent.
    pub token: Zeroizing<String>,
    /// How it was sent.
    pub transport: Transport,
}

impl Credential {
    /// A credential that was sent like this.
    pub fn new(token: &str, transport: Transport) -> Self {
        Self { token: Zeroizing::new(token.to_owned()), transport }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// The modes that a route accepts, in the order in which their cookies are checked, and what a login must have come to.
#[derive(Clone)]
pub struct AcceptedAuthModes {
    modes: Vec<Arc<dyn Mode>>,
    least_acr: Acr,
}

impl AcceptedAuthModes {
    /// These modes, in this order. Logins below `least_acr` are refused, but for getting there.
    pub fn new(modes: Vec<Arc<dyn Mode>>, least_acr: Acr) -> Self {
        Self { modes, least_acr }
    }

    /// One of the modes alone.
    #[must_use]
    pub fn only(&self, mode: &Arc<dyn Mode>) -> Self {
        Self::new(vec![Arc::clone(mode)], self.least_acr)
    }

    /// All but one of the modes.
    #[must_use]
    pub fn without(&self, mode: &Arc<dyn Mode>) -> Self {
        let others = self.modes.iter().filter(|other| other.name() != mode.name());
        Self::new(others.cloned().collect(), self.least_acr)
    }

    /// Whether a login of this assurance level is good for everything.
    pub fn admits(&self, acr: Acr) -> bool {
        acr >= self.least_acr
    }

    /// The modes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Mode>> {
        self.modes.iter()
    }

    /// The credential for these modes in a request with these headers, valid or not.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] or [`AuthError::AmbiguousCookie`] when a credential is malformed or ambiguous;
    /// [`AuthError::NotAuthenticated`] when there is none.
    pub fn credential(&self, headers: &HeaderMap) -> Result<Credential, AuthError> {
        self.pick(headers).map(|picked| picked.credential)
    }

    fn pick(&self, headers: &HeaderMap) -> Result<Picked<'_>, AuthError> {
        if let Some(token) = bearer(headers)? {
            return Ok(Picked { credential: Credential::new(token, Transport::Bearer), mode: None });
        }
        for mode in &self.modes {
            if let Some(credential) = pick(headers, mode.cookie())? {
                return Ok(Picked { credential, mode: Some(mode) });
            }
        }
        Err(AuthError::NotAuthenticated)
    }

    async fn authenticate(&self, picked: Picked<'_>) -> Result<Identity, AuthError> {
        let asked = match picked.mode {
            Some(mode) => std::slice::from_ref(mode),
            None => &self.modes,
        };
        for mode in asked {
            if let Some(identity) = mode.authenticate(&picked.credential).await? {
                return Ok(identity);
            }
        }
        Err(AuthError::InvalidToken)
    }
}

/// A credential, and the mode whose cookie it was in. `None` for a Bearer token, which may be of any mode.
struct Picked<'a> {
    credential: Credential,
    mode: Option<&'a Arc<dyn Mode>>,
}

/// The token of the only `Authorization: Bearer` header (RFC 6750, section 2.1). `None` without such a header.
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

/// The token, if it has only valid characters (RFC 6750, section 2.1).
fn b64token(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let token = text.trim_end_matches('=');
    // Without early exit, which lets the compiler vectorise the loop.
    let is_token = token.bytes().fold(true, |all, byte| all & is_token_byte(byte));
    (!token.is_empty() && is_token).then_some(text)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}

/// The credential in the cookie with this name.
///
/// # Errors
/// [`AuthError::AmbiguousCookie`] when the cookie has several values.
pub fn pick(headers: &HeaderMap, cookie: &str) -> Result<Option<Credential>, AuthError> {
    match cookie_header::find(headers, cookie) {
        CookieLookup::Absent => Ok(None),
        CookieLookup::One(value) => Ok(Some(Credential::new(value, Transport::Cookie))),
        CookieLookup::Ambiguous => Err(AuthError::AmbiguousCookie(cookie.to_owned())),
    }
}

/// Why a request was rejected, and whether its credential was in a cookie, which then may have to be cleared.
#[derive(Debug)]
pub struct Rejection {
    /// The reason.
    pub problem: Problem,
    /// How the credential was sent. `None` when there was none, or when it may have been replaced by a newer one.
    pub transport: Option<Transport>,
}

impl Rejection {
    /// For a credential that was sent like this.
    pub fn new(error: AuthError, transport: Transport) -> Self {
        let is_dead = !error.is_replaced();
        Self { problem: error.into(), transport: is_dead.then_some(transport) }
    }
}

/// For a reason other than the credential.
impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        Self { problem, transport: None }
    }
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

/// The identity of a forward-authentication request. It needs no CSRF token of ours, since the original request
/// changes nothing in this service.
#[derive(Debug)]
pub struct ForwardAuthIdentity(pub Identity);

impl FromRequest for ForwardAuthIdentity {
    type Error = Rejection;
    type Future = LocalBoxFuture<'static, Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { identify(&request).await.map(Self) })
    }
}

async fn authenticate(request: &HttpRequest) -> Result<Identity, Rejection> {
    let identity = identify(request).await?;
    // After authentication, since an invalid credential makes the CSRF check pointless.
    if identity.transport == Transport::Cookie && !request.method().is_safe() {
        let csrf = request.app_data::<web::Data<Csrf>>().ok_or(AuthError::CsrfFailed);
        csrf.and_then(|csrf| csrf.check(identity.login_id, request.headers()))
            .map_err(|error| Rejection::new(error, identity.transport))?;
    }
    Ok(identity)
}

async fn identify(request: &HttpRequest) -> Result<Identity, Rejection> {
    let modes = request.app_data::<web::Data<AcceptedAuthModes>>().ok_or(AuthError::NotAuthenticated);
    let picked = modes.and_then(|modes| Ok((modes, modes.pick(request.headers())?)));
    let (modes, picked) = picked.map_err(Problem::from)?;
    identify_picked(request, modes, picked).await
}

/// The identity of a request with a Bearer token of one of these modes.
pub(super) async fn identify_bearer(
    request: &HttpRequest,
    modes: &AcceptedAuthModes,
) -> Result<Identity, Rejection> {
    let token = bearer(request.headers()).and_then(|token| token.ok_or(AuthError::NotAuthenticated));
    let credential = Credential::new(token.map_err(Problem::from)?, Transport::Bearer);
    identify_picked(request, modes, Picked { credential, mode: None }).await
}

async fn identify_picked(
    request: &HttpRequest,
    modes: &AcceptedAuthModes,
    picked: Picked<'_>,
) -> Result<Identity, Rejection> {
    let transport = picked.credential.transport;
    let identity = modes.authenticate(picked).await.map_err(|error| Rejection::new(error, transport))?;
    telemetry::set_user(RequestUser {
        user: identity.user_id,
        login: identity.login_id,
        mode: identity.mode,
    });
    if !modes.admits(identity.authentication.acr) && !is_open_below_aal2(request, modes) {
        return Err(second_factor_missing(request, identity.user_id).await.into());
    }
    Ok(identity)
}

#[cfg(test)]
mod properties {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::property_testing::{any_header_value, check, header_values};

    #[derive(Debug, PartialEq)]
    enum ParsedBearer {
        Nothing,
        Token(Vec<u8>),
        Malformed,
    }

    fn read(sent: &[&[u8]]) -> ParsedBearer {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header value"));
        }
        match bearer(&headers) {
            Ok(None) => ParsedBearer::Nothing,
            Ok(Some(token)) => ParsedBearer::Token(token.as_bytes().to_vec()),
            Err(_) => ParsedBearer::Malformed,
        }
    }

    /// The expected result, parsed in another way: the scheme up to the first space or tab, then the token.
    fn expected(value: &[u8]) -> ParsedBearer {
        let end = value.iter().position(|byte| b" \t".contains(byte)).unwrap_or(value.len());
        let (scheme, rest) = value.split_at(end);
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return ParsedBearer::Nothing;
        }
        let rest = String::from_utf8_lossy(rest);
        let token = rest.trim_matches([' ', '\t']);
        let letters = token.trim_end_matches('=');
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._~+/".contains(letter);
        let is_token = rest.starts_with(' ') && !letters.is_empty() && letters.chars().all(is_letter);
        if is_token { ParsedBearer::Token(token.as_bytes().to_vec()) } else { ParsedBearer::Malformed }
    }

    fn token() -> impl Strategy<Value = String> {
        "[A-Za-z0-9._~+/-]{1,40}={0,2}"
    }

    #[test]
    fn a_token_is_read_whatever_the_schemes_letter_case_and_however_much_space_there_is() {
        check(("[Bb][Ee][Aa][Rr][Ee][Rr] [ \t]{0,3}", token(), "[ \t]{0,3}"), |(scheme, token, space)| {
            let value = format!("{scheme}{token}{space}");
            prop_assert_eq!(read(&[value.as_bytes()]), ParsedBearer::Token(token.into_bytes()));
            Ok(())
        });
    }

    #[test]
    fn every_header_is_a_token_or_malformed_or_of_another_scheme() {
        let bearer = token().prop_map(|token| format!("Bearer {token}"));
        let spaced = ("(Bearer|bearer|Basic|Bearers)", "[ \t,=]{0,2}", token(), "[ \t=]{0,2}");
        let spaced =
            spaced.prop_map(|(scheme, space, token, end)| [scheme, space, token, end].concat().into_bytes());
        check(prop_oneof![header_values(bearer), spaced], |value| {
            prop_assert_eq!(read(&[&value]), expected(&value));
            Ok(())
        });
    }

    #[test]
    fn two_headers_are_malformed_whatever_they_say() {
        let bearer = || token().prop_map(|token| format!("Bearer {token}").into_bytes());
        let value = || prop_oneof![bearer(), any_header_value()];
        let twice = value().prop_map(|value| (value.clone(), value));
        check(prop_oneof![(value(), value()), twice], |(one, other)| {
            prop_assert_eq!(read(&[&one, &other]), ParsedBearer::Malformed);
            Ok(())
        });
    }
}
