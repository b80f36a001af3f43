//! Two clocks: the time of day, for what a token says, and the uptime, for how old knowledge is.

use std::time::Duration;

/// Both clocks. Tests can move them.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    moved: std::sync::Mutex<Moved>,
}

#[cfg(test)]
#[derive(Debug, Default, Clone, Copy)]
struct Moved {
    uptime: Duration,
    seconds: i64,
}

impl Clock {
    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        seconds_since_1970() + self.moved_seconds()
    }

    /// The time since some fixed moment, by a clock that nobody sets and, on Linux, that runs while the machine sleeps.
    pub(crate) fn uptime(&self) -> Duration {
        uptime() + self.moved_uptime()
    }

    #[cfg(not(test))]
    fn moved_seconds(&self) -> i64 {
        0
    }

    #[cfg(not(test))]
    fn moved_uptime(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
impl Clock {
    fn moved(&self) -> std::sync::MutexGuard<'_, Moved> {
        self.moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn moved_seconds(&self) -> i64 {
        self.moved().seconds
    }

    fn moved_uptime(&self) -> Duration {
        self.moved().uptime
    }

    /// Moves the uptime forwards.
    pub(crate) fn pass(&self, by: Duration) {
        self.moved().uptime += by;
    }

    /// Sets the time of day forwards or back, by this number of seconds.
    pub(crate) fn set(&self, by: i64) {
        self.moved().seconds += by;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn seconds_since_1970() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(target_os = "linux")]
fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn uptime() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
