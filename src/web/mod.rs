//! Pages and documents of the service itself: playground, comparison, Swagger UI, OpenAPI, health and metrics.

mod base_path_and_cookie_names;
mod comparison;
mod docs;
mod handoff_page;
mod health;
mod local_mails;
mod mail_page;
mod metrics;
pub mod openapi;
mod page;
mod passkey_origins;
mod playground;
mod providers;

use utoipa_actix_web::service_config::ServiceConfig;

pub use self::base_path_and_cookie_names::BasePathAndCookieNames;
pub use self::comparison::LastReport;
pub use self::metrics::Scrape;
pub use self::passkey_origins::PasskeyRelatedOrigins;

/// The paths of HTML pages and their files, which the OpenAPI document does not list. They answer `GET`.
pub const PAGES: [&str; 11] = [
    "/",
    "/playground/{file}",
    "/compare",
    "/compare/{file}",
    "/docs",
    "/docs/",
    "/docs/{file}",
    "/mail",
    "/mail/{file}",
    "/handoff",
    "/handoff/{file}",
];

/// Registers the routes of this module.
pub fn routes(config: &mut ServiceConfig) {
    config.service(health::live).service(health::ready).service(openapi::openapi_json);
    config
        .service(passkey_origins::related_origins)
        .service(providers::list_providers)
        .service(providers::provider_callback)
        .service(providers::provider_form_callback);
    // `map` keeps these routes out of the API's OpenAPI document; the comparison has its own.
    config.map(|config| config.service(comparison::compare_json).service(openapi::comparison_openapi_json));
    // Before the playground's files, whose path matches it as well.
    config.service(local_mails::local_mails);
    config.map(|config| config.service(playground::playground).service(playground::playground_file));
    config.map(|config| config.service(mail_page::mail_page).service(mail_page::mail_page_file));
    config.map(|config| config.service(handoff_page::handoff_page).service(handoff_page::handoff_page_file));
    config.map(|config| config.service(comparison::compare).service(comparison::compare_file));
    config
        .map(|config| config.service(docs::docs_file).service(docs::docs).service(docs::docs_without_slash));
}

/// Registers `/metrics`, for a separate listener.
pub fn metrics_routes(config: &mut actix_web::web::ServiceConfig) {
    config.service(metrics::resource());
}
