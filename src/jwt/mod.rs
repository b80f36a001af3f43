//! The JWT mode: a request presents a signed snapshot of the login, and the server verifies the signature.
//!
//! `login` starts a login and issues an access token of a few minutes ([`access_token_issuance`]), signed with the current key ([`keys`]). Requests
//! are authenticated by its claims, without a look-up ([`access_token_verification`], [`verified`]); the node knows from the revocation
//! feed whether the login has ended. The refresh token ([`refresh_token`]) is the login's id, a generation and a secret of
//! the login under a MAC: `refresh` increments the generation and issues new tokens ([`mod@refresh`], [`issue`]).
//! `logout` ends the login, which revokes its access tokens.

mod access_token_issuance;
mod access_token_verification;
mod claims;
mod documentation;
mod introspection;
mod issue;
mod keys;
mod refresh;
mod refresh_and_jwks_handlers;
mod refresh_token;
mod revocation_by_oauth_client;
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
    AccessTokenBody, ActiveIntrospectionResponse, Audience, AuthError, CookiePolicy, CookieSpec, Credential,
    Csrf, Identity, LoginSecretBytes, Mode, ModeContext, Rejection, RouteDocumentation, StepUpSecret,
    TokenRevoked, TokenType,
};
use crate::clock::Clock;
use crate::error::Problem;
use crate::logins::{Login, LoginCredentialHash, Logins, ReplacedLogin, Transport};

use self::access_token_issuance::SignedAccessToken;
pub use self::keys::{
    JWKS_MAX_AGE, KeyError, KeyState, Keys, KeysError, ListedKey, Rotated, StartupKeyChange,
};
use self::refresh_token::{RefreshTokenCodec, secret_hash};
use self::verified::VerifiedTokens;

const NAME: &str = "jwt";

/// The cookie of the access token.
pub const ACCESS_COOKIE: CookieSpec =
    CookieSpec { name: "access_token", path: "/", same_site: SameSite::Lax };

/// The cookie of the refresh token.
pub const REFRESH_COOKIE: CookieSpec =
    CookieSpec { name: "refresh_token", path: "/jwt", same_site: SameSite::Strict };

/// The issuer, audience and client of access tokens (RFC 7519, sections 4.1.1 and 4.1.3).
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
    /// Cache of verified tokens. `None`: every request verifies the signature.
    verified_tokens: Option<Arc<VerifiedTokens>>,
    refresh_tokens: Arc<RefreshTokenCodec>,
}

impl JwtMode {
    /// The mode over the logins of `context`, signing with `keys`. `cache_size` is the number of verified tokens to cache;
    /// `None`: no cache.
    pub fn new(
        context: &ModeContext<'_>,
        issuer_audience: IssuerAudience,
        keys: Keys,
        cache_size: Option<usize>,
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
            verified_tokens: cache_size.map(|size| Arc::new(VerifiedTokens::new(size))),
            refresh_tokens: Arc::new(RefreshTokenCodec::new(context.secret)),
        }
    }
}

/// Registers the routes of this mode at well-known URIs (RFC 8615): `jwks.json`.
pub fn well_known_routes(config: &mut ServiceConfig) {
    config.service(refresh_and_jwks_handlers::jwks);
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

    fn routes(&self, config: &mut ServiceConfig, credential_routes: fn(&mut ServiceConfig)) {
        config
            .app_data(web::Data::new(self.clone()))
            .service(refresh_and_jwks_handlers::jwt_refresh)
            .configure(credential_routes);
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

    fn login_credential_hash(&self, secret: &LoginSecretBytes) -> LoginCredentialHash {
        LoginCredentialHash::Token(secret_hash(secret))
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
        secret: LoginSecretBytes,
        transport: Transport,
        _: &'a HttpRequest,
    ) -> LocalBoxFuture<'a, Result<HttpResponse, Problem>> {
        Box::pin(self.issue_tokens(login, Some(secret), transport))
    }

    fn sign_access_token<'a>(
        &'a self,
        login: &'a Login,
    ) -> BoxFuture<'a, Result<Option<AccessTokenBody>, Problem>> {
        Box::pin(async {
            let SignedAccessToken { token, expires_in } = self.access_token(login).await?;
            let access_token = token.to_string();
            Ok(Some(AccessTokenBody { access_token, token_type: TokenType::Bearer, expires_in }))
        })
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

    fn step_up_secret<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<StepUpSecret, Problem>> {
        Box::pin(async {
            self.ensure_can_sign().await?;
            let secret = LoginSecretBytes::generate();
            Ok(StepUpSecret { new_hash: Some(secret_hash(&secret)), shown: None, secret })
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
    ) -> BoxFuture<'a, Result<Option<ActiveIntrospectionResponse>, AuthError>> {
        Box::pin(self.describe(token))
    }

    fn published_algorithms(&self) -> Vec<&'static str> {
        self.keys.published_algorithms()
    }

    fn revoke<'a>(
        &'a self,
        token: &'a Credential,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<TokenRevoked>, AuthError>> {
        Box::pin(self.end_login_of(token, actor))
    }
}
