//! What other services ask, as the standards of OAuth have it: about a token (RFC 7662), that what is behind one be
//! ended (RFC 7009), and where to ask (RFC 8414). There is no more of OAuth here: nobody gets a token by it.

mod client;
mod error;
mod handlers;
mod metadata;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::error::{OAuthError, with_oauth_error};
pub use self::metadata::Metadata;

/// Registers these routes.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(handlers::introspect)
        .service(handlers::revoke)
        .service(metadata::authorization_server)
        .service(metadata::openid_configuration);
}
