//! CPU time and SQL statements per request, of servers and Postgres, less the idle baseline.

use std::time::{Duration, Instant};

use url::Url;

use super::CompareError;
use super::postgres::{Postgres, Statements};
use super::proc_usage::{Cpu, ProcessSnapshot};
use super::testbed::Server;

/// CPU time of servers and Postgres up to a moment. `None`: unknown.
#[derive(Clone, Debug)]
pub(super) struct CpuSnapshot {
    at: Instant,
    servers: Option<Cpu>,
    postgres: Option<Cpu>,
}

/// CPU time per request, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuPerRequest {
    pub(super) servers: Option<f64>,
    pub(super) postgres: Option<f64>,
}

impl CpuSnapshot {
    /// Takes a snapshot of these servers and of Postgres.
    pub(super) fn at(servers: &[Server], postgres: Option<&Postgres>) -> Self {
        // One scan of /proc for all of them, since it takes CPU itself.
        let processes = ProcessSnapshot::snapshot();
        let of_servers = |processes| servers.iter().map(|server| server.cpu(processes)).collect();
        let all: Option<Vec<Cpu>> = processes.as_ref().and_then(of_servers);
        let servers = all.map(|all| all.into_iter().flatten().collect());
        let postgres = postgres.zip(processes.as_ref()).and_then(|(postgres, all)| postgres.cpu(all));
        Self { at: Instant::now(), servers, postgres }
    }

    /// CPU time per request between this snapshot and a later one, in which there were so many requests.
    pub(super) fn usage_until(&self, later: &Self, idle: &IdleBaseline, requests: u64) -> CpuPerRequest {
        let idle = idle.cpu.unwrap_or_default() * (later.at - self.at).as_secs_f64();
        let each = |nanoseconds: f64| nanoseconds.max(0.0) / 1e3 / requests.max(1) as f64;
        CpuPerRequest {
            servers: grown(self.servers.as_ref(), later.servers.as_ref()).map(each),
            postgres: grown(self.postgres.as_ref(), later.postgres.as_ref()).map(|cpu| each(cpu - idle)),
        }
    }
}

/// Growth in nanoseconds, summed over the later processes: one that has exited does not lower it.
fn grown(earlier: Option<&Cpu>, later: Option<&Cpu>) -> Option<f64> {
    let (earlier, later) = earlier.zip(later)?;
    let grown =
        later.iter().map(|(pid, cpu)| cpu.saturating_sub(earlier.get(pid).copied().unwrap_or_default()));
    Some(grown.sum::<u64>() as f64)
}

/// Executions of each statement so far. `None`: they are not counted, or the database is unknown.
pub(super) fn statements(
    postgres: Option<&Postgres>,
    database: Option<&Url>,
) -> Result<Option<Statements>, CompareError> {
    postgres.zip(database).map_or(Ok(None), |(postgres, database)| postgres.statements(database))
}

/// CPU time and statements of Postgres without load.
#[derive(Debug, Default)]
pub(super) struct IdleBaseline {
    /// CPU time, in nanoseconds per second.
    cpu: Option<f64>,
    /// Statements that nodes run in the background, with their executions.
    statements: Statements,
}

impl IdleBaseline {
    /// Observes Postgres for this time, without load.
    pub(super) fn measure(
        postgres: &Postgres,
        databases: &[&Url],
        time: Duration,
    ) -> Result<Self, CompareError> {
        let all =
            || databases.iter().map(|database| postgres.statements(database)).collect::<Result<Vec<_>, _>>();
        let earlier = all()?;
        // After the query for statements, which takes CPU as well.
        let before = CpuSnapshot::at(&[], Some(postgres));
        std::thread::sleep(time);
        let after = CpuSnapshot::at(&[], Some(postgres));
        let took = after.at - before.at;
        let later = all()?;
        let mut statements = Statements::new();
        for (earlier, later) in earlier.into_iter().flatten().zip(later.into_iter().flatten()) {
            statements.extend(later.into_iter().filter(|(id, calls)| earlier.get(id) != Some(calls)));
        }
        Ok(Self {
            cpu: grown(before.postgres.as_ref(), after.postgres.as_ref()).map(|cpu| cpu / took.as_secs_f64()),
            statements,
        })
    }

    /// Statements executed between two counts, without background statements.
    pub(super) fn statements_run(&self, earlier: &Statements, later: &Statements) -> i64 {
        self.grown(earlier, later).sum()
    }

    /// The same, but only statements that run in more than half of the repetitions: with few requests, what nodes do once a
    /// minute would distort the figure.
    pub(super) fn recurring_statements(&self, earlier: &Statements, later: &Statements, times: usize) -> i64 {
        self.grown(earlier, later).filter(|calls| calls.unsigned_abs() as usize > times / 2).sum()
    }

    fn grown(&self, earlier: &Statements, later: &Statements) -> impl Iterator<Item = i64> {
        let statements_run = later.iter().filter(|(id, _)| !self.statements.contains_key(id));
        statements_run.map(|(id, calls)| calls - earlier.get(id).unwrap_or(&0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_does_by_itself_is_nobody_s_cost() {
        let idle = IdleBaseline { cpu: Some(1e6), statements: Statements::new() };
        let cpu = |nanoseconds| Some(Cpu::from([(1, nanoseconds)]));
        let at = Instant::now();
        let before = CpuSnapshot { at, servers: cpu(1_000_000), postgres: cpu(7_000_000) };
        let after = CpuSnapshot {
            at: at + Duration::from_secs(2),
            servers: cpu(4_000_000),
            postgres: cpu(12_000_000),
        };
        let usage = before.usage_until(&after, &idle, 10);
        assert_eq!((usage.servers, usage.postgres), (Some(300.0), Some(300.0)));
        let usage =
            before.usage_until(&CpuSnapshot { servers: None, postgres: cpu(8_000_000), ..after }, &idle, 10);
        assert_eq!((usage.servers, usage.postgres), (None, Some(0.0)));
    }

    #[test]
    fn a_process_that_ended_meanwhile_takes_nothing_back() {
        let before = Cpu::from([(1, 500), (2, 9_000)]);
        let after = Cpu::from([(1, 600), (3, 40)]);
        assert_eq!(grown(Some(&before), Some(&after)), Some(140.0));
    }

    #[test]
    fn statements_that_nodes_run_by_themselves_are_not_counted() {
        let own = Statements::from([(1, 50)]);
        let idle = IdleBaseline { cpu: None, statements: own };
        let earlier = Statements::from([(1, 50), (2, 10), (3, 5)]);
        let later = Statements::from([(1, 90), (2, 30), (3, 6), (4, 20)]);
        assert_eq!(idle.statements_run(&earlier, &later), 20 + 1 + 20);
        assert_eq!(idle.recurring_statements(&earlier, &later, 20), 20 + 20);
    }
}
