//! Which providers a page can offer for signing in, and where they send browsers back to.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Problem;
use crate::factors::provider::{CallbackParameters, Provider, Providers};
use crate::http::client::Client;
use crate::http::form::{Form, parse_form};
use crate::sign_in::SignIn;

/// The providers, in the order of the settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "providers": [{ "name": "google", "title": "Google" }] }))]
pub(super) struct ProviderListBody {
    /// None, if `PROVIDERS` is not set.
    providers: Vec<ProviderBody>,
}

/// A provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderBody {
    /// Its name in requests: up to 32 characters of a-z, 0-9 and `-`.
    name: String,
    /// Its name for people.
    title: String,
}

impl From<&Provider> for ProviderBody {
    fn from(provider: &Provider) -> Self {
        Self { name: provider.name().to_owned(), title: provider.title().to_owned() }
    }
}

/// The providers that users may sign in with.
///
/// For pages that offer them: `name` is the `method` of a challenge for `login`. In the order of the settings.
#[utoipa::path(operation_id = "list_providers", tag = "service", responses(
    (status = 200, description = "The providers in `PROVIDERS`.", body = ProviderListBody),
))]
#[get("/providers")]
pub(super) async fn list_providers(providers: Data<Providers>) -> Json<ProviderListBody> {
    Json(ProviderListBody { providers: providers.iter().map(|provider| (&**provider).into()).collect() })
}

/// Where a provider sends the browser back to. For providers only.
///
/// Uses up the `state`, asks the provider who it is, and sends the browser to the `return_to` of the challenge, with
/// `#challenge=<id>&code=…`, or `#challenge=<id>&error=access_denied` or `provider_failed`. Nobody is signed in by it. A `state` that is
/// unknown, or was used, is `malformed_request`. A network from which too many codes were refused gets `rate_limited`: the `state` is not
/// used up, and the same URL goes on after `Retry-After`.
#[utoipa::path(operation_id = "provider_callback", tag = "service",
    params(("name" = String, Path, description = "The provider's name."),
        ("state" = Option<String>, Query, description = "As it was sent to the provider."),
        ("code" = Option<String>, Query, description = "The provider's code."),
        ("error" = Option<String>, Query, description = "Why there is no code, such as `access_denied`."),
        ("iss" = Option<String>, Query, description = "The provider's issuer (RFC 9207).")),
    responses(
    (status = 303, description = "To `return_to`."),
    (status = 400, description = "malformed_request"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[get("/providers/{name}/callback")]
pub(super) async fn provider_callback(
    sign_in: Data<SignIn>,
    client: Client,
    name: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    call_back(&sign_in, &name, &parse_form(request.query_string().as_bytes())?, &client).await
}

/// Where a provider posts the browser's form to. For providers only.
///
/// The same as by GET, for a provider with `response_mode=form_post`, such as Apple. Exempt from the rule on origins.
#[utoipa::path(operation_id = "provider_form_callback", tag = "service",
    params(("name" = String, Path, description = "The provider's name.")),
    responses(
    (status = 303, description = "To `return_to`."),
    (status = 400, description = "malformed_request"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/providers/{name}/callback")]
pub(super) async fn provider_form_callback(
    sign_in: Data<SignIn>,
    client: Client,
    name: Path<String>,
    Form(parameters): Form<CallbackParameters>,
) -> Result<HttpResponse, Problem> {
    call_back(&sign_in, &name, &parameters, &client).await
}

async fn call_back(
    sign_in: &SignIn,
    name: &str,
    parameters: &CallbackParameters,
    client: &Client,
) -> Result<HttpResponse, Problem> {
    let url = sign_in.call_back(name, parameters, client).await?;
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, url.as_str())).finish())
}
