//! What many measurements say together: medians, and how far they can be trusted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A median, with an interval that holds the true one in 95 of 100 runs. No distribution is assumed: it lies between
/// two of the values themselves (order statistics). With fewer than six values it is all of them, which is less sure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedEstimate)]
pub struct Estimate {
    /// How many values there were. Of fewer than five the interval is no more than their range.
    #[serde(default)]
    pub count: usize,
    /// Half of the values are below it.
    pub median: f64,
    /// Where the interval begins.
    pub low: f64,
    /// And where it ends.
    pub high: f64,
}

/// To three significant digits: more of them would be the machine's mood, and not the figure.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// How sure the interval is to be.
const CONFIDENCE: f64 = 0.95;

impl Estimate {
    /// Of these values; `None` when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let skipped = skipped(sorted.len());
        let median = (sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0;
        Some(Self { count: sorted.len(), median, low: sorted[skipped], high: sorted[last - skipped] })
    }
}

/// How many values may be left out at either end: the number of those below the median is binomial.
fn skipped(count: usize) -> usize {
    let mut skipped = 0;
    let mut outside = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut probability = outside;
    loop {
        probability *= (count - skipped) as f64 / (skipped + 1) as f64;
        outside += probability;
        if 2.0 * outside > 1.0 - CONFIDENCE || 2 * (skipped + 1) >= count {
            return skipped;
        }
        skipped += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // One-sample sign test, two-sided at 5 %: how many values are left out at either end.
        for (count, expected) in [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (20, 5), (25, 7)]
        {
            assert_eq!(skipped(count), expected, "of {count}");
        }
    }

    #[test]
    fn one_wild_value_moves_nothing() {
        let calm = (1..=15).map(f64::from);
        let estimate = Estimate::of(calm.chain([1e9])).expect("values");
        assert_eq!(estimate, Estimate { count: 16, median: 8.5, low: 4.0, high: 13.0 });
        assert_eq!(Estimate::of([f64::NAN]), None);
    }
}
