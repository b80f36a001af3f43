//! What time it is: one source, so that a test can move it. And how much time passes, which nobody can move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};

/// The current time in UTC, in the microseconds that Postgres keeps, so that what was stored reads back equal.
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
    /// The machine's clock.
    pub fn system() -> Self {
        Self { source: TimeSource::System }
    }

    /// A clock that stands still until it is moved. Its clones move with it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self { source: TimeSource::Manual(Arc::new(AtomicI64::new(start.timestamp_micros()))) }
    }

    /// The time now.
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.source {
            TimeSource::System => system_micros(),
            TimeSource::Manual(micros) => micros.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Moves a manual clock on. The machine's clock it leaves alone.
    pub fn advance(&self, by: Duration) {
        if let TimeSource::Manual(micros) = &self.source {
            micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, forwards or back. The machine's clock it leaves alone.
    pub fn set(&self, now: DateTime<Utc>) {
        if let TimeSource::Manual(micros) = &self.source {
            micros.store(now.timestamp_micros(), Ordering::SeqCst);
        }
    }
}

/// By the machine's clock, in microseconds since 1970. Not by chrono, which makes a date of it first.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn system_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Writes a time as RFC 3339 has it: in UTC with `Z`, to the microsecond. A request's answer and its access line have one each,
/// and chrono's own takes four times as long.
pub fn write_rfc3339(time: DateTime<Utc>, into: &mut String) {
    let (date, clock) = (time.date_naive(), time.time());
    let year = u32::try_from(date.year()).ok().filter(|year| *year <= 9_999);
    let (Some(year), micros @ ..1_000_000) = (year, time.timestamp_subsec_micros()) else {
        // Out of the four digits of a year, or in a leap second.
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
    // It is made of ASCII characters.
    into.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// With zeros in front.
fn write_digits(mut number: u32, into: &mut [u8]) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// How much time has passed since some moment before this program began: the machine's sleep included, and whatever
/// anybody does to its clock. A node that lay asleep must not take what it knew before for fresh.
pub fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    const ID: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // Elsewhere this one goes on in sleep.
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
            // Of the years that people live in, those before and after four digits, and what is out of any calendar.
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
