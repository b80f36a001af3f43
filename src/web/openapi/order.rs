//! The order of routes in the OpenAPI document and Swagger UI: as a user needs them, from registration to logout.

use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use super::operations;

/// The order of a mode's routes, by the path below its name. Other routes come between these and the last ones.
const ROUTE_ORDER: [&str; 6] = ["register", "login", "profile", "csrf", "refresh", "step-up"];
const LAST_ROUTES: [&str; 2] = ["logout", "logout-all"];

/// Sorts by tag, then by route; otherwise keeps the order of registration.
pub(super) fn sort(document: &mut OpenApi) {
    let tags: Vec<String> = document.tags.iter().flatten().map(|tag| tag.name.clone()).collect();
    let sorted = |path: &String, item: &PathItem| (tag_rank(&tags, item), route_rank(path));
    document.paths.paths.sort_by_cached_key(sorted);
}

fn tag_rank(tags: &[String], item: &PathItem) -> usize {
    let mut item = item.clone();
    let tag =
        operations(&mut item).next().and_then(|(_, operation)| operation.tags.clone()?.into_iter().next());
    let rank = tag.and_then(|tag| tags.iter().position(|known| *known == tag));
    rank.unwrap_or(tags.len())
}

fn route_rank(path: &str) -> usize {
    let name = path.split('/').nth(2).unwrap_or_default();
    let first = ROUTE_ORDER.iter().position(|known| *known == name);
    let last = || LAST_ROUTES.iter().position(|known| *known == name).map(|at| ROUTE_ORDER.len() + 1 + at);
    first.or_else(last).unwrap_or(ROUTE_ORDER.len())
}
