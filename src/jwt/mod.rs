//! JWTs: present a signed snapshot of the login, and the server checks the signature.
//!
//! The story: `login` begins a login and signs what a request needs to know of it into an access token of a few
//! minutes ([`keys`]). Requests are answered from its claims, without a look-up ([`credential`], [`verified`]); that the login
//! has not been ended meanwhile, the node knows from the revocation feed. The refresh token is the login's id,
//! a counter and a secret of the login under a MAC: `refresh` moves the counter on and signs the next snapshot. `logout` ends the login, and
//! with it the access tokens that are out.

mod claims;
mod credential;
mod handlers;
mod introspection;
mod keys;
mod verified;

use std::sync::Arc;

use actix_web::cookie::SameSite;
use actix_web::web;
use futures_util::future::BoxFuture;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::auth::{
    Audience, AuthError, CookieKind, CookiePolicy, Credential, Identity, Mode, Revoked, TokenBody,
};
use crate::clock::Clock;
use crate::logins::Logins;
use crate::tokens::AppSecret;

use self::credential::RefreshTokens;
pub use self::keys::{JWKS_MAX_AGE, KeyError, KeyState, Keys, KeysError, ListedKey, Outlook, Rotated};
use self::verified::Verified;

const NAME: &str = "jwt";

/// The cookie that an access token travels in.
pub const ACCESS_COOKIE: CookieKind =
    CookieKind { name: "access_token", path: "/", same_site: SameSite::Lax };

/// The cookie that a refresh token travels in.
pub const REFRESH_COOKIE: CookieKind =
    CookieKind { name: "refresh_token", path: "/jwt", same_site: SameSite::Strict };

/// Who issues access tokens, for whom, and by which application (RFC 7519, sections 4.1.1 and 4.1.3).
#[derive(Clone, Debug)]
pub struct Parties {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: Audience,
    /// `client_id` (RFC 9068, section 2.2).
    pub client_id: String,
}

/// The JWT mode.
#[derive(Clone)]
pub struct JwtMode {
    logins: Logins,
    clock: Clock,
    cookies: CookiePolicy,
    access_cookie: String,
    refresh_cookie: String,
    parties: Parties,
    keys: Keys,
    /// None: every signature is computed, every time.
    verified: Option<Arc<Verified>>,
    refresh_tokens: Arc<RefreshTokens>,
}

impl JwtMode {
    /// Over these logins, signing with these keys. `verified`: how many tokens are remembered as verified, if any are.
    pub fn new(
        logins: Logins,
        clock: Clock,
        cookies: CookiePolicy,
        parties: Parties,
        secret: &AppSecret,
        keys: Keys,
        verified: Option<usize>,
    ) -> Self {
        Self {
            logins,
            clock,
            access_cookie: cookies.name(ACCESS_COOKIE),
            refresh_cookie: cookies.name(REFRESH_COOKIE),
            cookies,
            parties,
            keys,
            verified: verified.map(|size| Arc::new(Verified::new(size))),
            refresh_tokens: Arc::new(RefreshTokens::new(secret)),
        }
    }
}

/// Registers what is of this mode, and at a place that a standard fixes.
pub fn well_known_routes(config: &mut ServiceConfig) {
    config.service(handlers::jwks);
}

impl Mode for JwtMode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cookie(&self) -> &str {
        &self.access_cookie
    }

    fn trouble(&self) -> Option<&'static str> {
        (!self.keys.can_sign()).then_some("there is no key to sign access tokens with")
    }

    fn routes(&self, config: &mut ServiceConfig) {
        config
            .app_data(web::Data::new(self.clone()))
            .service(handlers::jwt_register)
            .service(handlers::jwt_login)
            .service(handlers::jwt_profile)
            .service(handlers::jwt_csrf)
            .service(handlers::jwt_refresh)
            .service(handlers::jwt_logout)
            .service(handlers::jwt_logout_all);
    }

    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<Identity>, AuthError>> {
        Box::pin(self.identify(credential))
    }

    fn introspect<'a>(
        &'a self,
        token: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<TokenBody>, AuthError>> {
        Box::pin(self.describe(token))
    }

    fn published_algorithms(&self) -> Vec<&'static str> {
        self.keys.published_algorithms()
    }

    fn revoke<'a>(&'a self, token: &'a Credential) -> BoxFuture<'a, Result<Option<Revoked>, AuthError>> {
        Box::pin(self.end_login_of(token))
    }
}
