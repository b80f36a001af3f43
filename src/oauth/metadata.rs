//! Authorization server metadata (RFC 8414), at its two well-known URIs.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::AcceptedAuthModes;

/// The metadata of the service. Endpoints that are not listed do not exist.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "issuer": "https://auth.example.com", "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
    "introspection_endpoint": "https://auth.example.com/jwt/introspect",
    "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    "revocation_endpoint": "https://auth.example.com/jwt/revoke",
    "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    "revocation_feed_endpoint": "https://auth.example.com/jwt/feed",
    "revocation_feed_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    "response_types_supported": [], "grant_types_supported": [], "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["EdDSA"],
    "service_documentation": "https://auth.example.com/docs/",
}))]
pub struct Metadata {
    /// The issuer: the `iss` of tokens.
    pub(super) issuer: String,
    /// The JWK set with the public keys of access tokens.
    jwks_uri: String,
    /// The introspection endpoint (RFC 7662).
    introspection_endpoint: String,
    /// The client authentication methods of the introspection endpoint.
    #[schema(value_type = Vec<String>)]
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// The revocation endpoint (RFC 7009).
    revocation_endpoint: String,
    /// The client authentication methods of the revocation endpoint.
    #[schema(value_type = Vec<String>)]
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    /// The endpoint of the revocation feed, for services that verify access tokens by themselves. No standard defines it.
    revocation_feed_endpoint: String,
    /// The client authentication methods of the revocation feed.
    #[schema(value_type = Vec<String>)]
    revocation_feed_endpoint_auth_methods_supported: [&'static str; 2],
    /// Empty: there is no authorization endpoint. The member is required by RFC 8414.
    #[schema(value_type = Vec<String>)]
    response_types_supported: [&'static str; 0],
    /// Empty: no grant is supported. Stated, because leaving it out would mean the default of RFC 8414.
    #[schema(value_type = Vec<String>)]
    grant_types_supported: [&'static str; 0],
    /// The subject type: every client sees the same `sub` of a user (OpenID Connect Discovery 1.0, section 3).
    #[schema(value_type = Vec<String>)]
    subject_types_supported: [&'static str; 1],
    /// The signing algorithms of access tokens. There are no ID tokens, but verifiers read the accepted algorithms from this
    /// member, and assume RS256 without it. Left out while no key is published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    id_token_signing_alg_values_supported: Vec<&'static str>,
    /// The URL of the documentation.
    service_documentation: String,
}

/// The supported client authentication methods (RFC 8414, section 2; RFC 6749, section 2.3.1).
const CLIENT_AUTHENTICATION: [&str; 2] = ["client_secret_basic", "client_secret_post"];

impl Metadata {
    /// The metadata of a service at a public URL.
    pub fn new(url: &str, issuer: String) -> Self {
        Self {
            issuer,
            jwks_uri: format!("{url}/.well-known/jwks.json"),
            introspection_endpoint: format!("{url}/jwt/introspect"),
            introspection_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            revocation_endpoint: format!("{url}/jwt/revoke"),
            revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            revocation_feed_endpoint: format!("{url}/jwt/feed"),
            revocation_feed_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
            response_types_supported: [],
            grant_types_supported: [],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: Vec::new(),
            service_documentation: format!("{url}/docs/"),
        }
    }

    /// The response, with the algorithms of the current keys.
    fn response(&self, modes: &AcceptedAuthModes) -> HttpResponse {
        let algorithms = modes.iter().flat_map(|mode| mode.published_algorithms()).collect();
        let document = Self { id_token_signing_alg_values_supported: algorithms, ..self.clone() };
        HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(document)
    }
}

/// Authorization server metadata (RFC 8414).
///
/// The document may be cached for five minutes.
#[utoipa::path(operation_id = "oauth_authorization_server", tag = "oauth", responses(
    (status = 200, description = "What there is; what is not named does not exist.", body = Metadata,
        headers(("Cache-Control" = String, description = "It may be remembered for five minutes."))),
))]
#[get("/.well-known/oauth-authorization-server")]
pub(super) async fn authorization_server(
    metadata: Data<Metadata>,
    modes: Data<AcceptedAuthModes>,
) -> HttpResponse {
    metadata.response(&modes)
}

/// The same metadata at OpenID Connect's location, for verifiers that expect it there.
///
/// OpenID Connect itself is not supported: there is no authorization endpoint and no ID token.
#[utoipa::path(operation_id = "openid_configuration", tag = "oauth", responses(
    (status = 200, description = "What there is; what is not named does not exist.", body = Metadata,
        headers(("Cache-Control" = String, description = "It may be remembered for five minutes."))),
))]
#[get("/.well-known/openid-configuration")]
pub(super) async fn openid_configuration(
    metadata: Data<Metadata>,
    modes: Data<AcceptedAuthModes>,
) -> HttpResponse {
    metadata.response(&modes)
}
