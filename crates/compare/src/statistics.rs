//! Medians with confidence intervals, and rounding to significant digits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A median with its 95 % confidence interval. No distribution is assumed: the limits are two of the values themselves (order
/// statistics). The range of all n values holds the true median with probability 1 − 2·0.5ⁿ: with six values 96.9 %, with five
/// 93.75 % only. With fewer than six values the interval is this range, and less than 95 % sure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedEstimate)]
pub struct Estimate {
    /// Number of values. With fewer than six the interval is their range, which is less than 95 % sure.
    #[serde(default)]
    pub count: usize,
    /// The median.
    pub median: f64,
    /// Lower limit of the interval.
    pub low: f64,
    /// Upper limit of the interval.
    pub high: f64,
}

/// Rounds to three significant digits: further digits are noise.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// Confidence level of intervals.
const CONFIDENCE: f64 = 0.95;

/// The fewest values whose range is an interval of this confidence level: 1 − 2·0.5⁶ = 0.969.
pub(super) const MIN_COUNT: usize = 6;

impl Estimate {
    /// The estimate from these values. `None` without finite values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let skipped = skipped(sorted.len());
        let median = (sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0;
        Some(Self { count: sorted.len(), median, low: sorted[skipped], high: sorted[last - skipped] })
    }
}

/// The number of values that the interval leaves out at either end: as many as keep the confidence level, where the number of
/// values below the true median is binomially distributed.
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
