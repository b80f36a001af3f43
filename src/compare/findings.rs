//! What is found out about an entrant besides its rounds.

use std::time::Duration;

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
        // By server: how long those lived on that were refused, and what was left of the others' lives.
        let mut seen = vec![(Vec::new(), Vec::new()); servers.len()];
        for _ in 0..plan.ends {
            let mut visitor = entrant.visitor.clone();
            let fates = revocation::end_one(&entrant.way, &mut visitor, &servers, plan.watch)?;
            for (fate, (refused, outlivers)) in fates.into_iter().zip(&mut seen) {
                match fate {
                    Fate::Refused(delay) => refused.push(milliseconds(delay)),
                    // It was looked at until now: that was left of its life as well.
                    Fate::Outlived => outlivers
                        .push(revocation::expires_in(&visitor).map(|left| milliseconds(left + plan.watch))),
                }
            }
            if seen.iter().all(|(_, outlivers)| outlivers.len() >= OUTLIVERS) {
                break;
            }
        }
        let watched = milliseconds(plan.watch);
        let mut seen = seen.into_iter().map(|(refused, outlivers)| Delay::of(refused, &outlivers, watched));
        self.delay = seen
            .next()
            .flatten()
            .map(|same_node| RevocationDelay { same_node, other_node: seen.next().flatten() });
        Ok(())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
