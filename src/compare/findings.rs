//! What is found out about an entrant besides its rounds.

use super::cost;
use super::entrants::{Entrant, Fleet};
use super::footprint::Footprint;
use super::http::Connection;
use super::outage::Outage;
use super::postgres::Postgres;
use super::report::{Cost, Delay, RevocationDelay};
use super::revocation::{self, Fate};
use super::spending::Quiet;
use super::stage::Server;
use super::{CompareError, Plan};

/// Of those that outlive their end, some are enough: each takes all the time that there is.
const OUTLIVERS: usize = 2;

/// All of it.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) login: Option<Cost>,
    pub(super) refresh: Option<Cost>,
    pub(super) delay: Option<RevocationDelay>,
    pub(super) outage: Option<Outage>,
    pub(super) footprint: Vec<Footprint>,
}

impl Findings {
    /// What it costs to sign in, and to refresh.
    pub(super) fn find_costs(
        &mut self,
        entrant: &Entrant,
        fleet: &Fleet,
        postgres: Option<&Postgres>,
        quiet: &Quiet,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let (way, server) = (&entrant.way, &fleet.servers[0]);
        let disk = postgres.zip(fleet.database.as_ref());
        let sign_in = |connection: &mut Connection| entrant.visitor.clone().sign_in(way, connection);
        self.login = Some(cost::measure(server, disk, quiet, plan.sign_ins, sign_in)?);
        if let Some(step) = &way.refresh {
            let mut visitor = entrant.visitor.clone();
            visitor.sign_in(way, &mut Connection::to(server.origin.clone()))?;
            let refresh = |connection: &mut Connection| visitor.take(step, connection);
            self.refresh = Some(cost::measure(server, disk, quiet, plan.refreshes, refresh)?);
        }
        Ok(())
    }

    /// How long a credential lives on after its end.
    pub(super) fn find_delay(
        &mut self,
        entrant: &Entrant,
        fleet: &Fleet,
        other: Option<&Server>,
        plan: &Plan,
    ) -> Result<(), CompareError> {
        let servers: Vec<_> =
            fleet.servers.iter().take(1).chain(other).map(|server| &server.origin).collect();
        // By server: the delays, and whether they are those of credentials that nobody refused.
        let mut seen = vec![(Vec::new(), false); servers.len()];
        let mut outlivers = 0;
        for _ in 0..plan.ends {
            let mut visitor = entrant.visitor.clone();
            let fates = revocation::end_one(&entrant.way, &mut visitor, &servers, plan.watch)?;
            for (fate, (delays, until_expiry)) in fates.into_iter().zip(&mut seen) {
                match fate {
                    Fate::Refused(delay) => delays.push(delay.as_secs_f64() * 1e3),
                    Fate::Outlived => {
                        outlivers += 1;
                        *until_expiry = true;
                        // At least for as long as it was looked at.
                        let left = revocation::expires_in(&visitor).unwrap_or(plan.watch);
                        delays.push(left.as_secs_f64() * 1e3);
                    }
                }
            }
            if outlivers >= OUTLIVERS * servers.len() {
                break;
            }
        }
        let mut seen = seen.into_iter().map(|(delays, until_expiry)| Delay::of(delays, until_expiry));
        self.delay = seen
            .next()
            .flatten()
            .map(|same_node| RevocationDelay { same_node, other_node: seen.next().flatten() });
        Ok(())
    }
}
