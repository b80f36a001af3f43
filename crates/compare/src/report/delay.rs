//! How long a credential lives on after its end was acknowledged.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long a credential lives on after its end was acknowledged, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedRevocationDelay)]
pub struct RevocationDelayByNode {
    /// On the node that ended it.
    pub same_node: DelayDistribution,
    /// On another one.
    pub other_node: Option<DelayDistribution>,
}

/// In milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedDelay)]
pub struct DelayDistribution {
    /// Half of them were shorter.
    pub p50: f64,
    /// All but one in a hundred were shorter.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// None was refused while anybody looked: these are the times until they run out by themselves.
    pub until_expiry: bool,
    /// How many were not refused while anybody looked. Unless these are all and it is known when they run out, each counts
    /// as long as it was looked at.
    #[serde(default)]
    pub outlived: usize,
    /// For how long somebody looked.
    #[serde(default)]
    pub watched: f64,
    /// All that were seen.
    pub samples: Vec<f64>,
}

impl DelayDistribution {
    /// Of credentials that were refused after so long, and of others that were not, with what was left of their lives at
    /// their end, if that is known; all in milliseconds. `None` when there are none.
    pub(in super::super) fn of(refused: Vec<f64>, not_revoked: &[Option<f64>], watched: f64) -> Option<Self> {
        let left: Option<Vec<f64>> = not_revoked.iter().copied().collect();
        let left = left.filter(|left| refused.is_empty() && !left.is_empty());
        let (until_expiry, outlived) = (left.is_some(), not_revoked.len());
        let mut samples = left.unwrap_or_else(|| [refused, vec![watched; outlived]].concat());
        samples.sort_by(f64::total_cmp);
        let last = samples.len().checked_sub(1)?;
        let at = |part: f64| samples[(last as f64 * part).ceil() as usize];
        Some(Self {
            p50: at(0.5),
            p99: at(0.99),
            max: samples[last],
            until_expiry,
            outlived,
            watched,
            samples,
        })
    }

    /// Whether this time is how long somebody looked, and no more is known.
    pub fn is_censored(&self, time: f64) -> bool {
        !self.until_expiry && self.outlived > 0 && time >= self.watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_refused_is_told_as_far_as_that_is_known() {
        let delay = |refused: &[f64], not_revoked: &[Option<f64>]| {
            let delay = DelayDistribution::of(refused.to_vec(), not_revoked, 5_000.0).expect("samples");
            (delay.p50, delay.max, delay.until_expiry, delay.is_censored(delay.max))
        };
        assert_eq!(delay(&[2.0, 1.0, 3.0], &[]), (2.0, 3.0, false, false));
        assert_eq!(delay(&[], &[Some(900_000.0), Some(899_000.0)]), (900_000.0, 900_000.0, true, false));
        // Some were refused: it can be done, and took longer than anybody looked.
        assert_eq!(delay(&[1.0, 2.0], &[Some(900_000.0)]), (2.0, 5_000.0, false, true));
        // Nobody knows when it ends.
        assert_eq!(delay(&[], &[None, Some(1.0)]), (5_000.0, 5_000.0, false, true));
        assert!(DelayDistribution::of(Vec::new(), &[], 1.0).is_none());
    }
}
