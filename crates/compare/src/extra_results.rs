//! Results of a variant that are measured outside the rounds of load.

use super::memory_and_disk_per_login::LoginFootprint;
use super::postgres_outage::Outage;
use super::report::{ActionCost, RevocationDelayByPlace};

/// Cost of sign-in and refresh, revocation delay, outage, and footprint of one variant.
#[derive(Default)]
pub(super) struct VariantExtraResults {
    pub(super) login: Option<ActionCost>,
    pub(super) refresh: Option<ActionCost>,
    pub(super) delay: Option<RevocationDelayByPlace>,
    pub(super) outage: Option<Outage>,
    pub(super) footprint: Vec<LoginFootprint>,
}
