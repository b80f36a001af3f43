//! Distribution of revocation delays.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::target::{AuthMode, CredentialTransport};
use super::super::variant::DUALAUTH;
use super::{Report, Variant};

/// How long a credential is accepted after the acknowledgement of its logout, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedRevocationDelay)]
pub struct RevocationDelayByPlace {
    /// On the node that handled the logout.
    pub same_node: DelayDistribution,
    /// On another node.
    pub other_node: Option<DelayDistribution>,
    /// In another service, which verifies access tokens by itself and, unless `revocation` is `off`, follows dualauth's feed. Null for
    /// sessions, and for algorithms without public keys.
    #[serde(default)]
    pub other_service: Option<DelayDistribution>,
}

/// Distribution of revocation delays, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedDelay)]
pub struct DelayDistribution {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub max: f64,
    /// True when no credential was refused within the watch time: the figures are then their remaining lifetimes.
    pub until_expiry: bool,
    /// Number of credentials that were not refused within the watch time. Unless `until_expiry` is true, each of them counts with
    /// the watch time (censored).
    #[serde(default)]
    pub outlived: usize,
    /// The watch time: how long a credential was used after its logout.
    #[serde(default)]
    pub watched: f64,
    /// All values, in ascending order.
    pub samples: Vec<f64>,
}

impl RevocationDelayByPlace {
    /// The three places, in the order of the fields.
    pub(super) fn places(&self) -> [Option<&DelayDistribution>; 3] {
        [Some(&self.same_node), self.other_node.as_ref(), self.other_service.as_ref()]
    }
}

impl Report {
    /// The delay of a Bearer token in another service that follows the feed, and the variant that it is of: the first with public
    /// keys.
    pub(super) fn delay_in_other_service(&self) -> Option<(&Variant, &DelayDistribution)> {
        let follows = |variant: &&Variant| {
            let ours = variant.system == DUALAUTH && variant.nodes == 1 && variant.mode == AuthMode::Jwt;
            ours && variant.transport == CredentialTransport::Bearer
                && variant.revocation.as_deref() == Some("feed")
        };
        let mut delays = self.variants.iter().filter(follows).filter_map(|variant| {
            Some((variant, variant.revocation_delay_ms.as_ref()?.other_service.as_ref()?))
        });
        delays.next()
    }
}

impl DelayDistribution {
    /// From the delays of credentials that were refused, and the remaining lifetimes of those that were not, if they are known;
    /// all in milliseconds. `None` without any.
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

    /// Whether this value is censored: at least the watch time, but not known exactly.
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
        // Some were refused, so revocation works, and the other took longer than the watch time.
        assert_eq!(delay(&[1.0, 2.0], &[Some(900_000.0)]), (2.0, 5_000.0, false, true));
        // One remaining lifetime is unknown.
        assert_eq!(delay(&[], &[None, Some(1.0)]), (5_000.0, 5_000.0, false, true));
        assert!(DelayDistribution::of(Vec::new(), &[], 1.0).is_none());
    }
}
