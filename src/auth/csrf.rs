//! CSRF tokens, which show that a request with a cookie was sent by a page of the service or of an allowed origin.

use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::crypto::{AppSecret, MacKey};

use super::AuthError;

/// The header with the CSRF token.
pub const CSRF_HEADER: &str = "X-CSRF-Token";

/// Creates and checks CSRF tokens. A token is a MAC of its login's id, so it needs no storage, stays the same as long
/// as the login lives, and is not valid for any other login.
#[derive(Debug)]
pub struct Csrf(MacKey);

impl Csrf {
    /// With a key derived from this secret.
    pub fn new(secret: &AppSecret) -> Self {
        Self(MacKey::derive(secret, "dualauth csrf v1"))
    }

    /// The CSRF token of this login.
    pub fn token(&self, login: Uuid) -> String {
        URL_SAFE_NO_PAD.encode(self.0.sign(login.as_bytes()))
    }

    /// Checks that the header contains the login's token, once.
    ///
    /// # Errors
    /// [`AuthError::CsrfFailed`] otherwise.
    pub fn check(&self, login: Uuid, headers: &HeaderMap) -> Result<(), AuthError> {
        let mut sent = headers.get_all(CSRF_HEADER);
        let (Some(token), None) = (sent.next(), sent.next()) else { return Err(AuthError::CsrfFailed) };
        let mac = URL_SAFE_NO_PAD.decode(token.as_bytes()).map_err(|_| AuthError::CsrfFailed)?;
        if self.0.verifies(login.as_bytes(), &mac) { Ok(()) } else { Err(AuthError::CsrfFailed) }
    }
}

#[cfg(test)]
mod properties {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::property_testing::{check, header_values};

    #[test]
    fn only_the_logins_own_token_passes() {
        let csrf = Csrf::new(&AppSecret::new(vec![1; 32]).expect("long enough"));
        let token = |login| csrf.token(Uuid::from_u128(login));
        let sent = any::<u128>().prop_flat_map(|login| (Just(login), header_values(Just(token(login)))));
        check(sent, |(login, sent)| {
            let passes = |sent: &[u8]| {
                let mut headers = HeaderMap::new();
                let name = HeaderName::from_static("x-csrf-token");
                headers.append(name, HeaderValue::from_bytes(sent).expect("a header value"));
                csrf.check(Uuid::from_u128(login), &headers).is_ok()
            };
            prop_assert!(passes(token(login).as_bytes()));
            prop_assert!(!passes(token(login ^ 1).as_bytes()));
            prop_assert!(!passes(&sent));
            Ok(())
        });
    }
}
