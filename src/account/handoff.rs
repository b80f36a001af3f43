//! Handlers of hand-off codes: one login, presented in the other mode as well.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{AcceptedAuthModes, AuthError, Identity};
use crate::error::Problem;
use crate::http::body::{IgnoredBody, Json};
use crate::http::client::Client;
use crate::logins::HANDOFF_LIFETIME;
use crate::metrics::Metrics;
use crate::sign_in::SignIn;

/// The URL of the page `/handoff`.
#[derive(Clone, Debug)]
pub struct HandoffPage(String);

impl HandoffPage {
    /// Below the URL at which a browser opens the pages.
    pub fn new(pages: &str) -> Self {
        Self(format!("{pages}/handoff"))
    }
}

/// A code that hands a login off to the other mode.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"code": "dah_…", "url": "https://auth.example.com/handoff#dah_…", "expires_in": 60}))]
pub(super) struct HandoffBody {
    /// To be sent as `handoff` to the other mode's `login`, once. Whoever has it gets a credential of the login.
    code: String,
    /// A page that hands the login off to the browser that opens it, after a press. The code is in the fragment, which is in no log.
    url: String,
    /// How long the code can be used, in seconds.
    expires_in: i64,
}

/// A hand-off code to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "dah_…"}))]
pub(super) struct InspectHandoffRequest {
    /// As received from `POST /account/handoff`.
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

/// Whose login a code hands off.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"username": "ada"}))]
pub(super) struct InspectedHandoffBody {
    /// The user's name.
    username: String,
}

/// Hand this login off to the other mode.
///
/// The code is sent as `handoff` to the other mode's `login`: [POST /jwt/login](#/jwt/jwt_login) for a session, for example to
/// bring an app along, or [POST /session/login](#/session/session_login) for tokens, for example to open a browser. The *same* login is
/// presented there as well: it stays one entry in the list of logins, each mode refreshes its own credential, and whatever ends the
/// login ends both. `url` does the same in a browser. A token from before the login's last step-up is `token_revoked`: refresh first.
#[utoipa::path(operation_id = "create_handoff", tag = "account",
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 201, description = "The code.", body = HandoffBody),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 503, description = "unavailable"),
))]
#[post("/account/handoff")]
pub(super) async fn create_handoff(
    identity: Identity,
    sign_in: Data<SignIn>,
    modes: Data<AcceptedAuthModes>,
    page: Data<HandoffPage>,
    metrics: Data<Metrics>,
    client: Client,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    let outcome = async {
        let mode = modes.iter().find(|mode| mode.name() == identity.mode);
        let ended = mode.map_or(AuthError::NotAuthenticated, |mode| mode.login_ended());
        let created = sign_in.create_handoff(&identity, &client).await;
        let code = created.map_err(|error| AuthError::of_exchange(error, ended))?;
        Ok(HttpResponse::Created().json(HandoffBody {
            url: format!("{}#{}", page.0, code.reveal()),
            code: code.reveal().to_owned(),
            expires_in: HANDOFF_LIFETIME.num_seconds(),
        }))
    };
    metrics.exchanged("handoff", outcome.await)
}

/// Look at a hand-off code: whose login it is.
///
/// For a page that asks before it signs in. The code is not used up. Limited per network, together with failed sign-ins.
#[utoipa::path(operation_id = "inspect_handoff", tag = "account", request_body = InspectHandoffRequest, responses(
    (status = 200, description = "The user.", body = InspectedHandoffBody),
    (status = 401, description = "challenge_expired"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/account/handoff/inspect")]
pub(super) async fn inspect_handoff(
    sign_in: Data<SignIn>,
    metrics: Data<Metrics>,
    client: Client,
    Json(body): Json<InspectHandoffRequest>,
) -> Result<HttpResponse, Problem> {
    let inspected = sign_in.inspect_handoff(&body.code, &client).await.map_err(Problem::from);
    let username = metrics.exchanged("inspect", inspected)?;
    Ok(HttpResponse::Ok().json(InspectedHandoffBody { username }))
}
