//! Self-check of the benchmark: known costs are injected, and each has to be measured, and nothing where none was injected.

use std::time::Duration;

use tokio::runtime::Handle;
use url::Url;

use super::cores::run_on_own_thread;
use super::cost_injection_proxy::{InjectedCostKind, proxy};
use super::cpu_and_sql_usage::IdleBaseline;
use super::load::RequestTarget;
use super::revocation::{self, Place, RevocationOutcome};
use super::rounds::{RoundRunner, Sample, Subject, SubjectSamples};
use super::statistics::Estimate;
use super::testbed::Testbed;
use super::variant::{NodeGroup, RunningVariant};
use super::variants::{RunningVariants, bare_subject};
use super::{CompareError, Options, Plan, TerminalProgressBar, report_assembly};

const SLEEP: Duration = Duration::from_millis(1);
const HEADER_BYTES: usize = 1_024;
const REVOCATION_DELAY: Duration = Duration::from_millis(200);
const SPIN: Duration = Duration::from_micros(500);

/// Long enough for narrow intervals in the first run, as a rule.
const SLICE: Duration = Duration::from_millis(150);

/// Logouts per measurement of the revocation delay.
const LOGOUTS: usize = 5;

/// The smallest part of an injected cost that has to be found.
const MIN_FOUND: f64 = 0.75;
/// The largest multiple of an injected cost that may be found.
const MAX_FOUND: f64 = 1.25;
/// The same for delays: a sleeping thread is woken late, rarely early.
const MAX_FOUND_DELAY: f64 = 3.0;
/// The part of an injected cost that must not be found where none was injected.
const MAX_WITHOUT: f64 = 0.5;

/// The most repetitions of the rounds, while other load on the machine makes the result inconclusive.
const MAX_EXTRA_RUNS: usize = 10;

/// An injected cost, and the measured one.
#[derive(Clone, Debug)]
pub struct Check {
    /// The kind of cost.
    pub what: &'static str,
    /// The injected cost, in `unit`.
    pub injected: f64,
    /// The unit of all figures.
    pub unit: &'static str,
    /// The largest multiple of `injected` that passes.
    pub most: f64,
    /// The measured cost: the difference to a server without an injected cost.
    pub found: f64,
    /// The same difference for a second server without an injected cost; ideally zero.
    pub without: f64,
    /// Whether intervals were narrow enough for a verdict. If not, other load on the machine has disturbed the check.
    pub is_conclusive: bool,
}

impl Check {
    /// Whether the cost was found where it was injected, and only there.
    pub fn is_passed(&self) -> bool {
        let is_found = (MIN_FOUND * self.injected..=self.most * self.injected).contains(&self.found);
        is_found && self.without.abs() < MAX_WITHOUT * self.injected
    }
}

/// Injects each cost and measures it. Blocks.
///
/// # Errors
/// When a server does not start, or a single response is wrong.
pub fn self_check(
    options: &Options,
    runtime: &Handle,
    progress: &TerminalProgressBar,
) -> Result<Vec<Check>, CompareError> {
    run_on_own_thread(|| check(options, runtime, progress))
}

fn check(
    options: &Options,
    runtime: &Handle,
    progress: &TerminalProgressBar,
) -> Result<Vec<Check>, CompareError> {
    let plan = Plan { slice: SLICE, ..options.plan.clone() };
    progress.begin("starting Postgres and a node");
    let testbed = Testbed::start(options, runtime)?;
    let variants = RunningVariants::single_session(&testbed, &plan)?;
    let (variant, group) = (&variants.members[0], &variants.groups[0]);
    let database = group.database.as_ref().ok_or(CompareError::Internal("no database for the node"))?;

    progress.begin("measuring injected costs");
    // Two without a cost: the first is the reference, and between the two no difference may be found.
    let costs = [
        InjectedCostKind::Nothing,
        InjectedCostKind::Nothing,
        InjectedCostKind::Sleep(SLEEP),
        InjectedCostKind::Query(database.clone()),
        InjectedCostKind::Headers(HEADER_BYTES),
    ];
    let subjects = costs.map(|cost| proxied_subject(cost, variant, group, database, runtime));
    let mut subjects = subjects.into_iter().collect::<Result<Vec<_>, _>>()?;
    let bare = [Duration::ZERO, Duration::ZERO, SPIN].map(|spin| testbed.start_bare(spin));
    let bare = bare.into_iter().collect::<Result<Vec<_>, _>>()?;
    subjects.extend(bare.iter().map(|server| bare_subject(server, &plan)));
    let bytes = subjects[..BARE]
        .iter()
        .map(|subject| received(&subject.request_targets[0]))
        .collect::<Result<Vec<_>, _>>()?;
    let idle = IdleBaseline::measure(&testbed.postgres, &[database], IDLE_TIME)?;
    let rounds = RoundRunner {
        subjects,
        postgres: Some(&testbed.postgres),
        idle: &idle,
        plan: &plan,
        rounds: plan.rounds,
        rate: None,
    };
    progress.expect(rounds.steps() + 2 * LOGOUTS);
    let measured = run_until_clear(&rounds, progress)?;
    let [soon, late] = [InjectedCostKind::Nothing, InjectedCostKind::LateRevocation(REVOCATION_DELAY)]
        .map(|cost| delay(cost, variant, group, runtime, &plan, progress));
    progress.end();

    Ok(checks(&measured, &bytes, [soon?, late?]))
}

/// Repeats the rounds until intervals are narrow enough, at most [`MAX_EXTRA_RUNS`] times.
fn run_until_clear(
    rounds: &RoundRunner<'_>,
    progress: &TerminalProgressBar,
) -> Result<Vec<SubjectSamples>, CompareError> {
    let mut measured = rounds.run(progress)?.1;
    for _ in 0..MAX_EXTRA_RUNS {
        if is_conclusive(&measured) {
            break;
        }
        progress.expect(rounds.steps());
        for (measured, more) in measured.iter_mut().zip(rounds.run(progress)?.1) {
            measured.samples.extend(more.samples);
        }
    }
    Ok(measured)
}

/// The result for each injected cost. `bytes` are sizes of responses, by subject; the delays of a logout are in milliseconds,
/// without an injected cost and with a late revocation.
fn checks(measured: &[SubjectSamples], bytes: &[usize], [soon, late]: [f64; 2]) -> Vec<Check> {
    let median = |difference: Option<Estimate>| difference.map_or(f64::NAN, |difference| difference.median);
    let milliseconds = |at: usize| median(latency_difference(measured, at));
    let statements = |at: usize| median(difference(measured, at, 0, |sample| sample.sql));
    let microseconds = |at: usize| median(cpu(measured, at));
    let longer = |at: usize| bytes[at] as f64 - bytes[0] as f64;
    let is_conclusive = is_conclusive(measured);
    let check = |what, injected, unit, most, found, without| Check {
        what,
        injected,
        unit,
        most,
        found,
        without,
        is_conclusive,
    };
    let spin = SPIN.as_secs_f64() * 1e6;
    vec![
        check("a sleep", 1.0, "ms", MAX_FOUND_DELAY, milliseconds(2), milliseconds(1)),
        check("a query", 1.0, "statements", MAX_FOUND, statements(3), statements(1)),
        check("headers", HEADER_BYTES as f64, "bytes", MAX_FOUND, longer(4), longer(1)),
        check("CPU", spin, "µs", MAX_FOUND, microseconds(SPINNING), microseconds(SPINNING - 1)),
        check("a late revocation", REVOCATION_DELAY.as_secs_f64() * 1e3, "ms", MAX_FOUND_DELAY, late, soon),
    ]
}

/// How long Postgres is observed without load, for the idle baseline.
const IDLE_TIME: Duration = Duration::from_millis(1_500);

fn proxied_subject<'a>(
    cost: InjectedCostKind,
    variant: &RunningVariant,
    group: &'a NodeGroup,
    database: &'a Url,
    runtime: &Handle,
) -> Result<Subject<'a>, CompareError> {
    let origin = proxy(cost, &group.servers[0].origin, runtime)?;
    let request_targets = variant
        .request_targets
        .iter()
        .map(|request_target| RequestTarget { origin: origin.clone(), call: request_target.call.clone() });
    Ok(Subject {
        request_targets: request_targets.collect(),
        servers: &group.servers,
        database: Some(database),
        many_connections: None,
    })
}

fn received(request_target: &RequestTarget) -> Result<usize, CompareError> {
    Ok(report_assembly::bytes(request_target)?.received.values().sum())
}

/// Index of the first bare handler among the subjects.
const BARE: usize = 5;
/// Index of the bare handler with injected CPU time. The one before it has none.
const SPINNING: usize = 7;

/// The difference between two subjects, computed within each round.
fn difference(
    measured: &[SubjectSamples],
    at: usize,
    without: usize,
    figure: impl Fn(&Sample) -> Option<f64>,
) -> Option<Estimate> {
    let pairs = measured[at].samples.iter().zip(&measured[without].samples);
    Estimate::of(pairs.filter_map(|(sample, without)| Some(figure(sample)? - figure(without)?)))
}

fn latency_difference(measured: &[SubjectSamples], at: usize) -> Option<Estimate> {
    difference(measured, at, 0, |sample| sample.p50)
}

fn cpu(measured: &[SubjectSamples], at: usize) -> Option<Estimate> {
    difference(measured, at, BARE, |sample| sample.server_cpu)
}

/// Whether intervals are narrow enough to distinguish the injected sleep and CPU time from nothing.
fn is_conclusive(measured: &[SubjectSamples]) -> bool {
    let is_narrow = |difference: Option<Estimate>, injected: f64| {
        difference.is_some_and(|difference| difference.high - difference.low < MAX_WITHOUT * injected)
    };
    let is_told = |at| is_narrow(latency_difference(measured, at), SLEEP.as_secs_f64() * 1e3);
    let is_counted = |at| is_narrow(cpu(measured, at), SPIN.as_secs_f64() * 1e6);
    [1, 2].into_iter().all(is_told) && [SPINNING - 1, SPINNING].into_iter().all(is_counted)
}

/// The median revocation delay through a proxy, in milliseconds.
fn delay(
    cost: InjectedCostKind,
    variant: &RunningVariant,
    group: &NodeGroup,
    runtime: &Handle,
    plan: &Plan,
    progress: &TerminalProgressBar,
) -> Result<f64, CompareError> {
    let origin = proxy(cost, &group.servers[0].origin, runtime)?;
    let mut delays = Vec::new();
    for _ in 0..LOGOUTS {
        let outcomes = revocation::measure_logout(
            &variant.spec,
            &mut variant.user.clone(),
            &[Place::Node(&origin)],
            plan.revocation_watch,
        )?;
        delays.extend(outcomes.into_iter().map(|outcome| match outcome {
            RevocationOutcome::Refused(delay) => delay.as_secs_f64() * 1e3,
            RevocationOutcome::NotRevoked => f64::INFINITY,
        }));
        progress.step();
    }
    Ok(Estimate::of(delays).map_or(f64::NAN, |delay| delay.median))
}
