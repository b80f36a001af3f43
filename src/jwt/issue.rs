//! Issues and clears the JWT mode's credential: an access and a refresh token, in the body or in cookies.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{LoginBody, LoginSecretBytes, TokenType, UserBody};
use crate::error::Problem;
use crate::http::cookie_header;
use crate::logins::{Login, Transport};

use super::access_token_verification::may_be_access_token;
use super::refresh_token::{RefreshTokenPayload, may_be_refresh_token};
use super::{ACCESS_COOKIE, JwtMode, REFRESH_COOKIE};

/// The response with a pair of tokens, by transport.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind")]
#[schema(examples(
    json!({
        "kind": "jwt_bearer",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com", "email_verified": false,
             "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z"},
        "login": {"id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "jwt", "transport": "bearer",
              "remember_me": false, "created_at": "2026-11-21T09:31:00.000000Z",
              "idle_expires_at": "2026-11-21T10:01:00.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z"},
        "access_token": "eyJ…", "token_type": "Bearer", "expires_in": 900,
        "refresh_token": "dur_…", "refresh_expires_in": 86400,
    }),
    json!({
        "kind": "jwt_cookie",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com", "email_verified": false,
             "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z"},
        "login": {"id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "jwt", "transport": "cookie",
              "remember_me": false, "created_at": "2026-11-21T09:31:00.000000Z",
              "idle_expires_at": "2026-11-21T10:01:00.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z"},
        "csrf_token": "0e5RXPYgB0aJQ0K8eF0Yf7sXwD3x0m2E6qFq5t0qZ9k", "expires_in": 900,
    }),
))]
pub(super) enum JwtBody {
    /// The tokens are in cookies.
    #[serde(rename = "jwt_cookie")]
    #[schema(title = "JwtByCookie")]
    Cookie {
        /// The user who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `X-CSRF-Token` with every unsafe request.
        csrf_token: String,
        /// How long the access token is valid, in seconds.
        expires_in: i64,
    },
    /// The tokens are in the body.
    #[serde(rename = "jwt_bearer")]
    #[schema(title = "JwtByBearer")]
    Bearer {
        /// The user who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `Authorization: Bearer`.
        access_token: String,
        /// The scheme of the access token.
        token_type: TokenType,
        /// How long the access token is valid, in seconds.
        expires_in: i64,
        /// Exchanged for new tokens at `/jwt/refresh`. Store it where no other program can read it.
        refresh_token: String,
        /// The time until the login's absolute end, in seconds.
        refresh_expires_in: u64,
    },
}

impl JwtMode {
    /// The response with a new access token of the login, and its current refresh token.
    pub(super) async fn issue_tokens(
        &self,
        login: Login,
        secret: Option<LoginSecretBytes>,
        transport: Transport,
    ) -> Result<HttpResponse, Problem> {
        let access = self.access_token(&login).await?;
        let refresh = RefreshTokenPayload { login: login.id, generation: login.generations.current, secret };
        let refresh_token = self.refresh_tokens.encode(&refresh);
        let left = login.time_left(self.clock.now());
        let body = LoginBody::from(&login);
        let mut response = HttpResponse::Ok();
        Ok(match transport {
            Transport::Bearer => response.json(JwtBody::Bearer {
                user: login.user.into(),
                login: body,
                access_token: access.token.to_string(),
                token_type: TokenType::Bearer,
                expires_in: access.expires_in,
                refresh_token: refresh_token.to_string(),
                refresh_expires_in: left.as_secs(),
            }),
            Transport::Cookie => {
                let access_life = Duration::from_secs(u64::try_from(access.expires_in).unwrap_or_default());
                let life = |life: Duration| login.remember_me.then_some(life);
                response.cookie(self.cookies.set(ACCESS_COOKIE, &access.token, life(access_life)));
                response.cookie(self.cookies.set(REFRESH_COOKIE, &refresh_token, life(left)));
                response.json(JwtBody::Cookie {
                    csrf_token: self.csrf.token(login.id),
                    user: login.user.into(),
                    login: body,
                    expires_in: access.expires_in,
                })
            }
        })
    }

    /// Clears the cookies, unless their values belong to another service with cookies of the same names.
    pub(super) fn clear_token_cookies(&self, response: &mut HttpResponse, headers: &HeaderMap) {
        let is_ours = |name, may_be: fn(&str) -> bool| cookie_header::all(headers, name).all(may_be);
        for (kind, is_ours) in [
            (ACCESS_COOKIE, is_ours(&self.access_cookie, may_be_access_token)),
            (REFRESH_COOKIE, is_ours(&self.refresh_cookie, may_be_refresh_token)),
        ] {
            if is_ours {
                // An error means that the cookie can't be serialised; then the browser only keeps a useless one.
                let _ = response.add_cookie(&self.cookies.clear(kind));
            }
        }
    }
}
