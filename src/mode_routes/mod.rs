//! The routes that every mode has below its name: register, login, profile and so on. The handlers are the same; the
//! [`Mode`] issues, reads and clears its credential.

mod handlers;

use std::sync::Arc;

use actix_web::web::Data;
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::auth::{AcceptedAuthModes, Mode, OtherAuthModes};

/// Registers these routes for a mode, and the mode's own. They accept the mode's own credential only.
pub fn routes(mode: &Arc<dyn Mode>, modes: &AcceptedAuthModes, config: &mut ServiceConfig) {
    let below_its_name = scope(format!("/{}", mode.name()).as_str())
        .app_data(Data::from(Arc::clone(mode)))
        .app_data(Data::new(modes.only(mode)))
        .app_data(Data::new(OtherAuthModes::than(mode, modes)))
        .service(handlers::register)
        .service(handlers::profile)
        .service(handlers::csrf_token)
        .service(handlers::log_out)
        .service(handlers::log_out_everywhere)
        .configure(|config| mode.routes(config, credential_routes));
    config.service(below_its_name);
}

/// The routes that issue a credential.
fn credential_routes(config: &mut ServiceConfig) {
    config.service(handlers::log_in).service(handlers::step_up);
}
