//! The route table.

use actix_web::web::Data;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::auth::AcceptedAuthModes;
use crate::{account, jwt, mode_routes, oauth, web};

/// Registers every route: endpoints for other services, each mode's routes below its name, then routes that accept either mode.
pub(super) fn routes(modes: &AcceptedAuthModes, config: &mut ServiceConfig) {
    // OAuth before the modes, whose scopes match every path below their names.
    config.configure(oauth::routes);
    for mode in modes.iter() {
        mode_routes::routes(mode, modes, config);
    }
    config
        .app_data(Data::new(modes.clone()))
        .configure(jwt::well_known_routes)
        .configure(account::routes)
        .configure(web::routes);
}
