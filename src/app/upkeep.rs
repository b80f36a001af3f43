//! What a running service does by itself. Each task is supervised: one that ends is begun again.

use std::sync::Arc;
use std::time::Duration;

use crate::database::Connections;
use crate::logins::{Feed, Reload};
use crate::upkeep::Upkeep;

use super::state::State;

/// Makes feeds: one for the start, and another whenever the one before is done for. Each begins anew.
pub(super) fn feeds(state: &State) -> impl Fn() -> Feed + Clone + Send + 'static {
    let others: Vec<Arc<dyn Reload>> = vec![Arc::new(state.keys.clone()), state.clients.clone()];
    let (logins, metrics, trail) = (state.logins.clone(), state.metrics.clone(), state.trail.clone());
    move || logins.feed(others.clone(), metrics.clone(), trail.clone())
}

/// Begins every task. `first` is the feed that has been polled at the start.
pub(super) fn spawn_upkeep(
    upkeep: &mut Upkeep,
    state: &State,
    first: Feed,
    feed: impl Fn() -> Feed + Clone + Send + 'static,
    pool: Connections,
    audit_retention: Duration,
) {
    let (anew, mut first) = (feed.clone(), Some(first));
    upkeep.keep("feed.listen", move || {
        let feed = feed();
        async move { feed.listen().await }
    });
    upkeep.keep("feed.follow", move || first.take().unwrap_or_else(&anew).follow());
    let logins = state.logins.clone();
    upkeep.keep("logins.keep_activity", move || logins.clone().keep_activity());
    let logins = state.logins.clone();
    upkeep.keep("logins.keep_swept", move || logins.clone().keep_swept());
    let commits = state.commits.clone();
    upkeep.keep("commits.keep", move || commits.clone().keep());
    let accounts = state.accounts.clone();
    upkeep.keep("accounts.keep_swept", move || accounts.clone().keep_swept(pool.clone()));
    let (keys, trail) = (state.keys.clone(), state.trail.clone());
    upkeep.keep("keys.keep", move || keys.clone().keep(trail.clone()));
    let trail = state.trail.clone();
    upkeep.keep("trail.keep", move || trail.clone().keep());
    let trail = state.trail.clone();
    upkeep.keep("trail.keep_swept", move || trail.clone().keep_swept(audit_retention));
}
