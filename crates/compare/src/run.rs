//! A benchmark run, from the start of the servers to the report.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use url::Url;

use super::cores::{Cores, run_on_own_thread};
use super::cpu_and_sql_usage::IdleBaseline;
use super::extra_results::VariantExtraResults;
use super::host::{self, CpuTicks};
use super::postgres_outage;
use super::report::{ActionCost, Report, RevocationDelayByPlace};
use super::revocation;
use super::rounds::{RoundRunner, SubjectSamples};
use super::sign_in_cost::{self, PostgresWithBaseline};
use super::testbed::{Server, Testbed};
use super::variant::OtherPlaces;
use super::variants::RunningVariants;
use super::{
    CompareError, Options, Plan, TerminalProgressBar, generator_limit, report_assembly, second_factor_cost,
};

/// How long Postgres is observed without load, for the idle baseline.
const IDLE_TIME: Duration = Duration::from_millis(1_500);

/// Runs the benchmark and returns its report. Blocks.
///
/// # Errors
/// When a server does not start, or a single response is wrong.
pub fn run(
    options: &Options,
    runtime: &Handle,
    progress: &TerminalProgressBar,
) -> Result<Report, CompareError> {
    run_on_own_thread(|| compare(options, runtime, progress))
}

fn compare(
    options: &Options,
    runtime: &Handle,
    progress: &TerminalProgressBar,
) -> Result<Report, CompareError> {
    let (at, began) = (now(), Instant::now());
    let (load, ticks) = (host::load_average(), CpuTicks::now());
    let mut report = match &options.url {
        Some(url) => elsewhere(options, url, progress)?,
        None => compare_local(options, runtime, progress)?,
    };
    progress.end();
    report.environment.at = at;
    report.environment.seconds = began.elapsed().as_secs_f64();
    report.environment.load_average = load;
    report.environment.stolen =
        ticks.zip(CpuTicks::now()).map(|(earlier, later)| earlier.stolen_until(later));
    report_assembly::add_warnings(&mut report);
    Ok(report.rounded())
}

/// The system time.
#[expect(clippy::disallowed_methods, reason = "a benchmark needs the real time, which no test shifts")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Measures servers that it starts itself.
fn compare_local(
    options: &Options,
    runtime: &Handle,
    progress: &TerminalProgressBar,
) -> Result<Report, CompareError> {
    let plan = options.plan.clone();
    progress.begin("starting Postgres and the nodes");
    let mut testbed = Testbed::start(options, runtime)?;
    let generator = generator_limit::measure(&testbed.cores, &plan)?;
    let mut report = report_assembly::empty_report(&plan, generator, Some(&testbed));
    let bare = testbed.start_bare(Duration::ZERO)?;
    let variants = RunningVariants::all_variants(&testbed, options, &plan)?;

    let (idle, rate, measured) = run_rounds(&variants, &testbed, &bare, &plan, None, progress)?;
    report.environment.fixed_rate = rate;
    let extra_results = measure_extras(&mut report, &variants, &mut testbed, &idle, &plan, progress)?;
    add_variants(&mut report, (&variants, &plan), 1, measured, extra_results)?;
    drop(variants);

    for nodes in plan.node_counts.iter().copied() {
        let variants = RunningVariants::node_groups(&testbed, nodes, &plan)?;
        let (_, _, measured) = run_rounds(&variants, &testbed, &bare, &plan, Some(rate), progress)?;
        let extra_results = variants.members.iter().map(|_| VariantExtraResults::default()).collect();
        add_variants(&mut report, (&variants, &plan), nodes, measured, extra_results)?;
    }
    testbed.remove_logs();
    Ok(report)
}

/// Drives all variants and the bare handler. `rate` is the fixed rate of an earlier measurement, if there was one: with
/// more nodes, latencies are comparable at the same rate only. Returns the rate that was used.
fn run_rounds(
    variants: &RunningVariants,
    testbed: &Testbed,
    bare: &Server,
    plan: &Plan,
    rate: Option<f64>,
    progress: &TerminalProgressBar,
) -> Result<(IdleBaseline, f64, Vec<SubjectSamples>), CompareError> {
    progress.begin("requests");
    let idle = IdleBaseline::measure(&testbed.postgres, &variants.databases(), IDLE_TIME)?;
    let subjects = variants.subjects(Some(bare), plan);
    let rounds = if rate.is_none() { plan.rounds } else { plan.node_count_rounds };
    let rounds = RoundRunner { subjects, postgres: Some(&testbed.postgres), idle: &idle, plan, rounds, rate };
    progress.expect(rounds.steps());
    let (rate, measured) = rounds.run(progress)?;
    Ok((idle, rate, measured))
}

/// Measures what steady load does not show. Footprints come after all measurements of CPU, since they load the machine;
/// the outage comes last, so that Postgres' recovery distorts no other figure.
fn measure_extras(
    report: &mut Report,
    variants: &RunningVariants,
    testbed: &mut Testbed,
    idle: &IdleBaseline,
    plan: &Plan,
    progress: &TerminalProgressBar,
) -> Result<Vec<VariantExtraResults>, CompareError> {
    progress.begin("sign-ins and refreshes");
    let baseline = PostgresWithBaseline { postgres: Some(&testbed.postgres), idle };
    let costs = sign_in_cost::measure(&variants.members, &variants.groups, &baseline, plan, progress)?;
    progress.begin("second factors");
    report.second_factor = second_factor_cost::measure(&variants.groups, &baseline, plan, progress)?;
    progress.begin("revocation delay");
    let others = variants.other_places(testbed, plan)?;
    let delays = revocation::measure(&variants.members, &variants.groups, &others, plan, progress)?;
    drop(others);
    let mut all = extra_results(costs, delays);
    progress.begin("memory and disk per login");
    progress.expect(variants.members.len());
    let mut measured_kinds = Vec::new();
    for (variant, extra_results) in variants.members.iter().zip(&mut all) {
        let kind = (variant.group, variant.spec.mode);
        if plan.measures_footprint(&variants.groups[variant.group]) && !measured_kinds.contains(&kind) {
            measured_kinds.push(kind);
            extra_results.footprint = variants.measure_footprint(testbed, variant, plan)?;
        }
        progress.step();
    }
    progress.begin("Postgres outage");
    let request_targets = variants.fresh_request_targets()?;
    let outages = postgres_outage::measure(&mut testbed.postgres, &request_targets, plan.outage)?;
    for (extra_results, outage) in all.iter_mut().zip(outages) {
        extra_results.outage = Some(outage);
    }
    Ok(all)
}

/// Combines the results, which are in the order of the variants.
fn extra_results(
    costs: Vec<[Option<ActionCost>; 2]>,
    delays: Vec<Option<RevocationDelayByPlace>>,
) -> Vec<VariantExtraResults> {
    let combine = |([login, refresh], delay): ([Option<ActionCost>; 2], _)| VariantExtraResults {
        login,
        refresh,
        delay,
        ..VariantExtraResults::default()
    };
    costs.into_iter().zip(delays).map(combine).collect()
}

/// Measures a dualauth that runs already, as far as a client can.
fn elsewhere(options: &Options, url: &Url, progress: &TerminalProgressBar) -> Result<Report, CompareError> {
    let plan = options.plan.clone().within_limits();
    let generator = generator_limit::measure(&Cores::split(), &plan)?;
    let mut report = report_assembly::empty_report(&plan, generator, None);
    report.environment.url = Some(url.to_string());
    let (variants, idle) = (RunningVariants::elsewhere(url, &plan)?, IdleBaseline::default());
    progress.begin("requests");
    let subjects = variants.subjects(None, &plan);
    let rounds =
        RoundRunner { subjects, postgres: None, idle: &idle, plan: &plan, rounds: plan.rounds, rate: None };
    progress.expect(rounds.steps());
    let (rate, measured) = rounds.run(progress)?;
    report.environment.fixed_rate = rate;
    progress.begin("sign-ins and refreshes");
    let baseline = PostgresWithBaseline { postgres: None, idle: &idle };
    let costs = sign_in_cost::measure(&variants.members, &variants.groups, &baseline, &plan, progress)?;
    progress.begin("revocation delay");
    let delays =
        revocation::measure(&variants.members, &variants.groups, &[OtherPlaces::default()], &plan, progress)?;
    add_variants(&mut report, (&variants, &plan), 1, measured, extra_results(costs, delays))?;
    Ok(report)
}

/// Adds the variants to the report. If the bare handler was measured, its samples are the first.
fn add_variants(
    report: &mut Report,
    (variants, plan): (&RunningVariants, &Plan),
    nodes: usize,
    measured: Vec<SubjectSamples>,
    extra_results: Vec<VariantExtraResults>,
) -> Result<(), CompareError> {
    let bare = measured.len() - variants.members.len();
    let (bare, measured) = measured.split_at(bare);
    let bare = bare.first();
    if report.bare.is_none() {
        report.bare = bare.map(|bare| report_assembly::bare(bare, plan));
    }
    let bytes = variants
        .fresh_request_targets()?
        .iter()
        .map(report_assembly::bytes)
        .collect::<Result<Vec<_>, _>>()?;
    for (((variant, measured), extra_results), bytes) in
        variants.members.iter().zip(measured).zip(extra_results).zip(bytes)
    {
        let variant = report_assembly::variant(variant, nodes, measured, bare, extra_results, bytes, plan);
        if report_assembly::is_generator_bound(&report.generator, measured) {
            report.generator.bottleneck_for.push(variant.name.clone());
        }
        report.variants.push(variant);
    }
    Ok(())
}
