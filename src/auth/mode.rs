//! The trait of modes. A mode is a kind of credential for logins: how it is issued, authenticated, cleared and
//! revoked.

use std::future::ready;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures_util::future::{BoxFuture, LocalBoxFuture};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::audit::Actor;
use crate::clock::Clock;
use crate::crypto::AppSecret;
use crate::error::Problem;
use crate::http::body::IgnoredBody;
use crate::logins::{Login, LoginCredentialHash, Logins, ReplacedLogin, SecretHash, Transport};

use super::{
    AccessTokenBody, ActiveIntrospectionResponse, AuthError, CookiePolicy, Credential, Csrf, Identity,
    LoginSecretBytes, Rejection, RouteDocumentation,
};

/// A kind of credential for logins.
pub trait Mode: Send + Sync {
    /// Its name: in `auth.mode`, in the row of a login and in the paths of its routes.
    fn name(&self) -> &'static str;

    /// The name of its credential's cookie.
    fn cookie(&self) -> &str;

    /// The transport of its credential, if a sign-in does not choose one.
    fn default_transport(&self) -> Transport;

    /// Why this node can't start logins in this mode at the moment, if so.
    fn unavailable_reason(&self) -> Option<&'static str> {
        None
    }

    /// Registers its own routes below its name, and `issuing`, the common routes that issue a credential. It may wrap
    /// these in middleware.
    fn routes(&self, config: &mut ServiceConfig, issuing: fn(&mut ServiceConfig));

    /// Its part of the OpenAPI documentation of the common routes.
    fn documentation(&self) -> &'static [RouteDocumentation];

    /// The identity of this credential. `None`: it is not of this mode. `Err`: it is of this mode, but not valid.
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<Identity>, AuthError>>;

    /// How requests will identify a login with this secret.
    fn login_credential_hash(&self, secret: &LoginSecretBytes) -> LoginCredentialHash;

    /// The live login of this mode whose cookies came with a request: a new login by cookie replaces it.
    fn login_of_cookies<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Option<ReplacedLogin>, AuthError>>;

    /// The response that issues a login's credential, made of its secret, in the body or in cookies.
    ///
    /// # Errors
    /// `unavailable` when none can be issued at the moment.
    fn issue<'a>(
        &'a self,
        login: Login,
        secret: LoginSecretBytes,
        transport: Transport,
        request: &'a HttpRequest,
    ) -> LocalBoxFuture<'a, Result<HttpResponse, Problem>>;

    /// An access token of a login of whatever mode. `None`: this mode has no access tokens.
    ///
    /// # Errors
    /// `unavailable` when none can be issued at the moment.
    fn sign_access_token<'a>(
        &'a self,
        _login: &'a Login,
    ) -> BoxFuture<'a, Result<Option<AccessTokenBody>, Problem>> {
        Box::pin(ready(Ok(None)))
    }

    /// The secret for the credential that a step-up issues, and facts about the presented one.
    ///
    /// # Errors
    /// `unavailable` when none can be issued at the moment. Checked before anything is replaced.
    fn step_up_secret<'a>(&'a self, shown: &'a Credential) -> BoxFuture<'a, Result<StepUpSecret, Problem>>;

    /// The login whose CSRF token a request may get: the one that it is authenticated for.
    fn login_for_csrf<'a>(
        &'a self,
        presented: Result<Identity, Rejection>,
        _headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Uuid, Problem>> {
        let login = presented.map(|identity| identity.login_id);
        Box::pin(ready(login.map_err(|rejection| rejection.problem)))
    }

    /// The identity to log out, from cookie, header or body. The body is received in any case.
    fn identity_for_logout<'a>(
        &'a self,
        request: &'a HttpRequest,
        mut body: Payload,
    ) -> LocalBoxFuture<'a, Result<Identity, Rejection>> {
        Box::pin(async move {
            let presented = Identity::extract(request).await;
            IgnoredBody::from_request(request, &mut body).await?;
            presented
        })
    }

    /// The error for a credential whose login has ended.
    fn login_ended(&self) -> AuthError;

    /// Clears its cookies, but not other services' cookies with the same names.
    fn clear_cookies(&self, response: &mut HttpResponse, headers: &HeaderMap);

    /// The response to a rejected request. Clears cookies that are no longer valid.
    fn refuse(&self, rejection: &Rejection, headers: &HeaderMap) -> HttpResponse {
        let mut response = rejection.problem.response();
        let is_dead = rejection.problem.code().status() == StatusCode::UNAUTHORIZED;
        if is_dead && rejection.transport == Some(Transport::Cookie) {
            self.clear_cookies(&mut response, headers);
        }
        response
    }

    /// The algorithms with which others can verify its tokens (RFC 7518, section 3.1).
    fn published_algorithms(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Introspects a token (RFC 7662). Like [`Mode::authenticate`], but only for Bearer tokens.
    fn introspect<'a>(
        &'a self,
        token: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<ActiveIntrospectionResponse>, AuthError>>;

    /// Ends the login of an access or refresh token (RFC 7009). `None`: it is not of this mode. `Err`: it is of this
    /// mode, but not valid.
    fn revoke<'a>(
        &'a self,
        token: &'a Credential,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<TokenRevoked>, AuthError>>;
}

/// The secret of a login's credentials after a step-up.
#[derive(Debug)]
pub struct StepUpSecret {
    /// The secret.
    pub secret: LoginSecretBytes,
    /// Its hash, if it has changed.
    pub new_hash: Option<SecretHash>,
    /// The generation of the presented credential, if the credential contains it.
    pub shown: Option<i32>,
}

/// The token was revoked: its login has ended, now or before.
#[derive(Debug)]
pub struct TokenRevoked;

/// The dependencies of a mode.
pub struct ModeContext<'a> {
    /// The logins.
    pub logins: Logins,
    /// The clock.
    pub clock: Clock,
    /// The attributes of its cookies.
    pub cookies: CookiePolicy,
    /// Creates and checks the CSRF tokens of its logins.
    pub csrf: Arc<Csrf>,
    /// The secret from which it derives its keys.
    pub secret: &'a AppSecret,
}
