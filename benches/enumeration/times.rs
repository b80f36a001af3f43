//! Whether two samples of times are of one kind.

use std::fmt;
use std::time::Duration;

/// How long answers took, in microseconds.
#[derive(Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    fn up_to(&self, limit: f64) -> Self {
        Self(self.0.iter().copied().filter(|time| *time <= limit).collect())
    }

    fn mean_and_variance(&self) -> (f64, f64) {
        let count = self.0.len() as f64;
        let mean = self.0.iter().sum::<f64>() / count;
        (mean, self.0.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0))
    }
}

/// Within which so large a part of all times is.
fn quantile(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Parts of the samples that are compared. The slowest answers were slowed down by something else; they hide what there is
/// to see among the others.
const PARTS: [f64; 3] = [1.0, 0.9, 0.5];

/// How two samples differ.
pub(crate) struct Comparison {
    medians: [f64; 2],
    /// Welch's t, for each part.
    t: [f64; 3],
}

impl Comparison {
    pub(crate) fn largest(&self) -> f64 {
        self.t.iter().fold(0.0, |largest, t| t.abs().max(largest))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [known, unknown] = self.medians;
        write!(f, "medians {known:.0} and {unknown:.0} us; t")?;
        for (part, t) in PARTS.iter().zip(self.t) {
            write!(f, " {t:+.2} (fastest {:.0} %)", part * 100.0)?;
        }
        Ok(())
    }
}

/// One limit for both samples: otherwise what was to be seen would be cut off.
pub(crate) fn compare(known: &Times, unknown: &Times) -> Comparison {
    let t = PARTS.map(|part| {
        let limit = quantile(&mut [&*known.0, &*unknown.0].concat(), part);
        welch(&known.up_to(limit), &unknown.up_to(limit))
    });
    let medians = [known, unknown].map(|times| quantile(&mut times.0.clone(), 0.5));
    Comparison { medians, t }
}

fn welch(one: &Times, other: &Times) -> f64 {
    let ((mean, variance), (other_mean, other_variance)) =
        (one.mean_and_variance(), other.mean_and_variance());
    let error = variance / one.0.len() as f64 + other_variance / other.0.len() as f64;
    (mean - other_mean) / error.sqrt()
}
