//! The credential of a session: an opaque handle, bare as a Bearer token, signed in the cookie.

use actix_web::cookie::{Cookie, CookieJar};
use actix_web::http::header::HeaderMap;

use crate::auth::{AuthError, Credential, Identity, pick};
use crate::logins::{Presented, State, Transport};
use crate::tokens::OpaqueToken;

use super::{NAME, SessionMode};

/// Tells a handle from every other secret.
const PREFIX: &str = "dus_";

/// A new handle.
pub(super) fn new_handle() -> OpaqueToken {
    OpaqueToken::generate(PREFIX)
}

impl SessionMode {
    /// Who presents this credential.
    pub(super) async fn identify(&self, credential: &Credential) -> Result<Option<Identity>, AuthError> {
        if credential.transport == Transport::Bearer && !credential.token.starts_with(PREFIX) {
            return Ok(None);
        }
        let found = self.find(credential).await?.ok_or_else(|| unknown(credential.transport))?;
        match found.state {
            State::Live => Ok(Some(identity(&found))),
            State::Ended | State::Expired => Err(AuthError::SessionExpired),
        }
    }

    /// The login whose handle this is. A cookie's and a Bearer token don't replace each other.
    async fn find(&self, credential: &Credential) -> Result<Option<Presented>, AuthError> {
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
            Transport::Cookie => OpaqueToken::parse(PREFIX, &self.unsign(&credential.token)?),
        }
    }

    /// What actix-session signed, if it did.
    fn unsign(&self, value: &str) -> Option<String> {
        let cookie = Cookie::parse_encoded(format!("{}={value}", self.cookie_name)).ok()?;
        let mut jar = CookieJar::new();
        jar.add_original(cookie.into_owned());
        Some(jar.signed(&self.key).get(&self.cookie_name)?.value().to_owned())
    }

    /// The handle in the cookie that came with the request, if there is exactly one.
    pub(super) fn cookie_handle(&self, headers: &HeaderMap) -> Option<OpaqueToken> {
        self.handle(&pick(headers, &self.cookie_name).ok()??)
    }
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
