//! The signals that stop the program: Ctrl-C, what service managers send, and the terminal's end.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Signals within this time are one wish to stop: GNU `timeout` sends two, and a terminal may send its own beside another.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// Listens for them from when it is made.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// None: whoever started the program wants it to outlive the terminal (`nohup`).
    hangup: Option<Signal>,
    /// When the last wish began.
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

    /// Waits for the next wish to stop.
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

/// Where the kernel does not tell, it is not.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The lowest bit is signal 1.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
