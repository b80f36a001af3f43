//! The routes below `/session`.

use actix_session::Session;
use actix_web::http::header::{ContentType, HeaderMap};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::{Kind, Trail};
use crate::auth::{
    AuthError, Csrf, CsrfBody, Identity, LoginBody, LoginRequest, Modes, ProfileBody, RegisterRequest,
    Rejection, TokenType, UserBody, warn_of_lost_cookies, within_refresh_limit,
};
use crate::error::{Code, Problem};
use crate::http::body::{AnyJson, Ignored, Json};
use crate::http::client::Client;
use crate::http::cookies;
use crate::logins::{Access, Login, Renewal, Replaced, Transport};

use crate::sign_in::{LoginSpec, SignIn};

use super::credential::may_be_signed_id;
use super::data::{KEY, Key, Put, SessionData};
use super::id::SessionId;
use super::{COOKIE, NAME, SessionMode, store};

/// A session, by the transport that it travels in.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind")]
#[schema(examples(
    json!({
        "kind": "session_cookie",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com",
             "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z"},
        "login": {"id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "session", "transport": "cookie",
              "remember_me": false, "created_at": "2026-11-21T09:31:00.000000Z",
              "idle_expires_at": "2026-11-21T10:01:00.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z"},
        "csrf_token": "0e5RXPYgB0aJQ0K8eF0Yf7sXwD3x0m2E6qFq5t0qZ9k",
    }),
    json!({
        "kind": "session_bearer",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com",
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
        /// Who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `X-CSRF-Token` with every unsafe request.
        csrf_token: String,
    },
    /// The session id is here.
    #[serde(rename = "session_bearer")]
    #[schema(title = "SessionByBearer")]
    Bearer {
        /// Who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `Authorization: Bearer`.
        session_token: String,
        /// How to send it.
        token_type: TokenType,
    },
}

/// Open an account. Signs nobody in.
///
/// It is the same account in every mode.
#[utoipa::path(operation_id = "session_register", tag = "session", request_body = RegisterRequest, responses(
    (status = 201, description = "The new user.", body = UserBody),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/register")]
pub(super) async fn session_register(
    sign_in: Data<SignIn>,
    client: Client,
    Json(body): Json<RegisterRequest>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Created().json(sign_in.register(body, &client, NAME).await?))
}

/// Sign in with a session: by cookie, or by Bearer token.
///
/// By Bearer token with `"transport": "bearer"`.
#[utoipa::path(operation_id = "session_login", tag = "session", request_body = LoginRequest, responses(
    (status = 200, description = "Signed in.", body = SessionBody,
        headers(("Set-Cookie" = String, description = "By cookie: `sessionid`."))),
    (status = 401, description = "invalid_credentials"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/login")]
pub(super) async fn session_login(
    mode: Data<SessionMode>,
    sign_in: Data<SignIn>,
    csrf: Data<Csrf>,
    client: Client,
    session: Session,
    request: HttpRequest,
    Json(body): Json<LoginRequest>,
) -> Result<HttpResponse, Problem> {
    let id = SessionId::generate();
    let transport = body.transport.unwrap_or(Transport::Cookie);
    let old = mode.cookie_id(request.headers()).filter(|_| transport == Transport::Cookie);
    let how = LoginSpec {
        mode: NAME,
        transport,
        access: Access::Handle(id.hash()),
        replaces: old.map(|old| Replaced::Handle(old.hash(), old.generation())),
    };
    let login = sign_in.start(body, client, how).await?;
    warn_of_lost_cookies(transport, request.headers());
    mode.hand_out(login, &id, &csrf, &session, &request)
}

/// Who is signed in.
///
/// Takes a session only. What it says is as of now: roles that were given or taken show at once.
#[utoipa::path(operation_id = "session_profile", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "Who is signed in, and by what.", body = ProfileBody),
    (status = 503, description = "unavailable"),
))]
#[get("/profile")]
pub(super) async fn session_profile(identity: Identity) -> HttpResponse {
    ProfileBody::from(identity).response()
}

/// The CSRF token of the session.
///
/// The same that the login answered with, for a page that was loaded anew.
#[utoipa::path(operation_id = "session_csrf", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The token.", body = CsrfBody),
    (status = 503, description = "unavailable"),
))]
#[get("/csrf")]
pub(super) async fn session_csrf(identity: Identity, csrf: Data<Csrf>) -> HttpResponse {
    HttpResponse::Ok().json(CsrfBody { csrf_token: csrf.token(identity.login_id) })
}

/// Change the session id and start its idle time anew.
///
/// The old id goes on being accepted for a moment, and its refresh gets the same new one: requests of other tabs may be
/// under way.
#[utoipa::path(operation_id = "session_refresh", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The same login under its current session id.", body = SessionBody,
        headers(("Set-Cookie" = String, description = "By cookie: `sessionid`, with the current id."))),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/refresh", wrap = "from_fn(within_refresh_limit)")]
pub(super) async fn session_refresh(
    mode: Data<SessionMode>,
    modes: Data<Modes>,
    csrf: Data<Csrf>,
    session: Session,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
    _: Ignored,
) -> Result<HttpResponse, Problem> {
    if let Err(rejection) = identity {
        return Ok(mode.turn_away(&rejection, request.headers()));
    }
    let shown = mode.id(&modes.credential(request.headers())?).ok_or(AuthError::SessionExpired)?;
    let renewal = mode.logins.renew_handle(&shown.hash(), shown.generation()).await?;
    // What it has come to since it was accepted. The browser may have a newer cookie by now: leave that alone.
    let Renewal::Renewed(login) = renewal else { return Err(AuthError::SessionExpired.into()) };
    let id = shown.at(login.generations.current);
    mode.hand_out(*login, &id, &csrf, &session, &request)
}

/// Sign out: end the login.
///
/// Every id of it, replaced ones included, is dead then, on every node.
#[utoipa::path(operation_id = "session_logout", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "Signed out.",
        headers(("Set-Cookie" = String, description = "By cookie: clears `sessionid`."))),
    (status = 503, description = "unavailable"),
))]
#[post("/logout")]
pub(super) async fn session_logout(
    mode: Data<SessionMode>,
    trail: Data<Trail>,
    client: Client,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
    _: Ignored,
) -> Result<HttpResponse, Problem> {
    let identity = match identity {
        Ok(identity) => identity,
        Err(rejection) => return Ok(mode.turn_away(&rejection, request.headers())),
    };
    if mode.logins.end(identity.login_id).await?.is_none() {
        let problem = AuthError::SessionExpired.into();
        let rejection = Rejection { problem, transport: Some(identity.transport) };
        return Ok(mode.turn_away(&rejection, request.headers()));
    }
    trail.record(identity.did(Kind::Logout, &client));
    Ok(mode.forget_cookie(HttpResponse::NoContent().finish(), Some(identity.transport), request.headers()))
}

/// Sign out everywhere: end every login of the user, in both modes.
///
/// This one is ended, too.
#[utoipa::path(operation_id = "session_logout_all", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "Signed out everywhere.",
        headers(("Set-Cookie" = String, description = "By cookie: clears `sessionid`."))),
    (status = 503, description = "unavailable"),
))]
#[post("/logout-all")]
pub(super) async fn session_logout_all(
    mode: Data<SessionMode>,
    sign_in: Data<SignIn>,
    client: Client,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
    _: Ignored,
) -> Result<HttpResponse, Problem> {
    let identity = match identity {
        Ok(identity) => identity,
        Err(rejection) => return Ok(mode.turn_away(&rejection, request.headers())),
    };
    sign_in.end_all(&identity, &client).await?;
    Ok(mode.forget_cookie(HttpResponse::NoContent().finish(), Some(identity.transport), request.headers()))
}

/// Everything that the session keeps.
///
/// It is kept with the login: another login of the same user has its own.
#[utoipa::path(operation_id = "session_data", tag = "session", security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "An object with a member for each key.", body = Object, example = json!({"theme": "dark", "cart": [7, 9]})),
    (status = 503, description = "unavailable"),
))]
#[get("/data")]
pub(super) async fn session_data(
    identity: Identity,
    data: Data<SessionData>,
) -> Result<HttpResponse, Problem> {
    Ok(json(data.all(identity.login_id).await?))
}

/// What the session keeps under a key.
///
/// The bare value, as it was put.
#[utoipa::path(operation_id = "session_data_get", tag = "session", params(("key" = String, Path, description = KEY, pattern = "^[A-Za-z0-9_.-]{1,64}$", example = "theme")),
    security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The value itself.", body = Value, example = json!("dark")),
    (status = 404, description = "not_found"),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[get("/data/{key}")]
pub(super) async fn session_data_get(
    identity: Identity,
    data: Data<SessionData>,
    key: Key,
) -> Result<HttpResponse, Problem> {
    let value = data.get(identity.login_id, &key).await?;
    let missing = || Problem::new(Code::NotFound, "The session keeps nothing under this key.");
    value.map(json).ok_or_else(missing)
}

/// Keep a value with the session, on the server.
///
/// Whatever was under the key is replaced. All values together have up to 64 KiB.
#[utoipa::path(operation_id = "session_data_put", tag = "session", params(("key" = String, Path, description = KEY, pattern = "^[A-Za-z0-9_.-]{1,64}$", example = "theme")),
    request_body(content = Value, description = "Any JSON value, of 4 KiB at most.", example = json!("dark")),
    security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "It is kept until the login ends."),
    (status = 503, description = "unavailable"),
))]
#[put("/data/{key}")]
pub(super) async fn session_data_put(
    identity: Identity,
    data: Data<SessionData>,
    key: Key,
    AnyJson(value): AnyJson,
) -> Result<HttpResponse, Problem> {
    match data.put(identity.login_id, &key, &value).await? {
        Put::Kept => Ok(HttpResponse::NoContent().finish()),
        Put::TooLarge(what) => Err(Problem::new(Code::PayloadTooLarge, what)),
        Put::Over => Err(AuthError::SessionExpired.into()),
    }
}

/// Have the session forget a key.
///
/// It is no error if there is nothing under it.
#[utoipa::path(operation_id = "session_data_delete", tag = "session", params(("key" = String, Path, description = KEY, pattern = "^[A-Za-z0-9_.-]{1,64}$", example = "theme")),
    security(("bearer" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "It keeps nothing under this key."),
    (status = 422, description = "validation_failed"),
    (status = 503, description = "unavailable"),
))]
#[delete("/data/{key}")]
pub(super) async fn session_data_delete(
    identity: Identity,
    data: Data<SessionData>,
    key: Key,
    _: Ignored,
) -> Result<HttpResponse, Problem> {
    data.delete(identity.login_id, &key).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn json(text: String) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(text)
}

impl SessionMode {
    fn hand_out(
        &self,
        login: Login,
        id: &SessionId,
        csrf: &Csrf,
        session: &Session,
        request: &HttpRequest,
    ) -> Result<HttpResponse, Problem> {
        let body = LoginBody::from(&login);
        let life = login.remember_me.then(|| login.time_left(self.clock.now()));
        let (login_id, transport, user) = (login.id, login.transport, login.user.into());
        let id = self.ids.write(id);
        let response = match transport {
            Transport::Bearer => SessionBody::Bearer {
                user,
                login: body,
                session_token: id.to_string(),
                token_type: TokenType::Bearer,
            },
            Transport::Cookie => {
                store::carry(session, request, &id, life).map_err(Problem::internal)?;
                SessionBody::Cookie { user, login: body, csrf_token: csrf.token(login_id) }
            }
        };
        Ok(HttpResponse::Ok().json(response))
    }

    /// Refuses, and has the browser forget a cookie that is good for nothing any more.
    fn turn_away(&self, rejection: &Rejection, headers: &HeaderMap) -> HttpResponse {
        let is_dead = rejection.problem.code().status() == 401;
        self.forget_cookie(rejection.problem.response(), rejection.transport.filter(|_| is_dead), headers)
    }

    /// Clears the cookie if the credential came in it, but no other service's cookie of the same name. Not by actix-session's `purge()`, which leaves a cookie alone that it
    /// can't read: one that was signed under the secret before.
    fn forget_cookie(
        &self,
        mut response: HttpResponse,
        transport: Option<Transport>,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let is_ours = || cookies::all(headers, &self.cookie_name).all(may_be_signed_id);
        if transport == Some(Transport::Cookie) && is_ours() {
            // An error here means a cookie that could not be written, and the browser keeps a dead one.
            let _ = response.add_cookie(&self.cookies.clear(COOKIE));
        }
        response
    }
}
