//! Handlers of custom tokens: a registered client creates, redeems and deletes tokens of its own.

mod bodies;

use actix_web::guard::GuardContext;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, post};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::custom_tokens::CustomTokens;
use crate::error::{Code, Problem};
use crate::http::body::{IgnoredBody, Json, JsonWithText};
use crate::http::client::Client;
use crate::metrics::Metrics;

use self::bodies::{CreateTokenRequest, CreatedTokenBody, RedeemedTokenBody};
use super::client_authentication::AuthenticatedClientRequest;
use super::error::with_oauth_error;

pub use self::bodies::RedeemTokenRequest;

/// Create a token of your own: one-time or temporary access that your service defines, such as an invitation.
///
/// The token is shown once, and is stored as a hash. Only the client that created it can redeem or delete it. It can be
/// redeemed `uses` times until it expires. It is deleted together with its client or its user.
#[utoipa::path(operation_id = "create_token", tag = "tokens", security(("client_basic" = [])),
    request_body = CreateTokenRequest, responses(
    (status = 201, description = "The token.", body = CreatedTokenBody),
    (status = 503, description = "unavailable"),
))]
#[post("/tokens")]
pub(super) async fn create_token(
    request: AuthenticatedClientRequest<JsonWithText<CreateTokenRequest>>,
    tokens: Data<CustomTokens>,
    metrics: Data<Metrics>,
    client: Client,
) -> Result<HttpResponse, Problem> {
    let AuthenticatedClientRequest { client_id, body } = request;
    let actor = client.actor().of_client(client_id);
    let created = tokens.create(client_id, body.into(), &actor).await.map_err(Problem::from);
    let created = counted(&metrics, "create", created).map_err(with_oauth_error)?;
    Ok(HttpResponse::Created().json(CreatedTokenBody::from(created)))
}

/// Redeem a token: find out whether it is valid for this purpose, and use it up by one.
///
/// However many requests there are at once, on any node, exactly `uses` of them succeed. A token that is unknown,
/// expired, used up, of another purpose or client, or whose user is disabled or deleted, gets the same 404. After a 503
/// the use may have been counted.
#[utoipa::path(operation_id = "redeem_token", tag = "tokens", security(("client_basic" = [])),
    request_body = RedeemTokenRequest, responses(
    (status = 200, description = "The token was valid, and is used up by one.", body = RedeemedTokenBody),
    (status = 404, description = "not_found"),
    (status = 503, description = "unavailable"),
))]
#[post("/tokens/redeem")]
pub(super) async fn redeem_token(
    request: AuthenticatedClientRequest<Json<RedeemTokenRequest>>,
    tokens: Data<CustomTokens>,
    metrics: Data<Metrics>,
    client: Client,
) -> Result<HttpResponse, Problem> {
    let AuthenticatedClientRequest { client_id, body: Json(RedeemTokenRequest { token, purpose }) } = request;
    let actor = client.actor().of_client(client_id);
    let redeemed = tokens.redeem(client_id, token.expose_secret(), &purpose, &actor).await;
    let redeemed = counted(&metrics, "redeem", redeemed.map_err(Problem::from))?;
    Ok(HttpResponse::Ok().json(RedeemedTokenBody::new(purpose, redeemed)?))
}

/// Delete a token, so that it can't be redeemed any more.
///
/// The same response if it is gone already, or another client's.
#[utoipa::path(operation_id = "delete_token", tag = "tokens", security(("client_basic" = [])),
    params(("id" = Uuid, Path, description = "The token's id, from its creation.")), responses(
    (status = 204, description = "You have no such token now."),
    (status = 404, description = "not_found"),
    (status = 503, description = "unavailable"),
))]
#[delete("/tokens/{id}", guard = "is_about_one_token")]
pub(super) async fn delete_token(
    request: AuthenticatedClientRequest<IgnoredBody>,
    tokens: Data<CustomTokens>,
    metrics: Data<Metrics>,
    client: Client,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let no_id = |_| Problem::new(Code::NotFound, "The id of a token is a UUID.");
    let id: Uuid = id.parse().map_err(no_id)?;
    let actor = client.actor().of_client(request.client_id);
    let deleted = tokens.delete(request.client_id, id, &actor).await.map_err(Problem::from);
    counted(&metrics, "delete", deleted)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `/tokens/redeem` is a route of its own, which other methods than `POST` are told.
fn is_about_one_token(context: &GuardContext<'_>) -> bool {
    context.head().uri.path() != "/tokens/redeem"
}

/// Counts what came of an operation.
fn counted<T>(metrics: &Metrics, operation: &str, outcome: Result<T, Problem>) -> Result<T, Problem> {
    let word = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "done");
    metrics.custom_token(operation, word);
    outcome
}
