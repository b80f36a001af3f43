//! The order of a visit, in which routes are listed and Swagger UI shows them: first one signs up, last one signs out.

use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use super::operations;

/// What a mode's routes are called, below its name. Any others come before the last two.
const ROUTE_ORDER: [&str; 6] = ["register", "login", "profile", "csrf", "refresh", "step-up"];
const LAST_ROUTES: [&str; 2] = ["logout", "logout-all"];

/// By tags, in their order; within one as in a visit; else as they are registered.
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
