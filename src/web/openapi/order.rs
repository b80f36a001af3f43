//! The order of a visit, in which routes are listed and Swagger UI shows them: first one signs up, last one signs out.

use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use super::operations;

/// What a mode's routes are called, below its name. Any others come before the last two.
const VISIT: [&str; 6] = ["register", "login", "profile", "csrf", "refresh", "step-up"];
const LEAVING: [&str; 2] = ["logout", "logout-all"];

/// By tags, in their order; within one as in a visit; else as they are registered.
pub(super) fn sort(document: &mut OpenApi) {
    let tags: Vec<String> = document.tags.iter().flatten().map(|tag| tag.name.clone()).collect();
    let sorted = |path: &String, item: &PathItem| (place_of_tag(&tags, item), place_in_visit(path));
    document.paths.paths.sort_by_cached_key(sorted);
}

fn place_of_tag(tags: &[String], item: &PathItem) -> usize {
    let mut item = item.clone();
    let tag =
        operations(&mut item).next().and_then(|(_, operation)| operation.tags.clone()?.into_iter().next());
    let place = tag.and_then(|tag| tags.iter().position(|known| *known == tag));
    place.unwrap_or(tags.len())
}

fn place_in_visit(path: &str) -> usize {
    let name = path.split('/').nth(2).unwrap_or_default();
    let arriving = VISIT.iter().position(|known| *known == name);
    let leaving = || LEAVING.iter().position(|known| *known == name).map(|place| VISIT.len() + 1 + place);
    arriving.or_else(leaving).unwrap_or(VISIT.len())
}
