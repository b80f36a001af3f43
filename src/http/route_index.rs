//! An index of all routes, read from the OpenAPI documents: allowed methods, metrics, and responses for unknown paths
//! and methods.

use std::collections::HashMap;

use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use hashlink::DefaultHashBuilder;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use crate::error::{Code, Problem};
use crate::metrics::{self, Metrics};

use super::forward_auth_endpoint_path::{VERIFY, is_forward_auth};
use super::get_with_effect::is_get_with_effect;

/// The routes by path. Their methods come from the OpenAPI documents, so that there is only one list of routes.
#[derive(Debug)]
pub struct RouteIndex {
    all: Vec<IndexedRoute>,
    /// Index of each route in `all`, by its path. Paths with a parameter are cut after the fixed part and end with
    /// `{}`.
    places: HashMap<String, usize, DefaultHashBuilder>,
    /// Metrics of all unknown paths together.
    unknown: metrics::RouteMetrics,
}

#[derive(Debug)]
struct IndexedRoute {
    pattern: ResourceDef,
    allow: String,
    counts: metrics::RouteMetrics,
}

/// The route name of unknown paths in metrics.
const UNKNOWN: &str = "unknown";

impl RouteIndex {
    /// Indexes the routes of these documents, and these pages, which are not in any document.
    pub fn of(documents: &[&OpenApi], pages: &[&str], metrics: &Metrics) -> Self {
        let paths = documents.iter().flat_map(|document| &document.paths.paths);
        let paths = paths.map(|(path, item)| (path.as_str(), allow(path, item)));
        let pages = pages.iter().map(|page| (*page, ALLOW_GET.to_owned()));
        let (mut all, mut places) = (Vec::new(), HashMap::default());
        for (path, allow) in paths.chain(pages) {
            let fixed = path.split_once('{').map_or(path, |(fixed, _)| fixed);
            // `/docs/` is a page, and `/docs/{file}` has the same fixed part.
            let key = if fixed == path { path.to_owned() } else { format!("{fixed}{{}}") };
            places.insert(key, all.len());
            all.push(IndexedRoute { pattern: ResourceDef::new(path), allow, counts: metrics.route(path) });
        }
        Self { all, places, unknown: metrics.route(UNKNOWN) }
    }

    /// The value of `Allow` for this path; `None` when the path is unknown.
    fn allow(&self, path: &str) -> Option<&str> {
        self.all.iter().find(|known| known.pattern.is_match(path)).map(|known| known.allow.as_str())
    }

    /// The index of the path's route. Does not match pattern by pattern, which would be a large part of a request's
    /// cost.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        // Anything below it is a path of another server.
        let path = if is_forward_auth(path) { VERIFY } else { path };
        let with_parameter = || {
            let (folder, _) = path.rsplit_once('/').filter(|(_, last)| !last.is_empty())?;
            self.places.get(&format!("{folder}/{{}}"))
        };
        self.places.get(path).or_else(with_parameter).copied()
    }

    /// The path pattern of the route, as in the OpenAPI document.
    pub(super) fn name(&self, place: Option<usize>) -> Option<&str> {
        Some(self.all.get(place?)?.counts.name())
    }

    /// The metrics of the route, or those of unknown paths.
    pub(super) fn counts(&self, place: Option<usize>) -> &metrics::RouteMetrics {
        place.and_then(|place| self.all.get(place)).map_or(&self.unknown, |known| &known.counts)
    }
}

fn allow(path: &str, item: &PathItem) -> String {
    let methods = [
        (if is_get_with_effect(path) { "GET" } else { "GET, HEAD" }, item.get.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
        ("OPTIONS", true),
    ];
    methods.into_iter().filter(|(_, exists)| *exists).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// The methods of read-only paths.
const ALLOW_GET: &str = "GET, HEAD, OPTIONS";

/// The methods of the server as a whole, for `OPTIONS *` (RFC 9110, section 9.3.7).
const ALLOW_ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Responds when no route matches: to `OPTIONS` on a known path, with 405 to other methods, and with 404 on unknown
/// paths.
pub async fn no_route(request: HttpRequest, routes: Data<RouteIndex>) -> HttpResponse {
    let allow = if request.path() == "*" { Some(ALLOW_ALL) } else { routes.allow(request.path()) };
    match allow {
        Some(allow) => other_method(&request, allow),
        None => not_found().await,
    }
}

/// Responds on a read-only path to methods other than `GET`.
pub async fn other_method_than_get(request: HttpRequest) -> HttpResponse {
    other_method(&request, ALLOW_GET)
}

fn other_method(request: &HttpRequest, allow: &str) -> HttpResponse {
    if request.method() == Method::OPTIONS {
        return HttpResponse::NoContent().insert_header((ALLOW, allow)).finish();
    }
    Problem::method_not_allowed(allow.to_owned()).response()
}

/// Responds on an unknown path.
pub async fn not_found() -> HttpResponse {
    Problem::new(Code::NotFound, "There is nothing at this path.").response()
}
