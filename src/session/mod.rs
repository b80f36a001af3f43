//! Sessions: present an opaque id, and the server looks the login up.
//!
//! The story: `login` begins a login and hands out 256 random bits, of which the database keeps a hash. By cookie,
//! actix-session signs the id and sets it; by Bearer, it is in the body. Each request shows the id
//! ([`credential`]), and the login that it stands for says who is asking and whether that still holds. `refresh`
//! hands out the next id of the same chain ([`id`]); those that were replaced within `REFRESH_GRACE` stay good, and
//! their refresh gets the same one. `logout` ends the login: no id of the chain stands for anything from then on. What a
//! session keeps on the server is in [`data`]: a mode without a look-up has no place for it.

mod actix_store;
mod credential;
mod data;
mod handlers;
mod id;
mod introspection;

use std::sync::Arc;

use actix_session::SessionMiddleware;
use actix_session::config::CookieContentSecurity;
use actix_web::cookie::{Key, SameSite};
use actix_web::middleware::from_fn;
use actix_web::web;
use futures_util::future::BoxFuture;
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::auth::{AuthError, CookieKind, CookiePolicy, Credential, Identity, Mode, Revoked, TokenBody};
use crate::clock::Clock;
use crate::logins::Logins;
use crate::tokens::{AppSecret, MacKey};

use self::actix_store::IdStore;
pub use self::data::SessionData;
use self::id::SessionIds;

const NAME: &str = "session";

/// What the cookie is signed for: the first half of actix-session's key is the one that signs.
const SIGNING: &str = "dualauth session cookie v1";

/// The cookie that a session travels in.
pub const COOKIE: CookieKind = CookieKind { name: "sessionid", path: "/", same_site: SameSite::Lax };

/// The session mode.
#[derive(Clone)]
pub struct SessionMode {
    logins: Logins,
    clock: Clock,
    cookies: CookiePolicy,
    cookie_name: String,
    /// What actix-session signs the cookie with.
    key: Key,
    /// The same, to check it with.
    mac: Arc<MacKey>,
    ids: Arc<SessionIds>,
}

impl SessionMode {
    /// Over these logins.
    pub fn new(logins: Logins, clock: Clock, cookies: CookiePolicy, secret: &AppSecret) -> Self {
        let key = signing_key(secret);
        let mac = Arc::new(MacKey::derive(secret, SIGNING));
        let ids = Arc::new(SessionIds::new(secret));
        Self { logins, clock, cookie_name: cookies.name(COOKIE), cookies, key, mac, ids }
    }

    fn middleware(&self) -> SessionMiddleware<IdStore> {
        SessionMiddleware::builder(IdStore, self.key.clone())
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
    let halves = [SIGNING, "dualauth session cookie v1, encryption"];
    Key::from(&halves.map(|purpose| *secret.derive(purpose)).concat())
}

impl Mode for SessionMode {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cookie(&self) -> &str {
        &self.cookie_name
    }

    fn routes(&self, config: &mut ServiceConfig) {
        config
            .app_data(web::Data::new(self.clone()))
            .service(handlers::session_register)
            .service(handlers::session_profile)
            .service(handlers::session_csrf)
            .service(handlers::session_data)
            .service(handlers::session_data_get)
            .service(handlers::session_data_put)
            .service(handlers::session_data_delete)
            .service(
                // The routes that change the cookie.
                scope("")
                    .wrap(self.middleware())
                    .wrap(from_fn(actix_store::one_cookie))
                    .service(handlers::session_login)
                    .service(handlers::session_refresh)
                    .service(handlers::session_logout)
                    .service(handlers::session_logout_all),
            );
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

    fn revoke<'a>(&'a self, token: &'a Credential) -> BoxFuture<'a, Result<Option<Revoked>, AuthError>> {
        Box::pin(self.end_login_of(token))
    }
}
