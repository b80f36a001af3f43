//! UserWithDisabledAt routes: profile, list of logins, password, email, challenges, forward authentication. They take the credential of either mode.

mod bodies;
mod challenge_bodies;
mod challenges;
mod factor_bodies;
mod factors;
mod forward_auth;
mod handlers;
mod handoff;
mod paging;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::bodies::PasswordRequest;
pub use self::handoff::HandoffPage;

/// Registers the account routes.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(handlers::profile)
        .service(handlers::account)
        .service(forward_auth::verify)
        .map(forward_auth::any_method_routes)
        .service(handlers::list_logins)
        .service(handlers::end_login)
        .service(handoff::create_handoff)
        .service(handoff::inspect_handoff)
        .service(challenges::create_challenge)
        .service(challenges::reset_password)
        .service(challenges::prove_email)
        .service(factors::list_factors)
        .service(factors::enrol_factor)
        .service(factors::remove_factor)
        .service(factors::renew_recovery_codes)
        .service(handlers::change_password)
        .service(handlers::remove_password);
}
