//! Issues and clears the session credential: the session id, in the body or in a cookie.

use actix_session::SessionExt;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{LoginBody, LoginSecretBytes, TokenType, UserBody};
use crate::error::Problem;
use crate::http::cookie_header;
use crate::logins::{Login, Transport};

use super::credential::may_be_signed_id;
use super::id::SessionId;
use super::{COOKIE, SessionMode, actix_signed_cookie};

/// The response with a session, by transport.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind")]
#[schema(examples(
    json!({
        "kind": "session_cookie",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com", "email_verified": false,
             "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z"},
        "login": {"id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "session", "transport": "cookie",
              "remember_me": false, "created_at": "2026-11-21T09:31:00.000000Z",
              "idle_expires_at": "2026-11-21T10:01:00.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z"},
        "csrf_token": "0e5RXPYgB0aJQ0K8eF0Yf7sXwD3x0m2E6qFq5t0qZ9k",
    }),
    json!({
        "kind": "session_bearer",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com", "email_verified": false,
             "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z"},
        "login": {"id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "session", "transport": "bearer",
              "remember_me": false, "created_at": "2026-11-21T09:31:00.000000Z",
              "idle_expires_at": "2026-11-21T10:01:00.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z"},
        "session_token": "dus_…", "token_type": "Bearer",
    }),
))]
pub(super) enum SessionBody {
    /// The session id is in the cookie.
    #[serde(rename = "session_cookie")]
    #[schema(title = "SessionByCookie")]
    Cookie {
        /// The user who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `X-CSRF-Token` with every unsafe request.
        csrf_token: String,
    },
    /// The session id is in the body.
    #[serde(rename = "session_bearer")]
    #[schema(title = "SessionByBearer")]
    Bearer {
        /// The user who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `Authorization: Bearer`.
        session_token: String,
        /// The scheme of the session token.
        token_type: TokenType,
    },
}

impl SessionMode {
    /// The response with the current session id of a login. `secret` is the login's.
    pub(super) fn issue_id(
        &self,
        login: Login,
        secret: LoginSecretBytes,
        transport: Transport,
        request: &HttpRequest,
    ) -> Result<HttpResponse, Problem> {
        let id = self.ids.encode(&SessionId::new(secret, login.generations.current));
        let body = LoginBody::from(&login);
        let life = login.remember_me.then(|| login.time_left(self.clock.now()));
        let (login_id, user) = (login.id, login.user.into());
        let response = match transport {
            Transport::Bearer => SessionBody::Bearer {
                user,
                login: body,
                session_token: id.to_string(),
                token_type: TokenType::Bearer,
            },
            Transport::Cookie => {
                actix_signed_cookie::set_cookie(&request.get_session(), request, &id, life)
                    .map_err(Problem::internal)?;
                SessionBody::Cookie { user, login: body, csrf_token: self.csrf.token(login_id) }
            }
        };
        Ok(HttpResponse::Ok().json(response))
    }

    /// Clears the cookie, unless its value belongs to another service with a cookie of the same name. Not by actix-session's
    /// `purge()`, which ignores cookies that it can't verify, such as those signed under an earlier secret.
    pub(super) fn clear_cookie(&self, response: &mut HttpResponse, headers: &HeaderMap) {
        if cookie_header::all(headers, &self.cookie_name).all(may_be_signed_id) {
            // An error means that the cookie can't be serialised; then the browser only keeps a useless one.
            let _ = response.add_cookie(&self.cookies.clear(COOKIE));
        }
    }
}
