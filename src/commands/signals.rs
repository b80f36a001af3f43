//! Stop signals: SIGINT, SIGTERM and SIGHUP, debounced.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Signals within this time count as one: GNU `timeout` sends two, and a terminal may send its own in addition.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// Listens for stop signals from its creation on.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if SIGHUP is ignored, as by `nohup`: then the program must outlive the terminal.
    hangup: Option<Signal>,
    /// When the last signal that counted arrived.
    last: Option<Instant>,
}

impl StopSignals {
    pub(super) fn new() -> std::io::Result<Self> {
        let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
            last: None,
        })
    }

    /// Waits for the next signal that counts.
    pub(super) async fn next(&mut self) {
        loop {
            self.recv_any().await;
            let now = Instant::now();
            if self.last.is_none_or(|last| now - last >= DEBOUNCE) {
                self.last = Some(now);
                return;
            }
        }
    }

    async fn recv_any(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Returns `true` if the process ignores SIGHUP; `false` also on systems without `/proc`.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1, SIGHUP.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
