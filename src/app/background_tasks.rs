//! The background tasks of a running service. Each is supervised: a task that ends or panics is restarted.

use std::sync::Arc;
use std::time::Duration;

use crate::database::ConnectionPool;
use crate::logins::{Feed, ReloadableCache};
use crate::upkeep::Upkeep;

use super::state::State;

/// A factory of revocation feeds: one for the start, and a new one for each restart of a task. Each new feed reads the
/// revocations from the beginning.
pub(super) fn feeds(state: &State) -> impl Fn() -> Feed + Clone + Send + 'static {
    let others: Vec<Arc<dyn ReloadableCache>> = vec![Arc::new(state.keys.clone()), state.clients.clone()];
    let (logins, metrics) = (state.logins.clone(), state.metrics.clone());
    move || logins.feed(others.clone(), metrics.clone())
}

/// Starts every task. `first` is the feed that was already polled once at startup.
pub(super) fn spawn_tasks(
    upkeep: &mut Upkeep,
    state: &State,
    first: Feed,
    feed: impl Fn() -> Feed + Clone + Send + 'static,
    pool: ConnectionPool,
    audit_retention: Duration,
) {
    let (new_feed, mut first) = (feed.clone(), Some(first));
    upkeep.supervise("revocation_feed.listener", move || {
        let feed = feed();
        async move { feed.listen().await }
    });
    upkeep.supervise("revocation_feed.poller", move || first.take().unwrap_or_else(&new_feed).follow());
    let logins = state.logins.clone();
    upkeep.supervise("logins.activity_writer", move || logins.clone().run_activity_writer());
    let logins = state.logins.clone();
    upkeep.supervise("logins.sweep", move || logins.clone().run_sweep());
    let commits = state.commits.clone();
    upkeep.supervise("commit_probe", move || commits.clone().run());
    let (challenges, sweep_pool) = (Arc::clone(&state.challenges), pool.clone());
    upkeep.supervise("challenges.sweep", move || Arc::clone(&challenges).run_sweep(sweep_pool.clone()));
    let tokens_pool = pool.clone();
    let accounts = state.accounts.clone();
    upkeep.supervise("accounts.sweep", move || accounts.clone().run_sweep(pool.clone()));
    let custom_tokens = state.custom_tokens.clone();
    upkeep.supervise("custom_tokens.sweep", move || custom_tokens.clone().run_sweep(tokens_pool.clone()));
    let keys = state.keys.clone();
    upkeep.supervise("keys.maintenance", move || keys.clone().run_upkeep());
    let sender = state.mail_sender.clone();
    upkeep.supervise("mail.sender", move || sender.clone().run());
    let sender = state.mail_sender.clone();
    upkeep.supervise("mail.sweep", move || sender.clone().run_sweep());
    let trail = state.trail.clone();
    upkeep.supervise("audit.writer", move || trail.clone().run_writer());
    let trail = state.trail.clone();
    upkeep.supervise("audit.sweep", move || trail.clone().run_sweep(audit_retention));
}
