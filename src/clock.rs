//! The clock, which tests can move, and the uptime, which nothing can move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};

/// The current UTC time in microseconds, the precision of Postgres, so that a stored time reads back equal.
#[derive(Clone, Debug)]
pub struct Clock {
    source: TimeSource,
}

#[derive(Clone, Debug)]
enum TimeSource {
    System,
    /// Microseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system clock.
    pub fn system() -> Self {
        Self { source: TimeSource::System }
    }

    /// A clock that stands still until it is moved. Its clones share the time.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self { source: TimeSource::Manual(Arc::new(AtomicI64::new(start.timestamp_micros()))) }
    }

    /// The current time.
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.source {
            TimeSource::System => system_micros(),
            TimeSource::Manual(micros) => micros.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Moves a manual clock forwards. Does nothing to the system clock.
    pub fn advance(&self, by: Duration) {
        if let TimeSource::Manual(micros) = &self.source {
            micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, forwards or back. Does nothing to the system clock.
    pub fn set(&self, now: DateTime<Utc>) {
        if let TimeSource::Manual(micros) = &self.source {
            micros.store(now.timestamp_micros(), Ordering::SeqCst);
        }
    }
}

/// Microseconds since 1970 by the system clock. Not `Utc::now`, which computes a calendar date first.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn system_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Appends a time in RFC 3339 format: UTC with `Z`, to the microsecond. Takes a quarter of the time of chrono's
/// formatter, and runs at least twice per request (response and access log).
pub fn write_rfc3339(time: DateTime<Utc>, into: &mut String) {
    let (date, clock) = (time.date_naive(), time.time());
    let year = u32::try_from(date.year()).ok().filter(|year| *year <= 9_999);
    let (Some(year), micros @ ..1_000_000) = (year, time.timestamp_subsec_micros()) else {
        // A year without exactly four digits, or a leap second.
        return into.push_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true));
    };
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let parts = [
        (0..4, year),
        (5..7, date.month()),
        (8..10, date.day()),
        (11..13, clock.hour()),
        (14..16, clock.minute()),
        (17..19, clock.second()),
        (20..26, micros),
    ];
    for (place, number) in parts {
        write_digits(number, &mut text[place]);
    }
    // Always ASCII.
    into.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// Fills the slice with decimal digits, padded with zeros.
fn write_digits(mut number: u32, into: &mut [u8]) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Time since an arbitrary moment before the program started. It includes time that the machine slept, and is
/// independent of changes of the system clock. A node that slept must not take its old knowledge for fresh.
pub fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    const ID: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // On other systems, the monotonic clock goes on during sleep.
    #[cfg(not(target_os = "linux"))]
    const ID: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let passed = rustix::time::clock_gettime(ID);
    Duration::new(passed.tv_sec.unsigned_abs(), u32::try_from(passed.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::property_testing::check;

    #[test]
    fn a_time_is_written_as_chrono_writes_it() {
        let micros = prop_oneof![
            any::<i64>(),
            // Usual years, years with other than four digits, and times outside of chrono's range.
            0..4_102_444_800_000_000_i64,
            -70_000_000_000_000_000..300_000_000_000_000_000_i64,
        ];
        check(micros, |micros| {
            let time = DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let mut written = "at ".to_owned();
            write_rfc3339(time, &mut written);
            prop_assert_eq!(written, format!("at {}", time.to_rfc3339_opts(SecondsFormat::Micros, true)));
            Ok(())
        });
    }

    #[test]
    fn a_leap_second_is_written_as_chrono_writes_it() {
        let day = DateTime::<Utc>::UNIX_EPOCH.date_naive();
        let leap = day.and_hms_micro_opt(23, 59, 59, 1_500_000).expect("a leap second").and_utc();
        let mut written = String::new();
        write_rfc3339(leap, &mut written);
        assert_eq!(written, "1970-01-01T23:59:60.500000Z");
    }
}
