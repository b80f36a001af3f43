//! What it costs to sign in, and to refresh: some of each, round by round, with nobody else there.

use std::slice;
use std::time::{Duration, Instant};

use url::Url;

use super::cpu_usage::{self, CpuSnapshot, IdleBaseline};
use super::http::Connection;
use super::postgres::Postgres;
use super::report::{ActionCost, ActionCostIntervals};
use super::statistics::Estimate;
use super::test_user::TestUser;
use super::testbed::Server;
use super::variant::{NodeGroup, RunningVariant};
use super::{CompareError, Plan, Progress, rounds};

/// Within this, what a server still does for the last request is done.
const SETTLE: Duration = Duration::from_millis(10);

/// Finds out, for all of these, what it costs to sign in and to refresh. They take turns, as in `rounds`.
pub(super) fn measure(
    members: &[RunningVariant],
    groups: &[NodeGroup],
    probe: &PostgresBaseline<'_>,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<[Option<ActionCost>; 2]>, CompareError> {
    let actions = members.iter().map(|variant| SignInAndRefresh::of(variant, &groups[variant.group]));
    let mut actions = actions.collect::<Result<Vec<_>, _>>()?;
    progress.expect(plan.sign_in_rounds * actions.len());
    for turn in rounds::interleaved_order(plan.sign_in_rounds, actions.len()) {
        actions[turn].run_round(probe, plan)?;
        progress.step();
    }
    Ok(actions
        .into_iter()
        .map(|actions| [actions.sign_in.cost(), actions.refresh.and_then(RepeatedAction::cost)])
        .collect())
}

/// Who looks on.
pub(super) struct PostgresBaseline<'a> {
    pub(super) postgres: Option<&'a Postgres>,
    pub(super) idle: &'a IdleBaseline,
}

/// What somebody does again and again.
struct SignInAndRefresh<'a> {
    variant: &'a RunningVariant,
    sign_in: RepeatedAction<'a>,
    /// By somebody who stays signed in.
    refresh: Option<RepeatedAction<'a>>,
    user: TestUser,
}

impl<'a> SignInAndRefresh<'a> {
    fn of(variant: &'a RunningVariant, group: &'a NodeGroup) -> Result<Self, CompareError> {
        let mut actions = Self {
            variant,
            sign_in: RepeatedAction::at(group),
            refresh: variant.spec.refresh.as_ref().map(|_| RepeatedAction::at(group)),
            user: variant.user.clone(),
        };
        // Of the first nothing is counted: they open the connections.
        actions.user.sign_in(&variant.spec, &mut actions.sign_in.connection)?;
        if let (Some(refresh), Some(step)) = (&mut actions.refresh, &variant.spec.refresh) {
            actions.user.run_step(step, &mut refresh.connection)?;
        }
        Ok(actions)
    }

    fn run_round(&mut self, probe: &PostgresBaseline<'_>, plan: &Plan) -> Result<(), CompareError> {
        let spec = &self.variant.spec;
        let sign_in = |connection: &mut Connection| self.variant.user.clone().sign_in(spec, connection);
        self.sign_in.measure(probe, plan.sign_ins, sign_in)?;
        let (Some(refresh), Some(step)) = (&mut self.refresh, &spec.refresh) else { return Ok(()) };
        let user = &mut self.user;
        refresh.measure(probe, plan.refreshes, |connection| user.run_step(step, connection))
    }
}

/// One of them, and what was seen of it.
struct RepeatedAction<'a> {
    server: &'a Server,
    database: Option<&'a Url>,
    connection: Connection,
    samples: Vec<ActionCost>,
}

impl<'a> RepeatedAction<'a> {
    fn at(group: &'a NodeGroup) -> Self {
        let server = &group.servers[0];
        let connection = Connection::new(server.origin.clone());
        Self { server, database: group.database.as_ref(), connection, samples: Vec::new() }
    }

    /// Does it as often, one after the other.
    fn measure(
        &mut self,
        probe: &PostgresBaseline<'_>,
        times: usize,
        mut action: impl FnMut(&mut Connection) -> Result<(), CompareError>,
    ) -> Result<(), CompareError> {
        let PostgresBaseline { postgres, idle } = *probe;
        let statements = || cpu_usage::statements(postgres, self.database);
        let snapshot = || CpuSnapshot::at(slice::from_ref(self.server), postgres);
        let (earlier, before) = (statements()?, snapshot());
        let mut waits = Vec::new();
        for _ in 0..times {
            let asked = Instant::now();
            action(&mut self.connection)?;
            waits.push(asked.elapsed().as_secs_f64() * 1e3);
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
            p50_ms: Estimate::of(waits).map(|wait| wait.median),
            intervals: ActionCostIntervals::default(),
        });
        Ok(())
    }

    /// `None`: it was never done.
    fn cost(self) -> Option<ActionCost> {
        let estimate =
            |figure: fn(&ActionCost) -> Option<f64>| Estimate::of(self.samples.iter().filter_map(figure));
        let intervals = ActionCostIntervals {
            server_cpu_us: estimate(|cost| cost.server_cpu_us),
            // What Postgres does by itself meanwhile can be more than what is looked for.
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
