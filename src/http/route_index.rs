//! The routes by their paths, read from the API's documents: what `Allow` says of each, what is counted of it, and what is
//! answered where there is none.

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

use super::forward_auth::{VERIFY, is_forward_auth};

/// What there is, by its path: which methods it answers, read from the API's own document, so that there is one list of
/// routes, and what is counted of it.
#[derive(Debug)]
pub struct RouteIndex {
    all: Vec<IndexedRoute>,
    /// Where each is, by its path up to a parameter, with which all those end that have one.
    places: HashMap<String, usize, DefaultHashBuilder>,
    /// What is counted of all other paths together.
    unknown: metrics::Route,
}

#[derive(Debug)]
struct IndexedRoute {
    pattern: ResourceDef,
    allow: String,
    counts: metrics::Route,
}

/// What all paths are counted as that there are not.
const UNKNOWN: &str = "unknown";

impl RouteIndex {
    /// The routes of these documents, and these pages, which none of them lists.
    pub fn of(documents: &[&OpenApi], pages: &[&str], metrics: &Metrics) -> Self {
        let paths = documents.iter().flat_map(|document| &document.paths.paths);
        let paths = paths.map(|(path, item)| (path.as_str(), allow(item)));
        let pages = pages.iter().map(|page| (*page, ALLOW_GET.to_owned()));
        let (mut all, mut places) = (Vec::new(), HashMap::default());
        for (path, allow) in paths.chain(pages) {
            let fixed = path.split_once('{').map_or(path, |(fixed, _)| fixed);
            // `/docs/` is a page, and `/docs/{file}` begins with it.
            let key = if fixed == path { path.to_owned() } else { format!("{fixed}{{}}") };
            places.insert(key, all.len());
            all.push(IndexedRoute { pattern: ResourceDef::new(path), allow, counts: metrics.route(path) });
        }
        Self { all, places, unknown: metrics.route(UNKNOWN) }
    }

    /// What `Allow` says of this path; `None` when there is no such path.
    fn allow(&self, path: &str) -> Option<&str> {
        self.all.iter().find(|known| known.pattern.is_match(path)).map(|known| known.allow.as_str())
    }

    /// Where a path is in the list. Without matching each pattern: that would be a good part of what a request costs.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        // The paths below are other servers'.
        let path = if is_forward_auth(path) { VERIFY } else { path };
        let with_parameter = || {
            let (folder, _) = path.rsplit_once('/').filter(|(_, last)| !last.is_empty())?;
            self.places.get(&format!("{folder}/{{}}"))
        };
        self.places.get(path).or_else(with_parameter).copied()
    }

    /// The path of that route, as the API's document has it.
    pub(super) fn name(&self, place: Option<usize>) -> Option<&str> {
        Some(self.all.get(place?)?.counts.name())
    }

    /// What is counted of that route, or of all paths that there are not.
    pub(super) fn counts(&self, place: Option<usize>) -> &metrics::Route {
        place.and_then(|place| self.all.get(place)).map_or(&self.unknown, |known| &known.counts)
    }
}

fn allow(item: &PathItem) -> String {
    let methods = [
        ("GET, HEAD", item.get.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
        ("OPTIONS", true),
    ];
    methods.into_iter().filter(|(_, exists)| *exists).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// What a path answers that is only read.
const ALLOW_GET: &str = "GET, HEAD, OPTIONS";

/// What the server answers as a whole (RFC 9110, section 9.3.7).
const ALLOW_ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Answers what no route does: on a known path `OPTIONS`, and 405 to another method; 404 elsewhere.
pub async fn no_route(request: HttpRequest, routes: Data<RouteIndex>) -> HttpResponse {
    let allow = if request.path() == "*" { Some(ALLOW_ALL) } else { routes.allow(request.path()) };
    match allow {
        Some(allow) => other_method(&request, allow),
        None => not_found().await,
    }
}

/// Answers on a path that is only read what is not reading.
pub async fn other_method_than_get(request: HttpRequest) -> HttpResponse {
    other_method(&request, ALLOW_GET)
}

fn other_method(request: &HttpRequest, allow: &str) -> HttpResponse {
    if request.method() == Method::OPTIONS {
        return HttpResponse::NoContent().insert_header((ALLOW, allow)).finish();
    }
    Problem::method_not_allowed(allow.to_owned()).response()
}

/// Answers a path that there is not.
pub async fn not_found() -> HttpResponse {
    Problem::new(Code::NotFound, "There is nothing at this path.").response()
}
