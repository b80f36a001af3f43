//! What a running service does by itself. Each task is supervised: one that ends is begun again.

use std::sync::Arc;
use std::time::Duration;

use crate::database::ConnectionPool;
use crate::logins::{Feed, ReloadOnRevocation};
use crate::upkeep::Upkeep;

use super::state::State;

/// Makes feeds: one for the start, and another whenever the one before is done for. Each begins anew.
pub(super) fn feeds(state: &State) -> impl Fn() -> Feed + Clone + Send + 'static {
    let others: Vec<Arc<dyn ReloadOnRevocation>> = vec![Arc::new(state.keys.clone()), state.clients.clone()];
    let (logins, metrics) = (state.logins.clone(), state.metrics.clone());
    move || logins.feed(others.clone(), metrics.clone())
}

/// Begins every task. `first` is the feed that has been polled at the start.
pub(super) fn spawn_upkeep(
    upkeep: &mut Upkeep,
    state: &State,
    first: Feed,
    feed: impl Fn() -> Feed + Clone + Send + 'static,
    pool: ConnectionPool,
    audit_retention: Duration,
) {
    let (anew, mut first) = (feed.clone(), Some(first));
    upkeep.supervise("feed.listen", move || {
        let feed = feed();
        async move { feed.listen().await }
    });
    upkeep.supervise("feed.follow", move || first.take().unwrap_or_else(&anew).follow());
    let logins = state.logins.clone();
    upkeep.supervise("logins.keep_activity", move || logins.clone().run_activity_writer());
    let logins = state.logins.clone();
    upkeep.supervise("logins.keep_swept", move || logins.clone().run_sweep());
    let commits = state.commits.clone();
    upkeep.supervise("commits.keep", move || commits.clone().run());
    let accounts = state.accounts.clone();
    upkeep.supervise("accounts.keep_swept", move || accounts.clone().run_sweep(pool.clone()));
    let keys = state.keys.clone();
    upkeep.supervise("keys.keep", move || keys.clone().run_upkeep());
    let trail = state.trail.clone();
    upkeep.supervise("trail.keep", move || trail.clone().run_writer());
    let trail = state.trail.clone();
    upkeep.supervise("trail.keep_swept", move || trail.clone().run_sweep(audit_retention));
}
