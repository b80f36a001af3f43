//! What is found out about a participant besides its rounds.

use super::login_footprint::LoginFootprint;
use super::postgres_outage::Outage;
use super::report::{ActionCost, RevocationDelayByNode};

/// All of it.
#[derive(Default)]
pub(super) struct ExtraResults {
    pub(super) login: Option<ActionCost>,
    pub(super) refresh: Option<ActionCost>,
    pub(super) delay: Option<RevocationDelayByNode>,
    pub(super) outage: Option<Outage>,
    pub(super) footprint: Vec<LoginFootprint>,
}
