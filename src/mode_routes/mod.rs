//! The routes that every mode has, below its name. What they do is the same; the [`Mode`] issues, reads and clears its
//! credential.

mod handlers;

use std::sync::Arc;

use actix_web::web::Data;
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::auth::{AcceptedModes, Mode};

/// Registers them for a mode, and the routes that only it has. They take its own credential alone.
pub fn routes(mode: &Arc<dyn Mode>, config: &mut ServiceConfig) {
    let below_its_name = scope(format!("/{}", mode.name()).as_str())
        .app_data(Data::from(Arc::clone(mode)))
        .app_data(Data::new(AcceptedModes::new(vec![Arc::clone(mode)])))
        .service(handlers::register)
        .service(handlers::profile)
        .service(handlers::csrf_token)
        .service(handlers::log_out)
        .service(handlers::log_out_everywhere)
        .configure(|config| mode.routes(config, issuing));
    config.service(below_its_name);
}

/// Those that issue a credential.
fn issuing(config: &mut ServiceConfig) {
    config.service(handlers::log_in).service(handlers::step_up);
}
