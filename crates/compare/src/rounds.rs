//! Interleaved rounds of load: each round has a slice of each variant, so that other work on the machine slows down all of
//! them and not one.

use url::Url;

use super::cpu_and_sql_usage::{self, CpuSnapshot, IdleBaseline};
use super::load::{self, LatencyHistogram, Load, Pace, RequestTarget};
use super::postgres::Postgres;
use super::testbed::Server;
use super::{CompareError, Plan, TerminalProgressBar};

/// One of the measured: its requests and its servers.
pub(super) struct Subject<'a> {
    /// One per connection.
    pub(super) request_targets: Vec<RequestTarget>,
    pub(super) servers: &'a [Server],
    /// The database of its servers. `None`: unknown, SQL is not counted.
    pub(super) database: Option<&'a Url>,
    /// A number of connections to measure it with in addition: with few of them, system calls are most of a request's cost.
    pub(super) many_connections: Option<usize>,
}

/// Measurements of a subject in one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    /// CPU time per request, in microseconds.
    pub(super) server_cpu: Option<f64>,
    pub(super) postgres_cpu: Option<f64>,
    /// SQL statements per request.
    pub(super) sql: Option<f64>,
    /// Latency at the fixed rate, in milliseconds.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) many_connections: Option<ManySample>,
}

/// Measurements of a subject over many connections in one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct ManySample {
    pub(super) requests_per_second: f64,
    /// CPU time per request, in microseconds.
    pub(super) server_cpu: Option<f64>,
}

/// Measurements of a subject in all rounds.
pub(super) struct SubjectSamples {
    pub(super) samples: Vec<Sample>,
    pub(super) closed_loop: LatencyHistogram,
    pub(super) fixed_rate: LatencyHistogram,
}

/// A measurement of several subjects in rounds.
pub(super) struct RoundRunner<'a> {
    pub(super) subjects: Vec<Subject<'a>>,
    pub(super) postgres: Option<&'a Postgres>,
    pub(super) idle: &'a IdleBaseline,
    pub(super) plan: &'a Plan,
    /// Measured rounds. The warm-up round is not included.
    pub(super) rounds: usize,
    /// The fixed rate, in requests per second. `None`: it is derived from the warm-up round.
    pub(super) rate: Option<f64>,
}

impl RoundRunner<'_> {
    /// Number of progress steps.
    pub(super) fn steps(&self) -> usize {
        self.subjects.len() * (self.rounds + 1)
    }

    /// Runs a warm-up round, which only finds a fixed rate that all subjects can sustain, then the measured rounds. Returns the
    /// rate, in requests per second, and the measurements of each subject.
    pub(super) fn run(
        &self,
        progress: &TerminalProgressBar,
    ) -> Result<(f64, Vec<SubjectSamples>), CompareError> {
        let mut fastest = Vec::new();
        for subject in &self.subjects {
            let (outcome, _) =
                load::run(self.load(subject, Pace::ClosedLoop), &subject.request_targets, || ())?;
            fastest.push(outcome.per_second());
            progress.step();
        }
        let rate = self.rate.unwrap_or_else(|| sustainable_rate(&fastest));
        let mut measured = Vec::new();
        for _ in &self.subjects {
            let (closed_loop, fixed_rate) = (LatencyHistogram::new()?, LatencyHistogram::new()?);
            measured.push(SubjectSamples { samples: Vec::new(), closed_loop, fixed_rate });
        }
        for at in interleaved_order(self.rounds, self.subjects.len()) {
            self.measure_slices(&self.subjects[at], rate, &mut measured[at])?;
            progress.step();
        }
        Ok((rate, measured))
    }

    fn measure_slices(
        &self,
        subject: &Subject<'_>,
        rate: f64,
        into: &mut SubjectSamples,
    ) -> Result<(), CompareError> {
        let (sample, closed_loop) = self.measure_closed_loop(subject)?;
        let many =
            subject.many_connections.map(|connections| self.measure_many_connections(subject, connections));
        let many_connections = many.transpose()?;
        let (waits, _) =
            load::run(self.load(subject, Pace::FixedRate(rate)), &subject.request_targets, || ())?;
        let fixed_rate = waits.latencies;
        into.closed_loop.add_all(&closed_loop);
        into.fixed_rate.add_all(&fixed_rate);
        let (p50, p99) = (fixed_rate.quantile_ms(0.5), fixed_rate.quantile_ms(0.99));
        into.samples.push(Sample { p50, p99, many_connections, ..sample });
        Ok(())
    }

    /// Measures CPU, SQL and throughput in a closed loop.
    fn measure_closed_loop(&self, subject: &Subject<'_>) -> Result<(Sample, LatencyHistogram), CompareError> {
        let statements = || cpu_and_sql_usage::statements(self.postgres, subject.database);
        let snapshot = || CpuSnapshot::at(subject.servers, self.postgres);
        let earlier = statements()?;
        let (outcome, [before, after]) =
            load::run(self.load(subject, Pace::ClosedLoop), &subject.request_targets, snapshot)?;
        let later = statements()?;
        let sql = earlier.zip(later).map(|(earlier, later)| {
            // Includes the warm-up: it sends the same requests between the two counts of statements.
            let requests = outcome.requests + outcome.warm_up_requests;
            self.idle.statements_run(&earlier, &later) as f64 / requests.max(1) as f64
        });
        let usage = before.usage_until(&after, self.idle, outcome.requests);
        let sample = Sample {
            requests_per_second: outcome.per_second(),
            server_cpu: usage.servers,
            postgres_cpu: usage.postgres,
            sql,
            p50: None,
            p99: None,
            many_connections: None,
        };
        Ok((sample, outcome.latencies))
    }

    /// Measures CPU and throughput in a closed loop over so many connections.
    fn measure_many_connections(
        &self,
        subject: &Subject<'_>,
        connections: usize,
    ) -> Result<ManySample, CompareError> {
        let load = Load { connections, ..self.load(subject, Pace::ClosedLoop) };
        let snapshot = || CpuSnapshot::at(subject.servers, None);
        let (outcome, [before, after]) = load::run(load, &subject.request_targets, snapshot)?;
        let usage = before.usage_until(&after, self.idle, outcome.requests);
        Ok(ManySample { requests_per_second: outcome.per_second(), server_cpu: usage.servers })
    }

    fn load(&self, subject: &Subject<'_>, pace: Pace) -> Load {
        let Plan { warm_up, slice, .. } = *self.plan;
        Load { connections: subject.request_targets.len(), pace, warm_up, duration: slice }
    }
}

/// The order in which `count` subjects are measured, for all rounds in a row. Each round begins with another subject, so
/// that none has a systematic advantage from its position.
pub(super) fn interleaved_order(rounds: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |round| (0..count).map(move |step| (round + step) % count))
}

/// Half of the slowest subject's throughput, so that latencies do not consist of queueing.
fn sustainable_rate(fastest: &[f64]) -> f64 {
    let slowest = fastest.iter().copied().fold(f64::INFINITY, f64::min);
    (slowest / 2.0).max(1.0).round()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_in_each_round_and_is_first_in_one() {
        assert_eq!(interleaved_order(3, 3).collect::<Vec<_>>(), [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(interleaved_order(3, 0).count(), 0);
    }
}
