//! Handlers of the routes that every mode has. `web/openapi/mode_route_descriptions` adds tags, operation id prefixes and the mode's own
//! descriptions to the OpenAPI document.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, get, post};
use secrecy::SecretString;

use crate::auth::{
    AcceptedAuthModes, AuthError, Csrf, CsrfBody, Identity, LoginRequest, LoginSecretBytes, Mode,
    PendingRegistrationBody, ProfileBody, RegisterRequest, Rejection, StepUpRequest, UserBody,
    warn_of_lost_cookies,
};
use crate::error::Problem;
use crate::http::body::Json;
use crate::http::client::Client;
use crate::http::language::PreferredLanguage;
use crate::logins::{Logins, Presentation, ReplacedLogin, Transport};
use crate::sign_in::{NewLoginSpec, Registration, SignIn};

/// Create an account, without signing in.
///
/// The account is the same in every mode. With `REGISTRATION=verified` it begins once its address is proved: a code is
/// mailed, and sent here with the `challenge` of the first answer.
#[utoipa::path(operation_id = "register", request_body(content = RegisterRequest, examples(
    ("new account" = (value = json!({"username": "ada", "email": "ada@example.com", "password": "correct horse battery staple"}))),
    ("with the code" = (value = json!({"challenge": "dac_…", "code": "1234 5678"}))),
)), responses(
    (status = 201, description = "The new user.", body = UserBody),
    (status = 202, description = "A code was mailed, whether the address has an account or not.", body = PendingRegistrationBody),
    (status = 401, description = "invalid_code, challenge_expired"),
    (status = 403, description = "registration_closed"),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/register")]
pub(super) async fn register(
    mode: Data<dyn Mode>,
    sign_in: Data<SignIn>,
    client: Client,
    PreferredLanguage(language): PreferredLanguage,
    Json(body): Json<RegisterRequest>,
) -> Result<HttpResponse, Problem> {
    Ok(match sign_in.register(body, language, &client, mode.name()).await? {
        Registration::Created(user) => HttpResponse::Created().json(user),
        Registration::Pending(challenge) => {
            HttpResponse::Accepted().json(PendingRegistrationBody::from(challenge))
        }
    })
}

/// Sign in.
#[utoipa::path(operation_id = "login", request_body(content = LoginRequest, examples(
    ("password" = (value = json!({"username": "ada", "password": "correct horse battery staple"}))),
    ("second step, by code" = (value = json!({"challenge": "dac_…", "code": "123456"}))),
    ("with a code by mail" = (value = json!({"challenge": "dac_…", "code": "1234 5678"}))),
    ("passkey, or second step by passkey or security key" = (value = json!({
        "challenge": "dac_…", "passkey": {"id": "…", "type": "public-key"},
    }))),
    ("a login of the other mode" = (value = json!({"handoff": "dah_…"}))),
)), responses(
    (status = 200, description = "Signed in."),
    (status = 401, description = "invalid_credentials, invalid_code, challenge_expired, second_factor_required, link_required, email_required, \
                                  insufficient_user_authentication"),
    (status = 403, description = "registration_closed"),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/login")]
pub(super) async fn log_in(
    mode: Data<dyn Mode>,
    sign_in: Data<SignIn>,
    client: Client,
    PreferredLanguage(language): PreferredLanguage,
    request: HttpRequest,
    Json(mut body): Json<LoginRequest>,
) -> Result<HttpResponse, Problem> {
    if let Some(code) = body.take_handoff()? {
        let transport = body.transport.unwrap_or(mode.default_transport());
        return take_over(&mode, &sign_in, &code, transport, &client, &request).await;
    }
    let (body, pending) = sign_in.resume(body).await?;
    let transport = body.transport.unwrap_or(mode.default_transport());
    let replaces = replaced_login(&**mode, transport, &request).await?;
    let secret = LoginSecretBytes::generate();
    let spec =
        NewLoginSpec { mode: mode.name(), transport, key: mode.login_credential_hash(&secret), replaces };
    let login = sign_in.start(body, pending, client, language, spec).await?;
    warn_of_lost_cookies(transport, request.headers());
    mode.issue(login, secret, transport, &request).await
}

/// The login whose cookies are replaced by those of the response.
async fn replaced_login(
    mode: &dyn Mode,
    transport: Transport,
    request: &HttpRequest,
) -> Result<Option<ReplacedLogin>, AuthError> {
    match transport {
        Transport::Cookie => mode.login_of_cookies(request.headers()).await,
        Transport::Bearer => Ok(None),
    }
}

/// Issues a credential of the login that a code hands off.
async fn take_over(
    mode: &Data<dyn Mode>,
    sign_in: &SignIn,
    code: &SecretString,
    transport: Transport,
    client: &Client,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let secret = LoginSecretBytes::generate();
    let key = mode.login_credential_hash(&secret);
    let replaces = replaced_login(&***mode, transport, request).await?;
    let presentation = Presentation { mode: mode.name(), transport, key, replaces };
    let redeemed = sign_in.redeem_handoff(code, presentation, client).await.map_err(Problem::from);
    let login = sign_in.metrics.exchanged("login", redeemed)?;
    warn_of_lost_cookies(transport, request.headers());
    mode.issue(login, secret, transport, request).await
}

/// Step up: authenticate again for the same login.
#[utoipa::path(operation_id = "step_up", request_body(content = StepUpRequest, examples(
    ("password" = (value = json!({"password": "correct horse battery staple"}))),
    ("second factor" = (value = json!({"code": "123456"}))),
    ("passkey or security key" = (value = json!({"challenge": "dac_…", "passkey": {"id": "…", "type": "public-key"}}))),
)), responses(
    (status = 200, description = "The same login, with a new credential."),
    (status = 401, description = "invalid_code, challenge_expired"),
    (status = 403, description = "invalid_credentials"),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/step-up")]
pub(super) async fn step_up(
    mode: Data<dyn Mode>,
    modes: Data<AcceptedAuthModes>,
    sign_in: Data<SignIn>,
    client: Client,
    request: HttpRequest,
    identity: Identity,
    Json(body): Json<StepUpRequest>,
) -> Result<HttpResponse, Problem> {
    let proof = body.proof()?;
    let next = mode.step_up_secret(&modes.credential(request.headers())?).await?;
    let stepped_up = sign_in.step_up(&identity, &proof, &client, &next).await;
    let login = stepped_up.map_err(|error| error.problem(mode.login_ended()))?;
    mode.issue(login, next.secret, identity.transport, &request).await
}

/// The signed-in user.
#[utoipa::path(operation_id = "profile", responses(
    (status = 200, description = "The user and the login.", body = ProfileBody),
    (status = 503, description = "unavailable"),
))]
#[get("/profile")]
pub(super) async fn profile(identity: Identity) -> HttpResponse {
    ProfileBody::from(identity).response()
}

/// The CSRF token of the login.
#[utoipa::path(operation_id = "csrf", responses(
    (status = 200, description = "The token.", body = CsrfBody),
    (status = 503, description = "unavailable"),
))]
#[get("/csrf")]
pub(super) async fn csrf_token(
    mode: Data<dyn Mode>,
    csrf: Data<Csrf>,
    request: HttpRequest,
    identity: Result<Identity, Rejection>,
) -> Result<HttpResponse, Problem> {
    let login = mode.login_for_csrf(identity, request.headers()).await?;
    Ok(HttpResponse::Ok().json(CsrfBody { csrf_token: csrf.token(login) }))
}

/// Sign out: end the login.
#[utoipa::path(operation_id = "logout", responses(
    (status = 204, description = "Signed out."),
    (status = 503, description = "unavailable"),
))]
#[post("/logout")]
pub(super) async fn log_out(
    mode: Data<dyn Mode>,
    logins: Data<Logins>,
    client: Client,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let identity = match mode.identity_for_logout(&request, body.into_inner()).await {
        Ok(identity) => identity,
        Err(rejection) => return Ok(mode.refuse(&rejection, request.headers())),
    };
    if !logins.log_out(identity.login_id, &identity.actor(&client)).await? {
        let rejection = Rejection::new(mode.login_ended(), identity.transport);
        return Ok(mode.refuse(&rejection, request.headers()));
    }
    Ok(signed_out(&**mode, identity.transport, &request))
}

/// Sign out everywhere: end every login of the user, in both modes.
#[utoipa::path(operation_id = "logout_all", responses(
    (status = 204, description = "Signed out everywhere."),
    (status = 503, description = "unavailable"),
))]
#[post("/logout-all")]
pub(super) async fn log_out_everywhere(
    mode: Data<dyn Mode>,
    sign_in: Data<SignIn>,
    client: Client,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let identity = match mode.identity_for_logout(&request, body.into_inner()).await {
        Ok(identity) => identity,
        Err(rejection) => return Ok(mode.refuse(&rejection, request.headers())),
    };
    sign_in.end_all(&identity, &client).await?;
    Ok(signed_out(&**mode, identity.transport, &request))
}

fn signed_out(mode: &dyn Mode, transport: Transport, request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    if transport == Transport::Cookie {
        mode.clear_cookies(&mut response, request.headers());
    }
    response
}
