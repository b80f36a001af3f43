//! Which providers a page can offer for signing in.

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::factors::provider::{Provider, Providers};

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
#[utoipa::path(operation_id = "list_providers", tag = "service", responses(
    (status = 200, description = "The providers in `PROVIDERS`.", body = ProviderListBody),
))]
#[get("/providers")]
pub(super) async fn list_providers(providers: Data<Providers>) -> Json<ProviderListBody> {
    Json(ProviderListBody { providers: providers.iter().map(|provider| (&**provider).into()).collect() })
}
