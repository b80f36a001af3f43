//! A run, from the first server that is started to the report.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use url::Url;

use super::cores::{Cores, on_a_thread_of_its_own};
use super::cpu_usage::IdleBaseline;
use super::extra_results::ExtraResults;
use super::host::{self, CpuTicks};
use super::postgres_outage;
use super::report::{ActionCost, Report, RevocationDelayByNode};
use super::revocation;
use super::rounds::{Rounds, SubjectSamples};
use super::sign_in_cost::{self, PostgresBaseline};
use super::testbed::{Server, Testbed};
use super::variants::RunningVariants;
use super::{CompareError, Options, Plan, Progress, assemble, generator_limit};

/// How long Postgres is watched while nobody asks.
const QUIET: Duration = Duration::from_millis(1_500);

/// Compares, and tells what was found.
///
/// # Errors
/// When a server does not start, or gives one wrong answer.
pub fn run(options: &Options, runtime: &Handle, progress: &Progress) -> Result<Report, CompareError> {
    on_a_thread_of_its_own(|| compare(options, runtime, progress))
}

fn compare(options: &Options, runtime: &Handle, progress: &Progress) -> Result<Report, CompareError> {
    let (at, began) = (now(), Instant::now());
    let (load, ticks) = (host::load_average(), CpuTicks::now());
    let mut report = match &options.url {
        Some(url) => elsewhere(options, url, progress)?,
        None => here(options, runtime, progress)?,
    };
    progress.end();
    report.environment.at = at;
    report.environment.seconds = began.elapsed().as_secs_f64();
    report.environment.load_average = load;
    report.environment.stolen =
        ticks.zip(CpuTicks::now()).map(|(earlier, later)| earlier.stolen_until(later));
    assemble::warn(&mut report);
    Ok(report.rounded())
}

/// What time it is.
#[expect(clippy::disallowed_methods, reason = "what is measured is real: no test moves its time")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// On servers that are started for it.
fn here(options: &Options, runtime: &Handle, progress: &Progress) -> Result<Report, CompareError> {
    let plan = options.plan.clone();
    progress.begin("starting Postgres and the nodes");
    let mut testbed = Testbed::set(options, runtime)?;
    let generator = generator_limit::measure(&testbed.cores, &plan)?;
    let mut report = assemble::begin(&plan, generator, Some(&testbed));
    let bare = testbed.bare(Duration::ZERO)?;
    let participants = RunningVariants::of_all(&testbed, options, &plan)?;

    let (idle, rate, measured) = go_round(&participants, &testbed, &bare, &plan, None, progress)?;
    report.environment.fixed_rate = rate;
    let results = find_all(&participants, &mut testbed, &idle, &plan, progress)?;
    tell(&mut report, (&participants, &plan), 1, measured, results)?;
    drop(participants);

    for nodes in plan.node_counts.iter().copied() {
        let participants = RunningVariants::of_groups(&testbed, nodes, &plan)?;
        let (_, _, measured) = go_round(&participants, &testbed, &bare, &plan, Some(rate), progress)?;
        let results = participants.members.iter().map(|_| ExtraResults::default()).collect();
        tell(&mut report, (&participants, &plan), nodes, measured, results)?;
    }
    testbed.remove_logs();
    Ok(report)
}

/// At this rate, when it is known from other rounds: more nodes wait no longer because they are asked more often.
fn go_round(
    participants: &RunningVariants,
    testbed: &Testbed,
    bare: &Server,
    plan: &Plan,
    rate: Option<f64>,
    progress: &Progress,
) -> Result<(IdleBaseline, f64, Vec<SubjectSamples>), CompareError> {
    progress.begin("requests");
    let idle = IdleBaseline::watch(&testbed.postgres, &participants.databases(), QUIET)?;
    let subjects = participants.subjects(Some(bare), plan);
    let rounds = if rate.is_none() { plan.rounds } else { plan.rounds_of_node_counts };
    let rounds = Rounds { subjects, postgres: Some(&testbed.postgres), idle: &idle, plan, rounds, rate };
    progress.expect(rounds.steps());
    let (rate, measured) = rounds.run(progress)?;
    Ok((idle, rate, measured))
}

/// What steady load does not show. Logins by the thousand are weighed when nobody's CPU is looked at any more, and Postgres
/// goes away last: nobody's figures are to be of its recovery.
fn find_all(
    participants: &RunningVariants,
    testbed: &mut Testbed,
    idle: &IdleBaseline,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<ExtraResults>, CompareError> {
    progress.begin("sign-ins and refreshes");
    let probe = PostgresBaseline { postgres: Some(&testbed.postgres), idle };
    let costs = sign_in_cost::find(&participants.members, &participants.groups, &probe, plan, progress)?;
    progress.begin("how soon a login ends");
    let others = participants.others(testbed, plan)?;
    let delays = revocation::find(&participants.members, &participants.groups, &others, plan, progress)?;
    drop(others);
    let mut all = results(costs, delays);
    progress.begin("what a login weighs");
    progress.expect(participants.members.len());
    let mut weighed = Vec::new();
    for (participant, results) in participants.members.iter().zip(&mut all) {
        let kind = (participant.group, participant.method.mode);
        if plan.weighs(&participants.groups[participant.group]) && !weighed.contains(&kind) {
            weighed.push(kind);
            results.footprint = participants.weigh(testbed, participant, plan)?;
        }
        progress.step();
    }
    progress.begin("Postgres goes away");
    let request_targets = participants.fresh_request_targets()?;
    let outages = postgres_outage::measure(&mut testbed.postgres, &request_targets, plan.outage)?;
    for (results, outage) in all.iter_mut().zip(outages) {
        results.outage = Some(outage);
    }
    Ok(all)
}

/// By participant.
fn results(
    costs: Vec<[Option<ActionCost>; 2]>,
    delays: Vec<Option<RevocationDelayByNode>>,
) -> Vec<ExtraResults> {
    let begin = |([login, refresh], delay): ([Option<ActionCost>; 2], _)| ExtraResults {
        login,
        refresh,
        delay,
        ..ExtraResults::default()
    };
    costs.into_iter().zip(delays).map(begin).collect()
}

/// A dualauth that runs already: what can be seen from outside.
fn elsewhere(options: &Options, url: &Url, progress: &Progress) -> Result<Report, CompareError> {
    let plan = options.plan.clone().within_limits();
    let generator = generator_limit::measure(&Cores::share_out(), &plan)?;
    let mut report = assemble::begin(&plan, generator, None);
    report.environment.url = Some(url.to_string());
    let (participants, idle) = (RunningVariants::elsewhere(url, &plan)?, IdleBaseline::default());
    progress.begin("requests");
    let subjects = participants.subjects(None, &plan);
    let rounds =
        Rounds { subjects, postgres: None, idle: &idle, plan: &plan, rounds: plan.rounds, rate: None };
    progress.expect(rounds.steps());
    let (rate, measured) = rounds.run(progress)?;
    report.environment.fixed_rate = rate;
    progress.begin("sign-ins and refreshes");
    let probe = PostgresBaseline { postgres: None, idle: &idle };
    let costs = sign_in_cost::find(&participants.members, &participants.groups, &probe, &plan, progress)?;
    progress.begin("how soon a login ends");
    let delays = revocation::find(&participants.members, &participants.groups, &[None], &plan, progress)?;
    tell(&mut report, (&participants, &plan), 1, measured, results(costs, delays))?;
    Ok(report)
}

/// The first of what was measured is the bare handler's, if it was there.
fn tell(
    report: &mut Report,
    (participants, plan): (&RunningVariants, &Plan),
    nodes: usize,
    measured: Vec<SubjectSamples>,
    results: Vec<ExtraResults>,
) -> Result<(), CompareError> {
    let bare = measured.len() - participants.members.len();
    let (bare, measured) = measured.split_at(bare);
    let bare = bare.first();
    if report.bare.is_none() {
        report.bare = bare.map(|bare| assemble::bare(bare, plan));
    }
    let bytes =
        participants.fresh_request_targets()?.iter().map(assemble::bytes).collect::<Result<Vec<_>, _>>()?;
    for (((participant, measured), results), bytes) in
        participants.members.iter().zip(measured).zip(results).zip(bytes)
    {
        let variant = assemble::variant(participant, nodes, measured, bare, results, bytes, plan);
        if assemble::is_held_up(&report.generator, measured) {
            report.generator.bottleneck_for.push(variant.name.clone());
        }
        report.variants.push(variant);
    }
    Ok(())
}
