//! The credential of a session: an opaque handle, bare as a Bearer token, signed in the cookie.

use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::auth::{AuthError, Credential, Identity, pick};
use crate::logins::{Presented, State, Transport};
use crate::tokens::OpaqueToken;

use super::{NAME, SessionMode};

/// Tells a handle from every other secret.
const PREFIX: &str = "dus_";

/// The length of a signature in the cookie.
const MAC_BYTES: usize = 32;

/// A new handle.
pub(super) fn new_handle() -> OpaqueToken {
    OpaqueToken::generate(PREFIX)
}

impl SessionMode {
    /// Who presents this credential.
    pub(super) async fn identify(&self, credential: &Credential) -> Result<Option<Identity>, AuthError> {
        if credential.transport == Transport::Bearer && !is_token(&credential.token) {
            return Ok(None);
        }
        let found = self.find(credential).await?.ok_or_else(|| unknown(credential.transport))?;
        match found.state {
            State::Live => Ok(Some(identity(&found))),
            State::Ended | State::Expired => Err(AuthError::SessionExpired),
        }
    }

    /// The login whose handle this is. A cookie's and a Bearer token don't replace each other.
    pub(super) async fn find(&self, credential: &Credential) -> Result<Option<Presented>, AuthError> {
        let Some(handle) = self.handle(credential) else { return Ok(None) };
        let found = self.logins.find_by_handle(&handle.hash()).await?;
        let is_ours = |found: &Presented| {
            found.principal.mode == NAME && found.principal.transport == credential.transport
        };
        Ok(found.filter(is_ours))
    }

    /// The handle in a credential, if it can be one.
    pub(super) fn handle(&self, credential: &Credential) -> Option<OpaqueToken> {
        match credential.transport {
            Transport::Bearer => OpaqueToken::parse(PREFIX, &credential.token),
            Transport::Cookie => self.unsign(&credential.token),
        }
    }

    /// What actix-session signed, if it did: base64 of an HMAC-SHA-256, then the text, percent-encoded where a cookie
    /// needs it. Read here and not by its own `CookieJar`, which would cost a fifth of what the whole request does.
    fn unsign(&self, value: &str) -> Option<OpaqueToken> {
        // base64 has no underscore: the prefix is where the text begins.
        let (mac, text) = value.split_at(value.find(PREFIX)?);
        let mac: Vec<u8> = percent_decode_str(mac).collect();
        let mut decoded = [0; MAC_BYTES + 1];
        let length = STANDARD.decode_slice(mac, &mut decoded).ok()?;
        let is_ours = self.mac.verifies(text.as_bytes(), decoded.get(..length)?);
        if is_ours { OpaqueToken::parse(PREFIX, text) } else { None }
    }

    /// The handle in the cookie that came with the request, if there is exactly one.
    pub(super) fn cookie_handle(&self, headers: &HeaderMap) -> Option<OpaqueToken> {
        self.handle(&pick(headers, &self.cookie_name).ok()??)
    }
}

/// Whether it can be a token that travels by Bearer.
pub(super) fn is_token(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// What is said of a handle that stands for no login.
pub(super) fn unknown(transport: Transport) -> AuthError {
    match transport {
        Transport::Bearer => AuthError::InvalidToken,
        Transport::Cookie => AuthError::SessionExpired,
    }
}

fn identity(found: &Presented) -> Identity {
    let principal = &found.principal;
    Identity {
        user_id: principal.user_id,
        username: principal.username.clone(),
        roles: principal.roles.clone(),
        mode: NAME,
        transport: principal.transport,
        login_id: principal.login_id,
        expires_at: found.ends_at,
    }
}
