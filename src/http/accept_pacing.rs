//! The door: new connections of a worker come in one after the other, so that a crowd in front of it keeps nobody waiting
//! who is inside already.
//!
//! A worker is one thread, and takes whatever is ready in turn. A thousand clients that connect at once are a thousand
//! turns, and whoever asks for a profile meanwhile waits for all of them.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How far apart they come in when there are many: twice of what one costs, so that half of the worker's time is left.
const INTERVAL: Duration = Duration::from_micros(200);

/// How many may come in at once, for whom there need not be a crowd.
const AT_ONCE: u32 = 16;

thread_local! {
    /// When the next of this worker's may come in. It lies behind now by as many as may come at once.
    static NEXT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Waits until it is this connection's turn.
pub async fn wait_for_turn() {
    let now = Instant::now();
    let turn = turn(NEXT.get(), now);
    NEXT.set(Some(turn + INTERVAL));
    if turn > now {
        sleep_until(turn).await;
    }
}

fn turn(next: Option<Instant>, now: Instant) -> Instant {
    let earliest = now.checked_sub(INTERVAL * AT_ONCE).unwrap_or(now);
    next.map_or(earliest, |next| next.max(earliest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of so many comes in who are there at the same time.
    fn crowd(count: u32) -> Vec<Duration> {
        let now = Instant::now();
        let mut next = None;
        let turns = (0..count).map(|_| {
            let turn = turn(next, now);
            next = Some(turn + INTERVAL);
            turn.saturating_duration_since(now)
        });
        turns.collect()
    }

    #[test]
    fn a_few_come_in_at_once_and_a_crowd_one_after_the_other() {
        let turns = crowd(1_000);
        let at_once = turns.iter().filter(|turn| turn.is_zero()).count();
        assert_eq!(at_once, AT_ONCE as usize + 1);
        assert_eq!(turns[999] - turns[998], INTERVAL);
        assert_eq!(turns[999], INTERVAL * (999 - AT_ONCE));
    }

    #[tokio::test]
    async fn a_crowd_at_the_door_is_let_in_at_its_pace() {
        let began = Instant::now();
        futures_util::future::join_all((0..200).map(|_| wait_for_turn())).await;
        assert!(began.elapsed() >= INTERVAL * (199 - AT_ONCE), "{:?}", began.elapsed());
    }

    #[test]
    fn nobody_waits_for_a_crowd_that_is_gone() {
        let now = Instant::now();
        let long_ago = now.checked_sub(Duration::from_secs(1)).expect("there was a time");
        assert!(turn(Some(long_ago), now) <= now);
    }
}
