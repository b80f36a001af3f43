//! Where to ask what, for programs that set themselves up (RFC 8414).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

/// The service, as RFC 8414 describes one. What is not here is not there.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "issuer": "https://auth.example.com", "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
    "introspection_endpoint": "https://auth.example.com/jwt/introspect",
    "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
    "revocation_endpoint": "https://auth.example.com/jwt/revoke",
    "revocation_endpoint_auth_methods_supported": ["client_secret_basic"],
    "response_types_supported": [], "grant_types_supported": [],
    "service_documentation": "https://auth.example.com/docs/",
}))]
pub struct Metadata {
    /// The `iss` of tokens.
    pub(super) issuer: String,
    /// The keys that verify access tokens.
    jwks_uri: String,
    /// Where to ask about a token.
    introspection_endpoint: String,
    /// How a client proves who it is there.
    #[schema(value_type = Vec<String>)]
    introspection_endpoint_auth_methods_supported: [&'static str; 1],
    /// Where to end the login behind a token.
    revocation_endpoint: String,
    /// How a client proves who it is there.
    #[schema(value_type = Vec<String>)]
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    /// None: nobody is sent here for authorization. Said, since to be silent means another list.
    #[schema(value_type = Vec<String>)]
    response_types_supported: [&'static str; 0],
    /// None: tokens are not had by OAuth. Said, since to be silent means another list.
    #[schema(value_type = Vec<String>)]
    grant_types_supported: [&'static str; 0],
    /// For people.
    service_documentation: String,
}

/// How a client proves who it is (RFC 8414, section 2).
const BASIC: &str = "client_secret_basic";

impl Metadata {
    /// Of a service that clients reach at this URL.
    pub fn new(url: &str, issuer: String) -> Self {
        Self {
            issuer,
            jwks_uri: format!("{url}/.well-known/jwks.json"),
            introspection_endpoint: format!("{url}/jwt/introspect"),
            introspection_endpoint_auth_methods_supported: [BASIC],
            revocation_endpoint: format!("{url}/jwt/revoke"),
            revocation_endpoint_auth_methods_supported: [BASIC],
            response_types_supported: [],
            grant_types_supported: [],
            service_documentation: format!("{url}/docs/"),
        }
    }
}

/// Where other services ask what (RFC 8414).
///
/// It may be remembered for five minutes.
#[utoipa::path(operation_id = "oauth_authorization_server", tag = "oauth", responses(
    (status = 200, description = "What there is; what is not named does not exist.", body = Metadata,
        headers(("Cache-Control" = String, description = "It may be remembered for five minutes."))),
))]
#[get("/.well-known/oauth-authorization-server")]
pub(super) async fn authorization_server(metadata: Data<Metadata>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(metadata.get_ref())
}
