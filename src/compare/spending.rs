//! What requests take of servers and of Postgres: CPU time and statements, less what both do by themselves.

use std::time::{Duration, Instant};

use url::Url;

use super::CompareError;
use super::postgres::{Postgres, Statements};
use super::stage::Server;

/// The CPU time that was taken until now, in nanoseconds, as far as that can be known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    at: Instant,
    servers: Option<u64>,
    postgres: Option<u64>,
}

/// The CPU time that each request took, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) servers: Option<f64>,
    pub(super) postgres: Option<f64>,
}

impl Look {
    /// At these.
    pub(super) fn at(servers: &[Server], postgres: Option<&Postgres>) -> Self {
        let cpu = servers.iter().map(Server::cpu).sum();
        Self { at: Instant::now(), servers: cpu, postgres: postgres.and_then(Postgres::cpu) }
    }

    /// What so many requests took between a look and a later one.
    pub(super) fn spent(self, later: Self, quiet: &Quiet, requests: u64) -> Spent {
        let idle = quiet.cpu.unwrap_or_default() * (later.at - self.at).as_secs_f64();
        let each = |nanoseconds: f64| nanoseconds.max(0.0) / 1e3 / requests.max(1) as f64;
        Spent {
            servers: grown(self.servers, later.servers).map(each),
            postgres: grown(self.postgres, later.postgres).map(|cpu| each(cpu - idle)),
        }
    }
}

fn grown(earlier: Option<u64>, later: Option<u64>) -> Option<f64> {
    later.zip(earlier).map(|(later, earlier)| later.saturating_sub(earlier) as f64)
}

/// How often each statement was executed so far, where that is counted.
pub(super) fn statements(
    postgres: Option<&Postgres>,
    database: Option<&Url>,
) -> Result<Option<Statements>, CompareError> {
    postgres.zip(database).map_or(Ok(None), |(postgres, database)| postgres.statements(database))
}

/// What Postgres does when nobody asks for anything.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// CPU, in nanoseconds a second.
    cpu: Option<f64>,
    /// The statements that nodes run by themselves.
    statements: Statements,
}

impl Quiet {
    /// Looks on for a while.
    pub(super) fn watch(
        postgres: &Postgres,
        databases: &[&Url],
        time: Duration,
    ) -> Result<Self, CompareError> {
        let all =
            || databases.iter().map(|database| postgres.statements(database)).collect::<Result<Vec<_>, _>>();
        let earlier = all()?;
        // Asking for statements takes CPU as well.
        let (start, before) = (Instant::now(), postgres.cpu());
        std::thread::sleep(time);
        let (took, after) = (start.elapsed(), postgres.cpu());
        let later = all()?;
        let mut statements = Statements::new();
        for (earlier, later) in earlier.into_iter().flatten().zip(later.into_iter().flatten()) {
            statements.extend(later.into_iter().filter(|(id, calls)| earlier.get(id) != Some(calls)));
        }
        Ok(Self { cpu: grown(before, after).map(|cpu| cpu / took.as_secs_f64()), statements })
    }

    /// How many statements were run between two looks, but for those.
    pub(super) fn asked_for(&self, earlier: &Statements, later: &Statements) -> i64 {
        self.grown(earlier, later).sum()
    }

    /// The same, but only of those that are run nearly every time: with few requests, what nodes do once a minute
    /// would be taken for theirs.
    pub(super) fn each_time(&self, earlier: &Statements, later: &Statements, times: usize) -> i64 {
        self.grown(earlier, later).filter(|calls| calls.unsigned_abs() as usize > times / 2).sum()
    }

    fn grown(&self, earlier: &Statements, later: &Statements) -> impl Iterator<Item = i64> {
        let asked_for = later.iter().filter(|(id, _)| !self.statements.contains_key(id));
        asked_for.map(|(id, calls)| calls - earlier.get(id).unwrap_or(&0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_does_by_itself_is_nobody_s_cost() {
        let quiet = Quiet { cpu: Some(1e6), statements: Statements::new() };
        let at = Instant::now();
        let before = Look { at, servers: Some(1_000_000), postgres: Some(7_000_000) };
        let after =
            Look { at: at + Duration::from_secs(2), servers: Some(4_000_000), postgres: Some(12_000_000) };
        let spent = before.spent(after, &quiet, 10);
        assert_eq!((spent.servers, spent.postgres), (Some(300.0), Some(300.0)));
        let spent = before.spent(Look { servers: None, postgres: Some(8_000_000), ..after }, &quiet, 10);
        assert_eq!((spent.servers, spent.postgres), (None, Some(0.0)));
    }

    #[test]
    fn statements_that_nodes_run_by_themselves_are_not_counted() {
        let own = Statements::from([(1, 50)]);
        let quiet = Quiet { cpu: None, statements: own };
        let earlier = Statements::from([(1, 50), (2, 10), (3, 5)]);
        let later = Statements::from([(1, 90), (2, 30), (3, 6), (4, 20)]);
        assert_eq!(quiet.asked_for(&earlier, &later), 20 + 1 + 20);
        assert_eq!(quiet.each_time(&earlier, &later, 20), 20 + 20);
    }
}
