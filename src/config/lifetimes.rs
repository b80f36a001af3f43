//! Lifetimes of logins and tokens.

use std::time::Duration;

/// Lifetimes of logins and tokens.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// `SESSION_IDLE_TTL`, `SESSION_TTL`.
    pub session: IdleAndAbsolute,
    /// `REMEMBER_IDLE_TTL`, `REMEMBER_TTL`.
    pub remember: IdleAndAbsolute,
    /// `ACCESS_TOKEN_TTL`.
    pub access_token: Duration,
    /// `REFRESH_GRACE`: how long a replaced credential is still accepted after a refresh.
    pub refresh_grace: Duration,
    /// `LAST_SEEN_INTERVAL`: precision of last-seen times; by default a fraction of the idle lifetime.
    pub last_seen: Option<Duration>,
}

impl Lifetimes {
    /// A login's lifetimes, without or with "remember me".
    pub fn of_login(&self, remember_me: bool) -> IdleAndAbsolute {
        if remember_me { self.remember } else { self.session }
    }

    /// How long a login's last-seen time may be pending before it is written. Until then, other nodes take the login
    /// for idle.
    pub fn last_seen_interval(&self, remember_me: bool) -> Duration {
        let idle = self.of_login(remember_me).idle;
        let usual = || (idle / 100).clamp(Duration::from_secs(10), Duration::from_secs(60 * 60));
        self.last_seen.unwrap_or_else(usual).min(idle / 2)
    }
}

/// A login's two lifetimes.
#[derive(Clone, Copy, Debug)]
pub struct IdleAndAbsolute {
    /// It ends after this time without use.
    pub idle: Duration,
    /// It ends after this time in any case.
    pub absolute: Duration,
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn idle_time_is_kept_as_exactly_as_it_is_long_or_as_is_set() {
        let intervals = |settings: &[(&str, &str)]| {
            let value = |name: &str| {
                settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
            };
            let lifetimes = Config::from_vars(value).expect("they are right").lifetimes;
            [false, true].map(|remember_me| lifetimes.last_seen_interval(remember_me).as_secs())
        };
        assert_eq!(intervals(&[]), [18, 3_600]);
        assert_eq!(intervals(&[("REMEMBER_IDLE_TTL", "1d")]), [18, 864]);
        assert_eq!(intervals(&[("SESSION_IDLE_TTL", "5m")]), [10, 3_600]);
        // Limited by the idle lifetime: otherwise a login would expire before its use is written.
        assert_eq!(intervals(&[("SESSION_IDLE_TTL", "12s")]), [6, 3_600]);
        assert_eq!(intervals(&[("LAST_SEEN_INTERVAL", "1s")]), [1, 1]);
        assert_eq!(intervals(&[("LAST_SEEN_INTERVAL", "2h")]), [900, 7_200]);
    }
}
