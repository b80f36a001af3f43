//! The session credential: the session id, as a plain Bearer token or signed in a cookie.

use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::auth::{AuthError, Credential, Identity, pick};
use crate::crypto::MacKey;
use crate::logins::{FoundLogin, HandleStatus, Transport};

use super::id::{PREFIX, SessionId};
use super::{NAME, SessionMode};

/// The length of the cookie's signature (HMAC-SHA-256), in bytes.
const MAC_BYTES: usize = 32;

impl SessionMode {
    /// The identity of a session id. `None` for a Bearer token that is no session token.
    pub(super) async fn identify(&self, credential: &Credential) -> Result<Option<Identity>, AuthError> {
        if credential.transport == Transport::Bearer && !is_token(&credential.token) {
            return Ok(None);
        }
        let found = self.find(credential).await?.ok_or_else(|| unknown_id_error(credential.transport))?;
        match found.validity {
            HandleStatus::Valid => Ok(Some(identity(&found))),
            HandleStatus::Replaced => Err(AuthError::SessionReplaced),
            HandleStatus::Ended => Err(AuthError::SessionExpired),
        }
    }

    /// The login of a session id. An id that was issued for the other transport is not accepted.
    pub(super) async fn find(&self, credential: &Credential) -> Result<Option<FoundLogin>, AuthError> {
        let Some(id) = self.decode_id(credential) else { return Ok(None) };
        let found = self.logins.find_by_handle(&id.hash(), id.generation(), NAME).await?;
        Ok(found.filter(|found| found.principal.transport == credential.transport))
    }

    /// Decodes the session id of a credential; `None` if it is malformed or not signed by this service.
    pub(super) fn decode_id(&self, credential: &Credential) -> Option<SessionId> {
        match credential.transport {
            Transport::Bearer => self.ids.decode(&credential.token),
            Transport::Cookie => self.ids.decode(unsign(&self.mac, &credential.token)?),
        }
    }

    /// The session id in the request's cookie, if there is exactly one.
    pub(super) fn cookie_id(&self, headers: &HeaderMap) -> Option<SessionId> {
        self.decode_id(&pick(headers, &self.cookie_name).ok()??)
    }
}

/// Returns `true` if a Bearer token looks like a session token.
pub(super) fn is_token(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Returns `true` if a cookie value may be a signed session id of this service, whatever the secret.
pub(super) fn may_be_signed_id(value: &str) -> bool {
    value.contains(PREFIX)
}

/// Verifies a cookie signed by actix-session: base64 of an HMAC-SHA-256 followed by the text, percent-encoded where
/// needed. Not done by its `CookieJar`, which would take a fifth of the time of a whole request.
fn unsign<'a>(key: &MacKey, value: &'a str) -> Option<&'a str> {
    // The prefix marks the beginning of the text: base64 has no underscore.
    let (mac, text) = value.split_at(value.find(PREFIX)?);
    let mac: Vec<u8> = percent_decode_str(mac).collect();
    let mut decoded = [0; MAC_BYTES + 1];
    let length = STANDARD.decode_slice(mac, &mut decoded).ok()?;
    key.verifies(text.as_bytes(), decoded.get(..length)?).then_some(text)
}

/// The error for an id without a login.
pub(super) fn unknown_id_error(transport: Transport) -> AuthError {
    match transport {
        Transport::Bearer => AuthError::InvalidToken,
        Transport::Cookie => AuthError::SessionExpired,
    }
}

fn identity(found: &FoundLogin) -> Identity {
    let principal = &found.principal;
    Identity {
        user_id: principal.user_id,
        username: principal.username.clone(),
        roles: principal.roles.clone(),
        mode: NAME,
        transport: principal.transport,
        login_id: principal.login_id,
        authentication: principal.authentication,
        expires_at: found.ends_at,
    }
}

#[cfg(test)]
mod properties {
    use actix_web::cookie::{Cookie, CookieJar, Key};
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::AppSecret;
    use crate::property_testing::{check, near_misses};
    use crate::session::{COOKIE_SIGNING_LABEL, signing_key};

    fn secret(byte: u8) -> AppSecret {
        AppSecret::new(vec![byte; 32]).expect("long enough")
    }

    fn unsigned(byte: u8, value: &str) -> Option<String> {
        let mac = MacKey::derive(&secret(byte), COOKIE_SIGNING_LABEL);
        unsign(&mac, value).map(str::to_owned)
    }

    /// The cookie value for an id, as actix-session writes it.
    fn signed(key: &Key, id: &str) -> String {
        let mut jar = CookieJar::new();
        jar.signed_mut(key).add(Cookie::new("id", id.to_owned()));
        jar.get("id").expect("it was added").encoded().stripped().to_string().split_off("id=".len())
    }

    /// The id that actix-session would read from a cookie value.
    fn actix_session_reads(key: &Key, value: &str) -> Option<String> {
        let mut jar = CookieJar::new();
        jar.add_original(Cookie::parse_encoded(format!("id={value}")).ok()?.into_owned());
        jar.signed(key).get("id").map(|cookie| cookie.value().to_owned())
    }

    fn id() -> impl Strategy<Value = String> {
        let bytes = prop_oneof![vec(any::<u8>(), 32), vec(any::<u8>(), 52)];
        bytes.prop_map(|bytes| format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    #[test]
    fn what_actix_session_signs_is_read_back_under_the_same_secret_only() {
        check((id(), any::<u8>(), 1..=255_u8), |(id, byte, step)| {
            let value = signed(&signing_key(&secret(byte)), &id);
            prop_assert_eq!(unsigned(byte, &value), Some(id));
            prop_assert_eq!(unsigned(byte.wrapping_add(step), &value), None);
            Ok(())
        });
    }

    #[test]
    fn a_cookie_with_a_slip_in_it_is_refused_unless_it_says_the_same() {
        let key = signing_key(&secret(1));
        let values = near_misses(id().prop_map(|id| signed(&key, &id)));
        check(values, |(value, other)| {
            let read = unsigned(1, &other);
            if read.is_some() {
                prop_assert_eq!(&read, &unsigned(1, &value));
                prop_assert_eq!(read, actix_session_reads(&key, &other));
            }
            Ok(())
        });
    }

    #[test]
    fn what_nobody_signed_is_refused() {
        let mac = prop_oneof![
            "[A-Za-z0-9+/]{43}=",
            "([A-Za-z0-9/]|%2B){43}%3D",
            "[%A-F0-9]{0,60}",
            any::<String>()
        ];
        check((mac, id()), |(mac, id)| {
            prop_assert_eq!(unsigned(1, &format!("{mac}{id}")), None);
            prop_assert_eq!(unsigned(1, &mac), None);
            Ok(())
        });
    }
}
