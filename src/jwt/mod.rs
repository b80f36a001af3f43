//! JWTs: present a signed snapshot of the login, and the server checks the signature.
//!
//! The story: `login` begins a login and signs what a request needs to know of it into an access token of a few
//! minutes ([`keys`]). Requests are answered from its claims, without a look-up ([`credential`], [`verified`]); that the login
//! has not been ended meanwhile, the node knows from the revocation feed. The refresh token is the login's id,
//! a counter and a secret of the login under a MAC: `refresh` moves the counter on and issues the next pair ([`mod@refresh`],
//! [`issue`]). `logout` ends the login, and with it the access tokens that are out.

mod claims;
mod credential;
mod documentation;
mod handlers;
mod introspection;
mod issue;
mod keys;
mod refresh;
mod verified;

use std::sync::Arc;

use actix_web::cookie::SameSite;
use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::{BoxFuture, LocalBoxFuture};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::audit::Actor;
use crate::auth::{
    Audience, AuthError, CookiePolicy, CookieSpec, Credential, Csrf, Identity, IntrospectedToken,
    LoginSecret, Mode, ModeContext, Rejection, RevocationOutcome, RotatedSecret, RouteDocumentation,
};
use crate::clock::Clock;
use crate::error::Problem;
use crate::logins::{Login, LoginKey, Logins, ReplacedLogin, Transport};

use self::credential::{RefreshTokenCodec, secret_hash};
pub use self::keys::{JWKS_MAX_AGE, KeyError, KeyState, Keys, KeysError, ListedKey, Rotated, StartupPlan};
use self::verified::VerifiedTokens;

const NAME: &str = "jwt";

/// The cookie that an access token travels in.
pub const ACCESS_COOKIE: CookieSpec =
    CookieSpec { name: "access_token", path: "/", same_site: SameSite::Lax };

/// The cookie that a refresh token travels in.
pub const REFRESH_COOKIE: CookieSpec =
    CookieSpec { name: "refresh_token", path: "/jwt", same_site: SameSite::Strict };

/// Who issues access tokens, for whom, and by which application (RFC 7519, sections 4.1.1 and 4.1.3).
#[derive(Clone, Debug)]
pub struct IssuerAudience {
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
    issuer_audience: IssuerAudience,
    csrf: Arc<Csrf>,
    keys: Keys,
    /// None: every signature is computed, every time.
    verified: Option<Arc<VerifiedTokens>>,
    refresh_tokens: Arc<RefreshTokenCodec>,
}

impl JwtMode {
    /// Over the logins of this context, signing with these keys. `verified`: how many tokens are remembered as verified,
    /// if any are.
    pub fn new(
        context: &ModeContext<'_>,
        issuer_audience: IssuerAudience,
        keys: Keys,
        verified: Option<usize>,
    ) -> Self {
        Self {
            logins: context.logins.clone(),
            clock: context.clock.clone(),
            cookies: context.cookies.clone(),
            access_cookie: context.cookies.name(ACCESS_COOKIE),
            refresh_cookie: context.cookies.name(REFRESH_COOKIE),
            issuer_audience,
            csrf: Arc::clone(&context.csrf),
            keys,
            verified: verified.map(|size| Arc::new(VerifiedTokens::new(size))),
            refresh_tokens: Arc::new(RefreshTokenCodec::new(context.secret)),
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

    fn unavailable_reason(&self) -> Option<&'static str> {
        (!self.keys.can_sign()).then_some("there is no key to sign access tokens with")
    }

    fn default_transport(&self) -> Transport {
        Transport::Bearer
    }

    fn routes(&self, config: &mut ServiceConfig, issuing: fn(&mut ServiceConfig)) {
        config.app_data(web::Data::new(self.clone())).service(handlers::jwt_refresh).configure(issuing);
    }

    fn documentation(&self) -> &'static [RouteDocumentation] {
        documentation::ROUTES
    }

    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<Identity>, AuthError>> {
        Box::pin(self.identify(credential))
    }

    fn login_key(&self, secret: &LoginSecret) -> LoginKey {
        LoginKey::Token(secret_hash(secret))
    }

    fn login_of_cookies<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Option<ReplacedLogin>, AuthError>> {
        Box::pin(self.find_login_of_cookies(headers))
    }

    fn issue<'a>(
        &'a self,
        login: Login,
        secret: LoginSecret,
        transport: Transport,
        _: &'a HttpRequest,
    ) -> LocalBoxFuture<'a, Result<HttpResponse, Problem>> {
        Box::pin(self.issue_tokens(login, Some(secret), transport))
    }

    fn login_for_csrf<'a>(
        &'a self,
        presented: Result<Identity, Rejection>,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Uuid, Problem>> {
        Box::pin(self.csrf_login(presented, headers))
    }

    fn identity_for_logout<'a>(
        &'a self,
        request: &'a HttpRequest,
        body: Payload,
    ) -> LocalBoxFuture<'a, Result<Identity, Rejection>> {
        Box::pin(self.identify_for_logout(request, body))
    }

    fn step_up_secret<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<RotatedSecret, Problem>> {
        Box::pin(async {
            self.check_that_it_can_sign().await?;
            let secret = LoginSecret::generate();
            Ok(RotatedSecret { new_hash: Some(secret_hash(&secret)), shown: None, secret })
        })
    }

    fn login_ended(&self) -> AuthError {
        AuthError::TokenRevoked
    }

    fn clear_cookies(&self, response: &mut HttpResponse, headers: &HeaderMap) {
        self.clear_token_cookies(response, headers);
    }

    fn introspect<'a>(
        &'a self,
        token: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<IntrospectedToken>, AuthError>> {
        Box::pin(self.describe(token))
    }

    fn published_algorithms(&self) -> Vec<&'static str> {
        self.keys.published_algorithms()
    }

    fn revoke<'a>(
        &'a self,
        token: &'a Credential,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<RevocationOutcome>, AuthError>> {
        Box::pin(self.end_login_of(token, actor))
    }
}
