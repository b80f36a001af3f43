//! WHAT A MODE IS: a way to present a login. How it issues, reads and clears its credential.

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
use crate::logins::{Login, LoginKey, Logins, ReplacedLogin, SecretHash, Transport};

use super::{
    AuthError, CookiePolicy, Credential, Csrf, Identity, IntrospectedToken, LoginSecret, Rejection,
    RouteDocumentation,
};

/// One way to present a login.
pub trait Mode: Send + Sync {
    /// Its name: in `auth.mode`, in the login record and in its routes' paths.
    fn name(&self) -> &'static str;

    /// The cookie that its credential comes in.
    fn cookie(&self) -> &str;

    /// How its credential travels when a login does not say.
    fn default_transport(&self) -> Transport;

    /// What keeps this node from beginning logins in it, if anything does.
    fn trouble(&self) -> Option<&'static str> {
        None
    }

    /// Registers the routes that only it has, below its name, and `issuing`: those that every mode has and that issue a
    /// credential. It may wrap them in what its way to issue needs.
    fn routes(&self, config: &mut ServiceConfig, issuing: fn(&mut ServiceConfig));

    /// What the API's document says of it where it has a part in the routes that every mode has.
    fn documentation(&self) -> &'static [RouteDocumentation];

    /// Who presents this credential. `None`: it is not one of this mode's. `Err`: it is, and it is bad.
    fn authenticate<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<Identity>, AuthError>>;

    /// How requests will find a login whose credentials are made of this secret.
    fn login_key(&self, secret: &LoginSecret) -> LoginKey;

    /// The live login of this mode whose cookies came with a request: a new one by cookie takes its place.
    fn login_of_cookies<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Option<ReplacedLogin>, AuthError>>;

    /// Answers a request with the credential, made of its secret, that presents a login as it is now: in the body, or in
    /// cookies.
    ///
    /// # Errors
    /// `unavailable` when none can be made for now.
    fn issue<'a>(
        &'a self,
        login: Login,
        secret: LoginSecret,
        transport: Transport,
        request: &'a HttpRequest,
    ) -> LocalBoxFuture<'a, Result<HttpResponse, Problem>>;

    /// What the credential that a step-up brings about is made of, and what there is to know of the one that was shown.
    ///
    /// # Errors
    /// `unavailable` when none can be made for now: before anything is replaced.
    fn step_up_secret<'a>(&'a self, shown: &'a Credential) -> BoxFuture<'a, Result<RotatedSecret, Problem>>;

    /// The login whose CSRF token a request may ask for: the one that it presents.
    fn login_for_csrf<'a>(
        &'a self,
        presented: Result<Identity, Rejection>,
        _headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Uuid, Problem>> {
        let login = presented.map(|identity| identity.login_id);
        Box::pin(ready(login.map_err(|rejection| rejection.problem)))
    }

    /// Who signs out by a request: whoever it presents. Its body is read, however little there is to read in it.
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

    /// Why a credential is no good whose login has ended.
    fn login_ended(&self) -> AuthError;

    /// Clears its cookies, but no other service's cookies of the same names.
    fn clear_cookies(&self, response: &mut HttpResponse, headers: &HeaderMap);

    /// Refuses, and has the browser forget cookies that are good for nothing any more.
    fn refuse(&self, rejection: &Rejection, headers: &HeaderMap) -> HttpResponse {
        let mut response = rejection.problem.response();
        let is_dead = rejection.problem.code().status() == StatusCode::UNAUTHORIZED;
        if is_dead && rejection.transport == Some(Transport::Cookie) {
            self.clear_cookies(&mut response, headers);
        }
        response
    }

    /// The algorithms by which others can verify its tokens themselves (RFC 7518, section 3.1).
    fn published_algorithms(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// What another service is told of a token that was sent to it (RFC 7662). Like [`Mode::authenticate`], but of
    /// what travels by Bearer only.
    fn introspect<'a>(
        &'a self,
        token: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<IntrospectedToken>, AuthError>>;

    /// Ends the login behind a token, whether that is one to be shown or one that buys the next (RFC 7009). `None`: it
    /// is not one of this mode's. `Err`: it is, and it is bad.
    fn revoke<'a>(
        &'a self,
        token: &'a Credential,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<RevocationOutcome>, AuthError>>;
}

/// What the credential of a login is made of once it has stepped up.
#[derive(Debug)]
pub struct RotatedSecret {
    /// The secret.
    pub secret: LoginSecret,
    /// Its hash, if it is another than before.
    pub new_hash: Option<SecretHash>,
    /// The generation of the credential that was shown, if that says it.
    pub shown: Option<i32>,
}

/// That a token was revoked: the login behind it has ended, now or before.
#[derive(Debug)]
pub struct RevocationOutcome;

/// What every mode is made from.
pub struct ModeContext<'a> {
    /// The logins that it presents.
    pub logins: Logins,
    /// The time.
    pub clock: Clock,
    /// How its cookies are set.
    pub cookies: CookiePolicy,
    /// Makes and checks the CSRF tokens of its logins.
    pub csrf: Arc<Csrf>,
    /// Its keys are derived from it.
    pub secret: &'a AppSecret,
}
