//! What it costs to sign in, and to refresh: some of each, round by round, with nobody else there.

use std::slice;
use std::time::{Duration, Instant};

use url::Url;

use super::entrants::{Entrant, Fleet};
use super::http::Connection;
use super::postgres::Postgres;
use super::report::{Cost, CostIntervals};
use super::spending::{self, Look, Quiet};
use super::stage::Server;
use super::statistics::Estimate;
use super::visitor::Visitor;
use super::{CompareError, Plan, Progress, rounds};

/// Within this, what a server still does for the last request is done.
const SETTLE: Duration = Duration::from_millis(10);

/// Finds out, for all of these, what it costs to sign in and to refresh. They take turns, as in `rounds`.
pub(super) fn find(
    entrants: &[Entrant],
    fleets: &[Fleet],
    witness: &Witness<'_>,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<[Option<Cost>; 2]>, CompareError> {
    let habits = entrants.iter().map(|entrant| Habits::of(entrant, &fleets[entrant.fleet]));
    let mut habits = habits.collect::<Result<Vec<_>, _>>()?;
    progress.expect(plan.rounds_of_costs * habits.len());
    for turn in rounds::turns(plan.rounds_of_costs, habits.len()) {
        habits[turn].go_on(witness, plan)?;
        progress.step();
    }
    Ok(habits
        .into_iter()
        .map(|habits| [habits.sign_in.cost(), habits.refresh.and_then(Habit::cost)])
        .collect())
}

/// Who looks on.
pub(super) struct Witness<'a> {
    pub(super) postgres: Option<&'a Postgres>,
    pub(super) quiet: &'a Quiet,
}

/// What somebody does again and again.
struct Habits<'a> {
    entrant: &'a Entrant,
    sign_in: Habit<'a>,
    /// By somebody who stays signed in.
    refresh: Option<Habit<'a>>,
    visitor: Visitor,
}

impl<'a> Habits<'a> {
    fn of(entrant: &'a Entrant, fleet: &'a Fleet) -> Result<Self, CompareError> {
        let mut habits = Self {
            entrant,
            sign_in: Habit::at(fleet),
            refresh: entrant.way.refresh.as_ref().map(|_| Habit::at(fleet)),
            visitor: entrant.visitor.clone(),
        };
        // Of the first nothing is counted: they open the connections.
        habits.visitor.sign_in(&entrant.way, &mut habits.sign_in.connection)?;
        if let (Some(refresh), Some(step)) = (&mut habits.refresh, &entrant.way.refresh) {
            habits.visitor.take(step, &mut refresh.connection)?;
        }
        Ok(habits)
    }

    fn go_on(&mut self, witness: &Witness<'_>, plan: &Plan) -> Result<(), CompareError> {
        let way = &self.entrant.way;
        let sign_in = |connection: &mut Connection| self.entrant.visitor.clone().sign_in(way, connection);
        self.sign_in.watch(witness, plan.sign_ins, sign_in)?;
        let (Some(refresh), Some(step)) = (&mut self.refresh, &way.refresh) else { return Ok(()) };
        let visitor = &mut self.visitor;
        refresh.watch(witness, plan.refreshes, |connection| visitor.take(step, connection))
    }
}

/// One of them, and what was seen of it.
struct Habit<'a> {
    server: &'a Server,
    database: Option<&'a Url>,
    connection: Connection,
    samples: Vec<Cost>,
}

impl<'a> Habit<'a> {
    fn at(fleet: &'a Fleet) -> Self {
        let server = &fleet.servers[0];
        let connection = Connection::to(server.origin.clone());
        Self { server, database: fleet.database.as_ref(), connection, samples: Vec::new() }
    }

    /// Does it as often, one after the other.
    fn watch(
        &mut self,
        witness: &Witness<'_>,
        times: usize,
        mut action: impl FnMut(&mut Connection) -> Result<(), CompareError>,
    ) -> Result<(), CompareError> {
        let Witness { postgres, quiet } = *witness;
        let statements = || spending::statements(postgres, self.database);
        let look = || Look::at(slice::from_ref(self.server), postgres);
        let (earlier, before) = (statements()?, look());
        let mut waits = Vec::new();
        for _ in 0..times {
            let asked = Instant::now();
            action(&mut self.connection)?;
            waits.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(SETTLE);
        let spent = before.spent(&look(), quiet, times as u64);
        let sql = earlier.zip(statements()?).map(|(earlier, later)| quiet.each_time(&earlier, &later, times));
        self.samples.push(Cost {
            server_cpu_us: spent.servers,
            postgres_cpu_us: spent.postgres,
            sql: sql.map(|statements| statements as f64 / times as f64),
            p50_ms: Estimate::of(waits).map(|wait| wait.median),
            intervals: CostIntervals::default(),
        });
        Ok(())
    }

    /// `None`: it was never done.
    fn cost(self) -> Option<Cost> {
        let estimate =
            |figure: fn(&Cost) -> Option<f64>| Estimate::of(self.samples.iter().filter_map(figure));
        let intervals = CostIntervals {
            server_cpu_us: estimate(|cost| cost.server_cpu_us),
            // What Postgres does by itself meanwhile can be more than what is looked for.
            postgres_cpu_us: estimate(|cost| cost.postgres_cpu_us).filter(|cpu| cpu.median > 0.0),
            p50_ms: estimate(|cost| cost.p50_ms),
        };
        let median = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.median);
        (!self.samples.is_empty()).then(|| Cost {
            server_cpu_us: median(intervals.server_cpu_us),
            postgres_cpu_us: median(intervals.postgres_cpu_us),
            sql: median(estimate(|cost| cost.sql)),
            p50_ms: median(intervals.p50_ms),
            intervals,
        })
    }
}
