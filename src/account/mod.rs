//! What needs a login, of whichever mode.

mod bodies;
mod forward_auth;
mod handlers;
mod paging;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::bodies::PasswordRequest;

/// Registers the routes that take either credential.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(handlers::profile)
        .service(handlers::account)
        .service(forward_auth::verify)
        .map(forward_auth::of_any_request)
        .service(handlers::list_logins)
        .service(handlers::end_login)
        .service(handlers::change_password);
}
