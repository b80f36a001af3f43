//! The session mode: a request presents an opaque id, and the server looks up the login.
//!
//! `login` starts a login and issues 256 random bits ([`issue`]), of which the database stores a hash. For a cookie,
//! actix-session signs the id and sets it; for Bearer, it is in the body. Each request presents the id ([`credential`]),
//! and the login found by it identifies the user and whether the login is still live. `refresh` issues the next id of the
//! same chain ([`id`]); ids that were replaced within `REFRESH_GRACE` stay valid, and their refresh gets the same new id.
//! `logout` ends the login, which invalidates every id of the chain. Session data on the server is in [`variables`]; the
//! JWT mode has none, since it has no look-up. A session's login may have access tokens ([`token`]), and a JWT's a session ([`open`]).

mod actix_signed_cookie;
mod credential;
mod documentation;
mod id;
mod introspection;
mod issue;
mod open;
mod refresh_and_data_handlers;
mod revocation_by_oauth_client;
mod token;
mod variables;

use std::future::ready;
use std::sync::Arc;

use actix_session::SessionMiddleware;
use actix_session::config::CookieContentSecurity;
use actix_web::cookie::{Key, SameSite};
use actix_web::http::header::HeaderMap;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::{BoxFuture, LocalBoxFuture};
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::audit::Actor;
use crate::auth::{
    ActiveIntrospectionResponse, AuthError, CookiePolicy, CookieSpec, Credential, Csrf, Identity,
    LoginSecretBytes, Mode, ModeContext, RouteDocumentation, StepUpSecret, TokenRevoked,
};
use crate::clock::Clock;
use crate::crypto::{AppSecret, MacKey};
use crate::error::Problem;
use crate::logins::{Login, LoginCredentialHash, Logins, ReplacedLogin, Transport};

use self::actix_signed_cookie::ActixHandleStore;
use self::id::{SessionIdCodec, handle_hash};
pub use self::variables::SessionDataStore;

const NAME: &str = "session";

/// The derivation label of the cookie's signing key, which is the first half of actix-session's key.
const COOKIE_SIGNING_LABEL: &str = "dualauth session cookie v1";

/// The cookie of the session id.
pub const COOKIE: CookieSpec = CookieSpec { name: "sessionid", path: "/", same_site: SameSite::Lax };

/// The session mode.
#[derive(Clone)]
pub struct SessionMode {
    logins: Logins,
    clock: Clock,
    cookies: CookiePolicy,
    cookie_name: String,
    csrf: Arc<Csrf>,
    /// The key with which actix-session signs the cookie.
    key: Key,
    /// The same signing key, for verification.
    mac: Arc<MacKey>,
    ids: Arc<SessionIdCodec>,
}

impl SessionMode {
    /// The mode over the logins of `context`.
    pub fn new(context: &ModeContext<'_>) -> Self {
        Self {
            logins: context.logins.clone(),
            clock: context.clock.clone(),
            cookies: context.cookies.clone(),
            cookie_name: context.cookies.name(COOKIE),
            csrf: Arc::clone(&context.csrf),
            key: signing_key(context.secret),
            mac: Arc::new(MacKey::derive(context.secret, COOKIE_SIGNING_LABEL)),
            ids: Arc::new(SessionIdCodec::new(context.secret)),
        }
    }

    fn middleware(&self) -> SessionMiddleware<ActixHandleStore> {
        SessionMiddleware::builder(ActixHandleStore, self.key.clone())
            .cookie_name(self.cookie_name.clone())
            .cookie_path(COOKIE.path.to_owned())
            .cookie_same_site(COOKIE.same_site)
            .cookie_secure(self.cookies.secure)
            .cookie_domain(self.cookies.domain.clone())
            .cookie_http_only(true)
            .cookie_content_security(CookieContentSecurity::Signed)
            .build()
    }
}

/// actix-session's key, of which only the half that signs is used.
fn signing_key(secret: &AppSecret) -> Key {
    let halves = [COOKIE_SIGNING_LABEL, "dualauth session cookie v1, encryption"];
    Key::from(&halves.map(|purpose| *secret.derive(purpose)).concat())
}

impl Mode for SessionMode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cookie(&self) -> &str {
        &self.cookie_name
    }

    fn default_transport(&self) -> Transport {
        Transport::Cookie
    }

    fn routes(&self, config: &mut ServiceConfig, credential_routes: fn(&mut ServiceConfig)) {
        config
            .app_data(web::Data::new(self.clone()))
            .service(token::session_token)
            .service(refresh_and_data_handlers::session_data)
            .service(refresh_and_data_handlers::session_data_get)
            .service(refresh_and_data_handlers::session_data_put)
            .service(refresh_and_data_handlers::session_data_delete)
            .service(
                // Last, because this scope matches every path.
                scope("")
                    .wrap(self.middleware())
                    .wrap(from_fn(actix_signed_cookie::session_cookie_middleware))
                    .configure(credential_routes)
                    .service(refresh_and_data_handlers::session_refresh)
                    .service(open::session_open),
            );
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
        LoginCredentialHash::Handle(handle_hash(secret))
    }

    fn login_of_cookies<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> BoxFuture<'a, Result<Option<ReplacedLogin>, AuthError>> {
        let id = self.cookie_id(headers);
        Box::pin(ready(Ok(id.map(|id| ReplacedLogin::Handle(id.hash(), id.generation())))))
    }

    fn issue<'a>(
        &'a self,
        login: Login,
        secret: LoginSecretBytes,
        transport: Transport,
        request: &'a HttpRequest,
    ) -> LocalBoxFuture<'a, Result<HttpResponse, Problem>> {
        Box::pin(ready(self.issue_id(login, secret, transport, request)))
    }

    fn step_up_secret<'a>(&'a self, shown: &'a Credential) -> BoxFuture<'a, Result<StepUpSecret, Problem>> {
        // The next id of the same chain, not a new secret: a client that still presents a replaced id is then recognised.
        let secret = self.decode_id(shown).map(|id| StepUpSecret {
            shown: Some(id.generation()),
            new_hash: None,
            secret: id.into_secret(),
        });
        Box::pin(ready(secret.ok_or_else(|| AuthError::SessionExpired.into())))
    }

    fn login_ended(&self) -> AuthError {
        AuthError::SessionExpired
    }

    fn clear_cookies(&self, response: &mut HttpResponse, headers: &HeaderMap) {
        self.clear_cookie(response, headers);
    }

    fn introspect<'a>(
        &'a self,
        token: &'a Credential,
    ) -> BoxFuture<'a, Result<Option<ActiveIntrospectionResponse>, AuthError>> {
        Box::pin(self.describe(token))
    }

    fn revoke<'a>(
        &'a self,
        token: &'a Credential,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<TokenRevoked>, AuthError>> {
        Box::pin(self.end_login_of(token, actor))
    }
}
