//! What needs a login, of whichever mode.

mod handlers;
mod paging;

use utoipa_actix_web::service_config::ServiceConfig;

/// Registers the routes that take either credential.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(handlers::profile)
        .service(handlers::verify)
        .service(handlers::account)
        .service(handlers::list_logins)
        .service(handlers::end_login)
        .service(handlers::change_password);
}
