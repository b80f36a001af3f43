//! The whole route table.

use actix_web::web::Data;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::auth::AcceptedModes;
use crate::{account, jwt, mode_routes, oauth, web};

/// Registers every route: what services ask, each mode below its name, then what takes the credential of either.
pub(super) fn routes(modes: &AcceptedModes, config: &mut ServiceConfig) {
    // Before the modes: a mode takes every path below its name.
    config.configure(oauth::routes);
    for mode in modes.iter() {
        mode_routes::routes(mode, config);
    }
    config
        .app_data(Data::new(modes.clone()))
        .configure(jwt::well_known_routes)
        .configure(account::routes)
        .configure(web::routes);
}
