//! OAuth endpoints for other services: token introspection (RFC 7662), token revocation (RFC 7009) and server metadata
//! (RFC 8414). No OAuth grant is supported: tokens are not issued here.

mod client;
mod error;
mod handlers;
mod metadata;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::error::{OAuthError, with_oauth_error};
pub use self::metadata::Metadata;

/// Registers the OAuth routes.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(handlers::introspect)
        .service(handlers::revoke)
        .service(metadata::authorization_server)
        .service(metadata::openid_configuration);
}
