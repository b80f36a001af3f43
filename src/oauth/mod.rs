//! Endpoints for other services: token introspection (RFC 7662), token revocation (RFC 7009), the feed of revocations,
//! server metadata (RFC 8414), and custom tokens, which the services define themselves. No OAuth grant is supported: access tokens are not issued here.

mod authenticated_form;
mod client_authentication;
mod custom_tokens;
mod error;
mod feed;
mod handlers;
mod introspection_or_revocation_request;
mod metadata;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::custom_tokens::RedeemTokenRequest;
pub use self::error::{OAuthError, with_oauth_error};
pub use self::feed::FeedCursorCodec;
pub use self::metadata::Metadata;

/// Registers the routes for other services.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(handlers::introspect)
        .service(handlers::revoke)
        .service(feed::feed)
        .service(custom_tokens::create_token)
        .service(custom_tokens::redeem_token)
        .service(custom_tokens::delete_token)
        .service(metadata::authorization_server)
        .service(metadata::openid_configuration);
}
