//! The session middleware is actix-session, as is prescribed for this mode; here is what it is reduced to: it signs the
//! session id and sets the cookie, on the routes that issue an id and on no other. The rest of its work stays undone on
//! purpose. Its state would be the login record, which the handlers change in one statement and the extractor looks
//! up once. Left to itself it would read its store for requests that present a Bearer token as well, write back what a
//! logout had ended meanwhile, and change an id in two steps that can part. So this store loads and saves nothing: it
//! hands the id from the handler to the cookie.

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

/// Where in actix-session's state the handler leaves the id that the cookie is to carry.
const ID: &str = "id";

type ActixState = HashMap<String, String>;

/// What actix-session keeps its state in: nothing but the id on its way from the handler to the cookie.
pub(super) struct ActixHandleStore;

impl SessionStore for ActixHandleStore {
    /// No look-up: who presents an id is the extractor's to find out, once.
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

    /// The handler has ended the login, or changed its id.
    async fn delete(&self, _: &SessionKey) -> Result<(), anyhow::Error> {
        Ok(())
    }
}

fn id(state: &ActixState) -> Result<SessionKey, anyhow::Error> {
    let id = state.get(ID).ok_or_else(|| anyhow::anyhow!("no id for the session cookie"))?;
    Ok(serde_json::from_str::<String>(id)?.try_into()?)
}

/// Has the response's cookie carry this id, for so long, or until the browser closes.
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

/// How long the cookie lives. actix-session knows one time for all; a login has its own.
struct CookieMaxAge(Duration);

/// Shows actix-session the session cookie and no other, as its bytes are, and gives the new one its login's life.
pub(super) async fn one_cookie<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let Some(mode) = request.app_data::<web::Data<SessionMode>>().cloned() else {
        return next.call(request).await;
    };
    keep_only(&mut request, &mode.cookie_name);
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

fn keep_only(request: &mut ServiceRequest, name: &str) {
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
