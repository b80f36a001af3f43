//! A run, from the first server that is started to the report.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use url::Url;

use super::cost::{self, Witness};
use super::findings::Findings;
use super::machine::{Cores, Ticks, on_a_thread_of_its_own};
use super::outage;
use super::play::Play;
use super::report::{Cost, Report, RevocationDelay};
use super::revocation;
use super::rounds::{Measured, Rounds};
use super::spending::Quiet;
use super::stage::{Server, Stage};
use super::{CompareError, Options, Plan, Progress, assemble, generator, machine};

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
    let (load, ticks) = (machine::load_average(), Ticks::now());
    let mut report = match &options.url {
        Some(url) => elsewhere(options, url, progress)?,
        None => here(options, runtime, progress)?,
    };
    progress.end();
    report.environment.at = at;
    report.environment.seconds = began.elapsed().as_secs_f64();
    report.environment.load_average = load;
    report.environment.stolen = ticks.zip(Ticks::now()).map(|(earlier, later)| earlier.stolen_until(later));
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
    let mut stage = Stage::set(options, runtime)?;
    let generator = generator::measure(&stage.cores, &plan)?;
    let mut report = assemble::begin(&plan, generator, Some(&stage));
    let bare = stage.bare(Duration::ZERO)?;
    let play = Play::of_all(&stage, options, &plan)?;

    let (quiet, rate, measured) = go_round(&play, &stage, &bare, &plan, None, progress)?;
    report.environment.fixed_rate = rate;
    let findings = find_all(&play, &mut stage, &quiet, &plan, progress)?;
    tell(&mut report, (&play, &plan), 1, measured, findings)?;
    drop(play);

    for nodes in plan.fleets.iter().copied() {
        let play = Play::of_fleets(&stage, nodes, &plan)?;
        let (_, _, measured) = go_round(&play, &stage, &bare, &plan, Some(rate), progress)?;
        let findings = play.entrants.iter().map(|_| Findings::default()).collect();
        tell(&mut report, (&play, &plan), nodes, measured, findings)?;
    }
    stage.remove_logs();
    Ok(report)
}

/// At this rate, when it is known from other rounds: more nodes wait no longer because they are asked more often.
fn go_round(
    play: &Play,
    stage: &Stage,
    bare: &Server,
    plan: &Plan,
    rate: Option<f64>,
    progress: &Progress,
) -> Result<(Quiet, f64, Vec<Measured>), CompareError> {
    progress.begin("requests");
    let quiet = Quiet::watch(&stage.postgres, &play.databases(), QUIET)?;
    let subjects = play.subjects(Some(bare), plan);
    let rounds = if rate.is_none() { plan.rounds } else { plan.rounds_of_fleets };
    let rounds = Rounds { subjects, postgres: Some(&stage.postgres), quiet: &quiet, plan, rounds, rate };
    progress.expect(rounds.steps());
    let (rate, measured) = rounds.run(progress)?;
    Ok((quiet, rate, measured))
}

/// What steady load does not show. Logins by the thousand are weighed when nobody's CPU is looked at any more, and Postgres
/// goes away last: nobody's figures are to be of its recovery.
fn find_all(
    play: &Play,
    stage: &mut Stage,
    quiet: &Quiet,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<Findings>, CompareError> {
    progress.begin("sign-ins and refreshes");
    let witness = Witness { postgres: Some(&stage.postgres), quiet };
    let costs = cost::find(&play.entrants, &play.fleets, &witness, plan, progress)?;
    progress.begin("how soon a login ends");
    let others = play.others(stage, plan)?;
    let delays = revocation::find(&play.entrants, &play.fleets, &others, plan, progress)?;
    drop(others);
    let mut all = findings(costs, delays);
    progress.begin("what a login weighs");
    progress.expect(play.entrants.len());
    let mut weighed = Vec::new();
    for (entrant, findings) in play.entrants.iter().zip(&mut all) {
        let kind = (entrant.fleet, entrant.way.mode);
        if plan.weighs(&play.fleets[entrant.fleet]) && !weighed.contains(&kind) {
            weighed.push(kind);
            findings.footprint = play.weigh(stage, entrant, plan)?;
        }
        progress.step();
    }
    progress.begin("Postgres goes away");
    let aims = play.fresh_aims()?;
    let outages = outage::suffer(&mut stage.postgres, &aims, plan.outage)?;
    for (findings, outage) in all.iter_mut().zip(outages) {
        findings.outage = Some(outage);
    }
    Ok(all)
}

/// By entrant.
fn findings(costs: Vec<[Option<Cost>; 2]>, delays: Vec<Option<RevocationDelay>>) -> Vec<Findings> {
    let begin = |([login, refresh], delay): ([Option<Cost>; 2], _)| Findings {
        login,
        refresh,
        delay,
        ..Findings::default()
    };
    costs.into_iter().zip(delays).map(begin).collect()
}

/// A dualauth that runs already: what can be seen from outside.
fn elsewhere(options: &Options, url: &Url, progress: &Progress) -> Result<Report, CompareError> {
    let plan = options.plan.clone().within_limits();
    let generator = generator::measure(&Cores::share_out(), &plan)?;
    let mut report = assemble::begin(&plan, generator, None);
    report.environment.url = Some(url.to_string());
    let (play, quiet) = (Play::elsewhere(url, &plan)?, Quiet::default());
    progress.begin("requests");
    let subjects = play.subjects(None, &plan);
    let rounds =
        Rounds { subjects, postgres: None, quiet: &quiet, plan: &plan, rounds: plan.rounds, rate: None };
    progress.expect(rounds.steps());
    let (rate, measured) = rounds.run(progress)?;
    report.environment.fixed_rate = rate;
    progress.begin("sign-ins and refreshes");
    let witness = Witness { postgres: None, quiet: &quiet };
    let costs = cost::find(&play.entrants, &play.fleets, &witness, &plan, progress)?;
    progress.begin("how soon a login ends");
    let delays = revocation::find(&play.entrants, &play.fleets, &[None], &plan, progress)?;
    tell(&mut report, (&play, &plan), 1, measured, findings(costs, delays))?;
    Ok(report)
}

/// The first of what was measured is the bare handler's, if it was there.
fn tell(
    report: &mut Report,
    (play, plan): (&Play, &Plan),
    nodes: usize,
    measured: Vec<Measured>,
    findings: Vec<Findings>,
) -> Result<(), CompareError> {
    let bare = measured.len() - play.entrants.len();
    let (bare, measured) = measured.split_at(bare);
    let bare = bare.first();
    if report.bare.is_none() {
        report.bare = bare.map(|bare| assemble::bare(bare, plan));
    }
    let bytes = play.fresh_aims()?.iter().map(assemble::bytes).collect::<Result<Vec<_>, _>>()?;
    for (((entrant, measured), findings), bytes) in
        play.entrants.iter().zip(measured).zip(findings).zip(bytes)
    {
        let variant = assemble::variant(entrant, nodes, measured, bare, findings, bytes, plan);
        if assemble::is_held_up(&report.generator, measured) {
            report.generator.bottleneck_for.push(variant.name.clone());
        }
        report.variants.push(variant);
    }
    Ok(())
}
