//! Paces the acceptance of new connections, so that a burst of them does not delay requests on existing ones.
//!
//! A worker is one thread that serves ready tasks in turn. Without pacing, a thousand clients that connect at once
//! would be a thousand turns before the next request on an existing connection.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Time between two connections during a burst: twice the cost of accepting one, which leaves half of the worker's
/// time for requests.
const INTERVAL: Duration = Duration::from_micros(200);

/// Number of connections that may be accepted at once before pacing starts.
const AT_ONCE: u32 = 16;

thread_local! {
    /// When this worker may accept its next connection. Lies in the past by up to [`AT_ONCE`] intervals.
    static NEXT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Waits until this connection may be accepted.
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

    /// When each of this number of simultaneous connections is accepted.
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
