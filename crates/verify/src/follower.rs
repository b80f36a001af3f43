//! The task that follows dualauth: its revocations, or its keys alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::client::RequestError;
use crate::core::Core;
use crate::feed::Outcome;
use crate::key_fetch::KEYS_LIFE;

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Follows without end.
pub(crate) async fn follow(core: Arc<Core>) {
    if core.client.can_follow() {
        follow_feed(&core).await
    } else {
        tracing::info!("no client is set: revocations are not followed");
        follow_keys(&core).await
    }
}

async fn follow_feed(core: &Core) {
    let (mut failures, mut state) = (0, State::default());
    loop {
        let began = Instant::now();
        // Behind, the present is asked for; else news.
        let wait = if core.is_fresh() { core.pace() } else { Duration::ZERO };
        let outcome = core.ask(wait).await;
        state.log(core.is_fresh(), outcome.as_ref().err());
        match outcome {
            // However dualauth answers, it is not asked more often.
            Ok(Outcome::Complete { news: false }) => sleep_until(began + core.pace()).await,
            Ok(_) => {}
            Err(_) => sleep(pause(failures, core.pace())).await,
        }
        failures = if outcome.is_ok() { 0 } else { failures + 1 };
    }
}

async fn follow_keys(core: &Core) {
    let (mut failures, mut state) = (0, State::default());
    loop {
        let outcome = core.fetch_keys().await;
        state.log(outcome.is_ok(), outcome.as_ref().err());
        let next = if outcome.is_ok() { KEYS_LIFE } else { pause(failures, core.pace()) };
        failures = if outcome.is_ok() { 0 } else { failures + 1 };
        sleep(next).await;
    }
}

/// The pause after a failure that follows this many others: none at first, since another node may answer.
fn pause(failures: u32, pace: Duration) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => pace.saturating_mul(2_u32.saturating_pow(failures - 1)).min(MAX_PAUSE),
    }
}

/// Whether dualauth was last followed, to log only changes of that.
#[derive(Default)]
struct State(Option<bool>);

impl State {
    fn log(&mut self, follows: bool, error: Option<&RequestError>) {
        let before = self.0.replace(follows);
        if before == Some(follows) || (before.is_none() && !follows && error.is_none()) {
            return;
        }
        match (follows, error) {
            (true, _) if before.is_none() => {
                tracing::info!("following dualauth: revoked tokens are refused within the bound")
            }
            // As loud as the loss.
            (true, _) => tracing::warn!("dualauth is followed again"),
            (false, Some(error)) => {
                tracing::warn!(%error, "dualauth is not followed: its keys and revocations may have changed")
            }
            (false, None) => {
                tracing::warn!("dualauth is not followed: its answers are older than the staleness bound")
            }
        }
    }
}
