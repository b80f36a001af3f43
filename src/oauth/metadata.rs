//! Where to ask what, for programs that set themselves up (RFC 8414).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::AcceptedModes;

/// The service, as RFC 8414 describes one. What is not here is not there.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "issuer": "https://auth.example.com", "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
    "introspection_endpoint": "https://auth.example.com/jwt/introspect",
    "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    "revocation_endpoint": "https://auth.example.com/jwt/revoke",
    "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    "response_types_supported": [], "grant_types_supported": [], "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["EdDSA"],
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
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// Where to end the login behind a token.
    revocation_endpoint: String,
    /// How a client proves who it is there.
    #[schema(value_type = Vec<String>)]
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    /// None: nobody is sent here for authorization. Said, since to be silent means another list.
    #[schema(value_type = Vec<String>)]
    response_types_supported: [&'static str; 0],
    /// None: tokens are not had by OAuth. Said, since to be silent means another list.
    #[schema(value_type = Vec<String>)]
    grant_types_supported: [&'static str; 0],
    /// A user has one `sub`, whoever asks (OpenID Connect Discovery 1.0, section 3).
    #[schema(value_type = Vec<String>)]
    subject_types_supported: [&'static str; 1],
    /// What signs access tokens. There are no ID tokens; but it is by this name that verifiers are told which algorithms to
    /// take, and RS256 alone where it is left out. Left out while there is none that others can verify.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    id_token_signing_alg_values_supported: Vec<&'static str>,
    /// For people.
    service_documentation: String,
}

/// How a client proves who it is (RFC 8414, section 2; RFC 6749, section 2.3.1).
const CLIENT_AUTHENTICATION: [&str; 2] = ["client_secret_basic", "client_secret_post"];

impl Metadata {
    /// Of a service that clients reach at this URL.
    pub fn new(url: &str, issuer: String) -> Self {
        Self {
            issuer,
            jwks_uri: format!("{url}/.well-known/jwks.json"),
            introspection_endpoint: format!("{url}/jwt/introspect"),
            introspection_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            revocation_endpoint: format!("{url}/jwt/revoke"),
            revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            response_types_supported: [],
            grant_types_supported: [],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: Vec::new(),
            service_documentation: format!("{url}/docs/"),
        }
    }

    /// With the algorithms of the keys that there are now.
    fn response(&self, modes: &AcceptedModes) -> HttpResponse {
        let algorithms = modes.iter().flat_map(|mode| mode.published_algorithms()).collect();
        let document = Self { id_token_signing_alg_values_supported: algorithms, ..self.clone() };
        HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(document)
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
pub(super) async fn authorization_server(
    metadata: Data<Metadata>,
    modes: Data<AcceptedModes>,
) -> HttpResponse {
    metadata.response(&modes)
}

/// The same document, for verifiers that look where OpenID Connect has it.
///
/// There is no OpenID Connect here: no authorization endpoint, no ID token.
#[utoipa::path(operation_id = "openid_configuration", tag = "oauth", responses(
    (status = 200, description = "What there is; what is not named does not exist.", body = Metadata,
        headers(("Cache-Control" = String, description = "It may be remembered for five minutes."))),
))]
#[get("/.well-known/openid-configuration")]
pub(super) async fn openid_configuration(
    metadata: Data<Metadata>,
    modes: Data<AcceptedModes>,
) -> HttpResponse {
    metadata.response(&modes)
}
