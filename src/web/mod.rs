//! What people and machines look at: Swagger UI, the API's document, and whether the service is well.

mod docs;
mod health;
pub mod openapi;

use utoipa_actix_web::service_config::ServiceConfig;

/// The paths for people, which the API's document does not list. They answer `GET`.
pub const PAGES: [&str; 4] = ["/", "/docs", "/docs/", "/docs/{file}"];

/// Registers these routes.
pub fn routes(config: &mut ServiceConfig) {
    config.service(health::live).service(health::ready).service(openapi::openapi_json);
    config.map(|config| config.service(docs::docs_file).service(docs::docs).service(docs::root));
}
