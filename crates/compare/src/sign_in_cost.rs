//! Cost of a sign-in and of a refresh: CPU, SQL and latency, measured in rounds without concurrent load.

use std::slice;
use std::time::{Duration, Instant};

use url::Url;

use super::cpu_and_sql_usage::{self, CpuSnapshot, IdleBaseline};
use super::http::Connection;
use super::postgres::Postgres;
use super::report::{ActionCost, ActionCostIntervals};
use super::statistics::Estimate;
use super::test_user::TestUser;
use super::testbed::Server;
use super::variant::{NodeGroup, RunningVariant};
use super::{CompareError, Plan, TerminalProgressBar, rounds};

/// Time in which a server finishes work that it does after a response.
const SETTLE: Duration = Duration::from_millis(10);

/// Measures sign-in and refresh of all variants, interleaved as in `rounds`.
pub(super) fn measure(
    members: &[RunningVariant],
    groups: &[NodeGroup],
    baseline: &PostgresWithBaseline<'_>,
    plan: &Plan,
    progress: &TerminalProgressBar,
) -> Result<Vec<[Option<ActionCost>; 2]>, CompareError> {
    let actions =
        members.iter().map(|variant| SignInAndRefreshMeasurement::of(variant, &groups[variant.group]));
    let mut actions = actions.collect::<Result<Vec<_>, _>>()?;
    progress.expect(plan.sign_in_rounds * actions.len());
    for at in rounds::interleaved_order(plan.sign_in_rounds, actions.len()) {
        actions[at].run_round(baseline, plan)?;
        progress.step();
    }
    Ok(actions
        .into_iter()
        .map(|actions| [actions.sign_in.cost(), actions.refresh.and_then(RepeatedAction::cost)])
        .collect())
}

/// The benchmark's Postgres, if it is known, and its idle baseline.
pub(super) struct PostgresWithBaseline<'a> {
    pub(super) postgres: Option<&'a Postgres>,
    pub(super) idle: &'a IdleBaseline,
}

/// Sign-in and refresh of one variant.
struct SignInAndRefreshMeasurement<'a> {
    variant: &'a RunningVariant,
    sign_in: RepeatedAction<'a>,
    /// Uses `user`, who stays signed in.
    refresh: Option<RepeatedAction<'a>>,
    user: TestUser,
}

impl<'a> SignInAndRefreshMeasurement<'a> {
    fn of(variant: &'a RunningVariant, group: &'a NodeGroup) -> Result<Self, CompareError> {
        let mut actions = Self {
            variant,
            sign_in: RepeatedAction::new(group),
            refresh: variant.spec.refresh.as_ref().map(|_| RepeatedAction::new(group)),
            user: variant.user.clone(),
        };
        // The first ones open the connections and are not counted.
        actions.user.sign_in(&variant.spec, &mut actions.sign_in.connection)?;
        if let (Some(refresh), Some(step)) = (&mut actions.refresh, &variant.spec.refresh) {
            actions.user.run_step(step, &mut refresh.connection)?;
        }
        Ok(actions)
    }

    fn run_round(&mut self, baseline: &PostgresWithBaseline<'_>, plan: &Plan) -> Result<(), CompareError> {
        let spec = &self.variant.spec;
        let sign_in = |connection: &mut Connection| self.variant.user.clone().sign_in(spec, connection);
        self.sign_in.measure(baseline, plan.sign_ins, sign_in)?;
        let (Some(refresh), Some(step)) = (&mut self.refresh, &spec.refresh) else { return Ok(()) };
        let user = &mut self.user;
        refresh.measure(baseline, plan.refreshes, |connection| user.run_step(step, connection))
    }
}

/// A repeated action and its samples, one per round.
pub(super) struct RepeatedAction<'a> {
    server: &'a Server,
    database: Option<&'a Url>,
    pub(super) connection: Connection,
    pub(super) samples: Vec<ActionCost>,
}

impl<'a> RepeatedAction<'a> {
    pub(super) fn new(group: &'a NodeGroup) -> Self {
        let server = &group.servers[0];
        let connection = Connection::new(server.origin.clone());
        Self { server, database: group.database.as_ref(), connection, samples: Vec::new() }
    }

    /// Repeats the action so often, and adds a sample.
    pub(super) fn measure(
        &mut self,
        baseline: &PostgresWithBaseline<'_>,
        times: usize,
        mut action: impl FnMut(&mut Connection) -> Result<(), CompareError>,
    ) -> Result<(), CompareError> {
        let PostgresWithBaseline { postgres, idle } = *baseline;
        let statements = || cpu_and_sql_usage::statements(postgres, self.database);
        let snapshot = || CpuSnapshot::at(slice::from_ref(self.server), postgres);
        let (earlier, before) = (statements()?, snapshot());
        let mut latencies = Vec::new();
        for _ in 0..times {
            let started = Instant::now();
            action(&mut self.connection)?;
            latencies.push(started.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(SETTLE);
        let usage = before.usage_until(&snapshot(), idle, times as u64);
        let sql = earlier
            .zip(statements()?)
            .map(|(earlier, later)| idle.recurring_statements(&earlier, &later, times));
        self.samples.push(ActionCost {
            server_cpu_us: usage.servers,
            postgres_cpu_us: usage.postgres,
            sql: sql.map(|statements| statements as f64 / times as f64),
            p50_ms: Estimate::of(latencies).map(|latency| latency.median),
            intervals: ActionCostIntervals::default(),
        });
        Ok(())
    }

    /// Medians over the rounds. `None` without samples.
    pub(super) fn cost(self) -> Option<ActionCost> {
        let estimate =
            |figure: fn(&ActionCost) -> Option<f64>| Estimate::of(self.samples.iter().filter_map(figure));
        let intervals = ActionCostIntervals {
            server_cpu_us: estimate(|cost| cost.server_cpu_us),
            // Postgres' background work can exceed what the action costs; the difference means nothing then.
            postgres_cpu_us: estimate(|cost| cost.postgres_cpu_us).filter(|cpu| cpu.median > 0.0),
            p50_ms: estimate(|cost| cost.p50_ms),
        };
        let median = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.median);
        (!self.samples.is_empty()).then(|| ActionCost {
            server_cpu_us: median(intervals.server_cpu_us),
            postgres_cpu_us: median(intervals.postgres_cpu_us),
            sql: median(estimate(|cost| cost.sql)),
            p50_ms: median(intervals.p50_ms),
            intervals,
        })
    }
}
