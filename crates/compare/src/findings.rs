//! What is found out about an entrant besides its rounds.

use super::footprint::Footprint;
use super::outage::Outage;
use super::report::{Cost, RevocationDelay};

/// All of it.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) login: Option<Cost>,
    pub(super) refresh: Option<Cost>,
    pub(super) delay: Option<RevocationDelay>,
    pub(super) outage: Option<Outage>,
    pub(super) footprint: Vec<Footprint>,
}
