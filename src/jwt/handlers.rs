//! The routes below `/jwt`.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderMap};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, post};
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::{Kind, Trail};
use crate::auth::{
    AuthError, Credential, Csrf, CsrfBody, Identity, LoginBody, LoginRequest, ProfileBody, RefreshRequest,
    RegisterRequest, Rejection, TokenType, UserBody, pick, warn_of_lost_cookies, within_refresh_limit,
};
use crate::error::{Code, Problem};
use crate::http::body::{Json, OptionalJson};
use crate::http::client::Client;
use crate::http::cookies;
use crate::logins::{Access, Login, Renewal, Replaced, Transport};
use crate::sign_in::{LoginSpec, SignIn};
use crate::telemetry::{self, Who};

use super::credential::{Refresh, Secret, may_be_access_token, may_be_refresh_token};
use super::{ACCESS_COOKIE, JWKS_MAX_AGE, JwtMode, Keys, NAME, REFRESH_COOKIE};

/// A pair of tokens, by the transport that they travel in.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind")]
#[schema(examples(
    json!({
        "kind": "jwt_bearer",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com",
             "roles": ["user"], "created_at": "2026-11-21T09:30:00.000000Z"},
        "login": {"id": "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e", "mode": "jwt", "transport": "bearer",
              "remember_me": false, "created_at": "2026-11-21T09:31:00.000000Z",
              "idle_expires_at": "2026-11-21T10:01:00.000000Z", "expires_at": "2026-11-22T09:31:00.000000Z"},
        "access_token": "eyJ…", "token_type": "Bearer", "expires_in": 900,
        "refresh_token": "dur_…", "refresh_expires_in": 86400,
    }),
    json!({
        "kind": "jwt_cookie",
        "user": {"user_id": "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e", "username": "ada", "email": "ada@example.com",
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
        /// Who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `X-CSRF-Token` with every unsafe request.
        csrf_token: String,
        /// How long the access token is valid, in seconds.
        expires_in: i64,
    },
    /// The tokens are here.
    #[serde(rename = "jwt_bearer")]
    #[schema(title = "JwtByBearer")]
    Bearer {
        /// Who signed in.
        user: UserBody,
        /// The login.
        login: LoginBody,
        /// To be sent as `Authorization: Bearer`.
        access_token: String,
        /// How to send it.
        token_type: TokenType,
        /// How long it is valid, in seconds.
        expires_in: i64,
        /// Buys the next pair. Keep it where no other program can read it.
        refresh_token: String,
        /// How long until the login's absolute end, in seconds.
        refresh_expires_in: u64,
    },
}

/// Open an account. Signs nobody in.
///
/// It is the same account in every mode.
#[utoipa::path(operation_id = "jwt_register", tag = "jwt", request_body = RegisterRequest, responses(
    (status = 201, description = "The new user.", body = UserBody),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/register")]
pub(super) async fn jwt_register(
    sign_in: Data<SignIn>,
    client: Client,
    Json(body): Json<RegisterRequest>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Created().json(sign_in.register(body, &client, NAME).await?))
}

/// Sign in with JWTs: by Bearer token, or by cookie.
///
/// By cookie with `"transport": "cookie"`.
#[utoipa::path(operation_id = "jwt_login", tag = "jwt", request_body = LoginRequest, responses(
    (status = 200, description = "Signed in.", body = JwtBody,
        headers(("Set-Cookie" = String, description = "By cookie: `access_token` and `refresh_token`."))),
    (status = 401, description = "invalid_credentials"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/login")]
pub(super) async fn jwt_login(
    mode: Data<JwtMode>,
    sign_in: Data<SignIn>,
    csrf: Data<Csrf>,
    client: Client,
    request: HttpRequest,
    Json(body): Json<LoginRequest>,
) -> Result<HttpResponse, Problem> {
    let transport = body.transport.unwrap_or(Transport::Bearer);
    let replaces = match transport {
        Transport::Cookie => mode.login_of_cookies(request.headers()).await?,
        Transport::Bearer => None,
    };
    let secret = Secret::generate();
    let how = LoginSpec { mode: NAME, transport, access: Access::Token(secret.hash()), replaces };
    let login = sign_in.start(body, client, how).await?;
    warn_of_lost_cookies(transport, request.headers());
    mode.hand_out(login, Some(secret), transport, &csrf).await
}

/// Who is signed in, as the access token says: no look-up.
///
/// Takes an access token only. A token with roles that have changed since is refused; a refresh brings the new ones.
#[utoipa::path(operation_id = "jwt_profile", tag = "jwt", security(("bearer" = []), ("access_token_cookie" = [])), responses(
    (status = 200, description = "Who is signed in, and by what.", body = ProfileBody),
))]
#[get("/profile")]
pub(super) async fn jwt_profile(identity: Identity) -> HttpResponse {
    ProfileBody::from(identity).response()
}

/// The CSRF token of the login.
///
/// The same that the login answered with, for a page that was loaded anew. The refresh token's cookie will do when the
/// access token has run out.
#[utoipa::path(operation_id = "jwt_csrf", tag = "jwt", security(("bearer" = []), ("access_token_cookie" = []), ("refresh_token_cookie" = [])), responses(
    (status = 200, description = "The token.", body = CsrfBody),
    (status = 503, description = "unavailable"),
))]
#[get("/csrf")]
pub(super) async fn jwt_csrf(
    mode: Data<JwtMode>,
    csrf: Data<Csrf>,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
) -> Result<HttpResponse, Problem> {
    let login_id = match identity {
        Ok(identity) => identity.login_id,
        // A page that was loaded anew after the access token ran out has to refresh, and for that it needs this.
        Err(rejection) if may_refresh(&rejection) => {
            mode.login_of_refresh_cookie(request.headers()).await?.ok_or(rejection.problem)?
        }
        Err(rejection) => return Err(rejection.problem),
    };
    Ok(HttpResponse::Ok().json(CsrfBody { csrf_token: csrf.token(login_id) }))
}

/// Trade the refresh token, from the body or its cookie, for new tokens.
///
/// Every refresh token that was replaced within `REFRESH_GRACE` gets the current one: tabs may refresh at once, and an
/// answer may get lost. An older one ends the login.
#[utoipa::path(operation_id = "jwt_refresh", tag = "jwt",
    security((), ("refresh_token_cookie" = [])), request_body = Option<RefreshRequest>, responses(
    (status = 200, description = "The same login with new tokens.", body = JwtBody,
        headers(("Set-Cookie" = String, description = "By cookie: `access_token` and `refresh_token`."))),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/refresh", wrap = "from_fn(within_refresh_limit)")]
pub(super) async fn jwt_refresh(
    mode: Data<JwtMode>,
    csrf: Data<Csrf>,
    trail: Data<Trail>,
    request: HttpRequest,
    OptionalJson(body): OptionalJson<RefreshRequest>,
) -> Result<HttpResponse, Problem> {
    let Some(presented) = mode.refresh_credential(body, request.headers())? else {
        return Err(AuthError::NotAuthenticated.into());
    };
    // Before the token is used: nobody is to lose it for an answer that can't be given.
    mode.check_that_it_can_sign().await?;
    let visit = Visit::new(&csrf, &trail, &request);
    match mode.renew(&presented, &visit).await {
        Ok((login, secret)) => mode.hand_out(login, secret, presented.transport, &csrf).await,
        Err(error) => Ok(mode.turn_away(&error.into(), Some(presented.transport), visit.headers)),
    }
}

/// Sign out: end the login, and with it every access token of it.
///
/// Takes the access token or, when there is none or it has expired, the refresh token from the body or its cookie.
#[utoipa::path(operation_id = "jwt_logout", tag = "jwt",
    security((), ("bearer" = []), ("access_token_cookie" = []),
        ("refresh_token_cookie" = [])), request_body = Option<RefreshRequest>, responses(
    (status = 204, description = "Signed out.",
        headers(("Set-Cookie" = String, description = "By cookie: clears `access_token` and `refresh_token`."))),
    (status = 503, description = "unavailable"),
))]
#[post("/logout")]
pub(super) async fn jwt_logout(
    mode: Data<JwtMode>,
    csrf: Data<Csrf>,
    trail: Data<Trail>,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
    OptionalJson(body): OptionalJson<RefreshRequest>,
) -> Result<HttpResponse, Problem> {
    let visit = Visit::new(&csrf, &trail, &request);
    let leaving = match mode.leaving(identity, body, &visit).await {
        Ok(leaving) => leaving,
        Err(rejection) => return Ok(mode.turn_away(&rejection.problem, rejection.transport, visit.headers)),
    };
    if let Err(error) = mode.end(leaving.login_id).await {
        return Ok(mode.turn_away(&error.into(), Some(leaving.transport), visit.headers));
    }
    trail.record(leaving.did(Kind::Logout, &visit.client));
    Ok(mode.forget_cookies(HttpResponse::NoContent().finish(), Some(leaving.transport), visit.headers))
}

/// Sign out everywhere: end every login of the user, in both modes.
///
/// Takes the same credentials as signing out here.
#[utoipa::path(operation_id = "jwt_logout_all", tag = "jwt",
    security((), ("bearer" = []), ("access_token_cookie" = []),
        ("refresh_token_cookie" = [])), request_body = Option<RefreshRequest>, responses(
    (status = 204, description = "Signed out everywhere.",
        headers(("Set-Cookie" = String, description = "By cookie: clears `access_token` and `refresh_token`."))),
    (status = 503, description = "unavailable"),
))]
#[post("/logout-all")]
pub(super) async fn jwt_logout_all(
    mode: Data<JwtMode>,
    sign_in: Data<SignIn>,
    csrf: Data<Csrf>,
    trail: Data<Trail>,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
    OptionalJson(body): OptionalJson<RefreshRequest>,
) -> Result<HttpResponse, Problem> {
    let visit = Visit::new(&csrf, &trail, &request);
    let leaving = match mode.leaving(identity, body, &visit).await {
        Ok(leaving) => leaving,
        Err(rejection) => return Ok(mode.turn_away(&rejection.problem, rejection.transport, visit.headers)),
    };
    sign_in.end_all(&leaving, &visit.client).await?;
    Ok(mode.forget_cookies(HttpResponse::NoContent().finish(), Some(leaving.transport), visit.headers))
}

/// The public keys that access tokens are verified with elsewhere.
///
/// The one that signs, the next one, and those that signed before for as long as a token of theirs may be about. A
/// token names its key in `kid`. With HS256 there are none: who could verify could sign.
#[utoipa::path(operation_id = "jwks", tag = "oauth", responses(
    (status = 200, description = "A JWK set (RFC 7517, section 5).",
        headers(("Cache-Control" = String, description = "It may be remembered for five minutes.")),
        body = Object, content_type = "application/json", example = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig",
            "alg": "EdDSA", "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}]})),
))]
#[get("/.well-known/jwks.json")]
pub(super) async fn jwks(keys: Data<Keys>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, format!("public, max-age={}", JWKS_MAX_AGE.as_secs())))
        .json(keys.public())
}

/// A request that may show a refresh token: what proves that it means to, and who is told when the token turns out to
/// be used again.
struct Visit<'a> {
    csrf: &'a Csrf,
    headers: &'a HeaderMap,
    trail: &'a Trail,
    client: Client,
}

impl<'a> Visit<'a> {
    fn new(csrf: &'a Csrf, trail: &'a Trail, request: &'a HttpRequest) -> Self {
        Self { csrf, headers: request.headers(), trail, client: Client::of(request) }
    }

    fn outcome(&self, renewal: Renewal) -> Result<Login, AuthError> {
        if let Renewal::Reused(Some(ended)) = &renewal {
            self.trail.record(ended.entry(Kind::RefreshTokenReused, self.client.origin()));
        }
        outcome(renewal)
    }
}

/// Whether the refresh token is looked at in the access token's place.
fn may_refresh(rejection: &Rejection) -> bool {
    matches!(rejection.problem.code(), Code::NotAuthenticated | Code::TokenExpired)
}

impl JwtMode {
    async fn hand_out(
        &self,
        login: Login,
        secret: Option<Secret>,
        transport: Transport,
        csrf: &Csrf,
    ) -> Result<HttpResponse, Problem> {
        let access = self.access_token(&login).await?;
        let refresh = Refresh { login: login.id, generation: login.generations.current, secret };
        let refresh_token = self.refresh_tokens.issue(&refresh);
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
                    csrf_token: csrf.token(login.id),
                    user: login.user.into(),
                    login: body,
                    expires_in: access.expires_in,
                })
            }
        })
    }

    /// The refresh token in the body, or else in its cookie, which is not looked at when there is one in the body.
    fn refresh_credential(
        &self,
        body: Option<RefreshRequest>,
        headers: &HeaderMap,
    ) -> Result<Option<Credential>, AuthError> {
        match body.and_then(|body| body.refresh_token) {
            Some(token) => {
                let token = Zeroizing::new(token.expose_secret().to_owned());
                Ok(Some(Credential { token, transport: Transport::Bearer }))
            }
            None => pick(headers, &self.refresh_cookie),
        }
    }

    /// The login, and the secret that its refresh tokens have in them.
    async fn renew(
        &self,
        presented: &Credential,
        visit: &Visit<'_>,
    ) -> Result<(Login, Option<Secret>), AuthError> {
        let refresh = self.meant(presented, visit).await?;
        let login = note(visit.outcome(self.logins.renew(&refresh.claimed()).await?))?;
        Ok((login, refresh.secret))
    }

    /// Who signs out, by the access token or, when there is none or it has expired, by the refresh token.
    async fn leaving(
        &self,
        identity: Result<Identity, Rejection>,
        body: Option<RefreshRequest>,
        visit: &Visit<'_>,
    ) -> Result<Identity, Rejection> {
        let rejection = match identity {
            Ok(identity) => return Ok(identity),
            Err(rejection) if !may_refresh(&rejection) => return Err(rejection),
            Err(rejection) => rejection,
        };
        let reject = |error: AuthError, transport| Rejection { problem: error.into(), transport };
        let presented = self.refresh_credential(body, visit.headers).map_err(|error| reject(error, None))?;
        let Some(presented) = presented else { return Err(rejection) };
        let transport = presented.transport;
        let login = self.login_of_refresh_token(&presented, visit).await;
        let login = login.map_err(|error| reject(error, Some(transport)))?;
        Ok(Identity {
            user_id: login.user.id,
            login_id: login.id,
            authentication: login.authentication,
            mode: NAME,
            transport,
            expires_at: login.ends_at(),
            username: login.user.username,
            roles: login.user.roles,
        })
    }

    async fn login_of_refresh_token(
        &self,
        presented: &Credential,
        visit: &Visit<'_>,
    ) -> Result<Login, AuthError> {
        let refresh = self.meant(presented, visit).await?;
        note(visit.outcome(self.logins.check(&refresh.claimed()).await?))
    }

    async fn end(&self, login: Uuid) -> Result<(), AuthError> {
        self.logins.end(login).await?.map(drop).ok_or(AuthError::TokenRevoked)
    }

    /// What a refresh token stands for; one that came by cookie must be shown to be meant. No such proof is asked
    /// of a token that is good for nothing any more: whoever holds that is to be told so.
    async fn meant(&self, presented: &Credential, visit: &Visit<'_>) -> Result<Refresh, AuthError> {
        let refresh = self.refresh_tokens.read(&presented.token).ok_or(AuthError::InvalidToken)?;
        let proof = match presented.transport {
            Transport::Cookie => visit.csrf.check(refresh.login, visit.headers),
            Transport::Bearer => Ok(()),
        };
        if let Err(missing) = proof {
            visit.outcome(self.logins.check(&refresh.claimed()).await?)?;
            return Err(missing);
        }
        Ok(refresh)
    }

    /// The login whose live cookies came with the request.
    async fn login_of_cookies(&self, headers: &HeaderMap) -> Result<Option<Replaced>, AuthError> {
        let identity = match pick(headers, &self.access_cookie).ok().flatten() {
            Some(access) => self.identify(&access).await.ok().flatten(),
            None => None,
        };
        let login = match identity {
            Some(identity) => Some(identity.login_id),
            None => self.login_of_refresh_cookie(headers).await?,
        };
        Ok(login.map(Replaced::Id))
    }

    /// Looks only: a token that is not offered for renewal is not used.
    async fn login_of_refresh_cookie(&self, headers: &HeaderMap) -> Result<Option<Uuid>, AuthError> {
        let cookie = pick(headers, &self.refresh_cookie).ok().flatten();
        let Some(refresh) = cookie.and_then(|cookie| self.refresh_tokens.read(&cookie.token)) else {
            return Ok(None);
        };
        let found = outcome(self.logins.inspect(&refresh.claimed()).await?);
        Ok(found.ok().map(|login| login.id))
    }

    /// Refuses, and has the browser forget cookies that are good for nothing any more.
    fn turn_away(
        &self,
        problem: &Problem,
        transport: Option<Transport>,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let is_dead = problem.code().status() == 401;
        self.forget_cookies(problem.response(), transport.filter(|_| is_dead), headers)
    }

    /// Clears the cookies if the credential came in one, but no other service's cookies of the same names.
    fn forget_cookies(
        &self,
        mut response: HttpResponse,
        transport: Option<Transport>,
        headers: &HeaderMap,
    ) -> HttpResponse {
        if transport != Some(Transport::Cookie) {
            return response;
        }
        let is_ours = |name, may_be: fn(&str) -> bool| cookies::all(headers, name).all(may_be);
        for (kind, is_ours) in [
            (ACCESS_COOKIE, is_ours(&self.access_cookie, may_be_access_token)),
            (REFRESH_COOKIE, is_ours(&self.refresh_cookie, may_be_refresh_token)),
        ] {
            if is_ours {
                // An error here means a cookie that could not be written, and the browser keeps a dead one.
                let _ = response.add_cookie(&self.cookies.clear(kind));
            }
        }
        response
    }
}

/// Who presented a refresh token, for the log.
fn note(login: Result<Login, AuthError>) -> Result<Login, AuthError> {
    if let Ok(login) = &login {
        telemetry::note(Who { user: login.user.id, login: login.id, mode: NAME });
    }
    login
}

fn outcome(renewal: Renewal) -> Result<Login, AuthError> {
    match renewal {
        Renewal::Renewed(login) => Ok(*login),
        Renewal::Reused(_) => Err(AuthError::RefreshTokenReused),
        Renewal::Ended => Err(AuthError::TokenRevoked),
        Renewal::Expired => Err(AuthError::LoginExpired),
        Renewal::SteppedUp => Err(AuthError::SteppedUp),
        Renewal::Unknown => Err(AuthError::InvalidToken),
    }
}
