//! Adapter to actix-session, the prescribed session middleware of this mode: a store that only passes the session id from
//! the handler to the signed cookie.
//!
//! actix-session signs the id and sets the cookie, on the routes that issue an id and on no other. Its own state handling
//! is not used on purpose. That state would be the login record, which handlers change in one statement and the extractor
//! looks up once. actix-session would also load it for requests with a Bearer token, write back a login that a concurrent
//! logout had ended, and change an id in two steps of which only one may succeed. So this store loads and saves nothing.

use std::collections::HashMap;
use std::time::Duration;

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use actix_session::{Session, SessionInsertError};
use actix_web::body::MessageBody;
use actix_web::cookie::time;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};

use crate::auth::max_age;
use crate::http::cookie_header;

use super::SessionMode;

/// The key in actix-session's state under which the handler passes the id for the cookie.
const ID: &str = "id";

type ActixState = HashMap<String, String>;

/// The store for actix-session; it persists nothing.
pub(super) struct ActixHandleStore;

impl SessionStore for ActixHandleStore {
    /// No look-up: the extractor looks the login up, once per request.
    async fn load(&self, _: &SessionKey) -> Result<Option<ActixState>, LoadError> {
        Ok(Some(ActixState::new()))
    }

    async fn save(&self, state: ActixState, _: &time::Duration) -> Result<SessionKey, SaveError> {
        id(&state).map_err(SaveError::Other)
    }

    async fn update(
        &self,
        _: SessionKey,
        state: ActixState,
        _: &time::Duration,
    ) -> Result<SessionKey, UpdateError> {
        id(&state).map_err(UpdateError::Other)
    }

    async fn update_ttl(&self, _: &SessionKey, _: &time::Duration) -> Result<(), anyhow::Error> {
        Ok(())
    }

    /// Nothing to delete: the handler has ended the login or changed its id already.
    async fn delete(&self, _: &SessionKey) -> Result<(), anyhow::Error> {
        Ok(())
    }
}

fn id(state: &ActixState) -> Result<SessionKey, anyhow::Error> {
    let id = state.get(ID).ok_or_else(|| anyhow::anyhow!("no id for the session cookie"))?;
    Ok(serde_json::from_str::<String>(id)?.try_into()?)
}

/// Sets the session cookie of the response. `life` is its `Max-Age`; `None`: until the browser closes.
pub(super) fn set_cookie(
    session: &Session,
    request: &HttpRequest,
    id: &str,
    life: Option<Duration>,
) -> Result<(), SessionInsertError> {
    session.renew();
    session.insert(ID, id)?;
    if let Some(life) = life {
        request.extensions_mut().insert(CookieMaxAge(life));
    }
    Ok(())
}

/// The cookie's `Max-Age`, passed to the middleware: actix-session has one for all cookies, but each login has its own.
struct CookieMaxAge(Duration);

/// Middleware around actix-session: passes only the session cookie to it, unparsed, and sets the new cookie's `Max-Age`.
pub(super) async fn session_cookie_middleware<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let Some(mode) = request.app_data::<web::Data<SessionMode>>().cloned() else {
        return next.call(request).await;
    };
    retain_only_cookie(&mut request, &mode.cookie_name);
    let mut response = next.call(request).await?;
    let life = response.request().extensions_mut().remove::<CookieMaxAge>();
    if let Some(CookieMaxAge(life)) = life {
        let dated = response.headers().get_all(SET_COOKIE).map(|cookie| with_max_age(cookie, life));
        let dated: Vec<HeaderValue> = dated.collect();
        response.headers_mut().remove(SET_COOKIE);
        dated.into_iter().for_each(|cookie| response.headers_mut().append(SET_COOKIE, cookie));
    }
    Ok(response)
}

fn retain_only_cookie(request: &mut ServiceRequest, name: &str) {
    let pairs = cookie_header::all(request.headers(), name).map(|value| format!("{name}={value}"));
    let kept = pairs.collect::<Vec<_>>().join("; ");
    request.headers_mut().remove(COOKIE);
    if let Ok(kept) = HeaderValue::try_from(kept) {
        request.headers_mut().insert(COOKIE, kept);
    }
}

fn with_max_age(cookie: &HeaderValue, life: Duration) -> HeaderValue {
    let dated =
        [cookie.as_bytes(), format!("; Max-Age={}", max_age(life).whole_seconds()).as_bytes()].concat();
    HeaderValue::from_bytes(&dated).unwrap_or_else(|_| cookie.clone())
}
