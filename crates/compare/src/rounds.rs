//! The measuring itself: a slice of each variant in each round, so that a machine that has other things to do slows
//! all of them down and not one.

use url::Url;

use super::cpu_usage::{self, CpuSnapshot, IdleBaseline};
use super::load::{self, LatencyHistogram, Load, Pace, RequestTarget};
use super::postgres::Postgres;
use super::testbed::Server;
use super::{CompareError, Plan, Progress};

/// What is measured: requests of one kind to some servers.
pub(super) struct Subject<'a> {
    /// One for each connection.
    pub(super) request_targets: Vec<RequestTarget>,
    pub(super) servers: &'a [Server],
    /// Where its servers keep what they keep.
    pub(super) database: Option<&'a Url>,
    /// Over how many connections it is measured besides: few of them hide behind system calls what a request costs.
    pub(super) many_connections: Option<usize>,
}

/// What one round has said of a subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    /// CPU time for each request, in microseconds.
    pub(super) server_cpu: Option<f64>,
    pub(super) postgres_cpu: Option<f64>,
    /// Statements for each request.
    pub(super) sql: Option<f64>,
    /// In milliseconds, at the fixed rate.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) many_connections: Option<ManySample>,
}

/// What one round has said of a subject over many connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct ManySample {
    pub(super) requests_per_second: f64,
    /// CPU time for each request, in microseconds.
    pub(super) server_cpu: Option<f64>,
}

/// What all rounds have said of it.
pub(super) struct SubjectSamples {
    pub(super) samples: Vec<Sample>,
    pub(super) closed_loop: LatencyHistogram,
    pub(super) fixed_rate: LatencyHistogram,
}

/// Measures.
pub(super) struct Rounds<'a> {
    pub(super) subjects: Vec<Subject<'a>>,
    pub(super) postgres: Option<&'a Postgres>,
    pub(super) idle: &'a IdleBaseline,
    pub(super) plan: &'a Plan,
    /// Besides the one to warm up.
    pub(super) rounds: usize,
    /// In requests a second; none: it is found out what all can keep up with.
    pub(super) rate: Option<f64>,
}

impl Rounds<'_> {
    /// How often it tells that it got on.
    pub(super) fn steps(&self) -> usize {
        self.subjects.len() * (self.rounds + 1)
    }

    /// A round to warm up, of which only the speed is kept, to choose a rate that all can keep up with; then the others.
    /// Gives that rate as well, in requests a second.
    pub(super) fn run(&self, progress: &Progress) -> Result<(f64, Vec<SubjectSamples>), CompareError> {
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
        for turn in interleaved_order(self.rounds, self.subjects.len()) {
            self.measure_slices(&self.subjects[turn], rate, &mut measured[turn])?;
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

    /// What requests cost, as many as can be.
    fn measure_closed_loop(&self, subject: &Subject<'_>) -> Result<(Sample, LatencyHistogram), CompareError> {
        let statements = || cpu_usage::statements(self.postgres, subject.database);
        let snapshot = || CpuSnapshot::at(subject.servers, self.postgres);
        let earlier = statements()?;
        let (outcome, [before, after]) =
            load::run(self.load(subject, Pace::ClosedLoop), &subject.request_targets, snapshot)?;
        let later = statements()?;
        let sql = earlier.zip(later).map(|(earlier, later)| {
            // Those of the warm-up are counted as well: it sends the same requests.
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

    /// The same over so many connections, in a closed loop.
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

/// Whose turn it is, of so many, round by round. A different one begins each time: no place in the row is better than
/// another.
pub(super) fn interleaved_order(rounds: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |round| (0..count).map(move |step| (round + step) % count))
}

/// Half of what the slowest can do: it is not waiting in a queue that is to be measured.
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
