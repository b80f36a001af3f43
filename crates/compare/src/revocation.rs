//! How long a credential lives on after its end was acknowledged: found by showing it all the time, on the node that
//! ended it and on another one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::http::{Connection, Origin};
use super::report::{DelayDistribution, RevocationDelayByNode};
use super::target::VariantSpec;
use super::test_user::{PreparedRequest, TestUser};
use super::testbed::Server;
use super::variant::{NodeGroup, RunningVariant};
use super::{CompareError, Plan, Progress, rounds, run};

/// How long it is shown before it is ended: each node has seen it many times by then.
const WARM_UP: Duration = Duration::from_millis(15);

/// Of those that outlive their end, some are enough: each takes all the time that there is.
const MAX_NOT_REVOKED: usize = 2;

/// Finds out how long credentials of all of these live on. They take turns, as in `rounds`. `others` are the second nodes,
/// group by group. Of those whom nobody looks at closely, it finds out nothing.
pub(super) fn measure(
    members: &[RunningVariant],
    groups: &[NodeGroup],
    others: &[Option<Server>],
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<Option<RevocationDelayByNode>>, CompareError> {
    let mut trials: Vec<_> = members
        .iter()
        .map(|variant| LogoutTrials::of(variant, &groups[variant.group], others[variant.group].as_ref()))
        .collect();
    let measured: Vec<_> =
        (0..members.len()).filter(|at| plan.measures_fully(&groups[members[*at].group])).collect();
    progress.expect(plan.logouts * measured.len());
    for turn in rounds::interleaved_order(plan.logouts, measured.len()) {
        trials[measured[turn]].run_next(plan.revocation_watch)?;
        progress.step();
    }
    Ok(trials.into_iter().map(|trial| trial.delay(plan.revocation_watch)).collect())
}

/// Credentials of one participant that are ended one after the other.
struct LogoutTrials<'a> {
    variant: &'a RunningVariant,
    servers: Vec<&'a Origin>,
    /// What was seen on each of them.
    seen: Vec<RevocationSamples>,
}

/// In milliseconds.
#[derive(Clone, Default)]
struct RevocationSamples {
    /// How long those lived on that were refused.
    refused: Vec<f64>,
    /// What was left of the others' lives, if that is known.
    not_revoked: Vec<Option<f64>>,
}

impl<'a> LogoutTrials<'a> {
    fn of(variant: &'a RunningVariant, group: &'a NodeGroup, other: Option<&'a Server>) -> Self {
        let servers: Vec<_> =
            group.servers.iter().take(1).chain(other).map(|server| &server.origin).collect();
        let seen = vec![RevocationSamples::default(); servers.len()];
        Self { variant, servers, seen }
    }

    fn run_next(&mut self, watch: Duration) -> Result<(), CompareError> {
        if self.seen.iter().all(|seen| seen.not_revoked.len() >= MAX_NOT_REVOKED) {
            return Ok(());
        }
        let mut user = self.variant.user.clone();
        let outcomes = measure_logout(&self.variant.spec, &mut user, &self.servers, watch)?;
        for (outcome, seen) in outcomes.into_iter().zip(&mut self.seen) {
            match outcome {
                RevocationOutcome::Refused(delay) => seen.refused.push(milliseconds(delay)),
                // It was looked at until now: that was left of its life as well.
                RevocationOutcome::NotRevoked => {
                    seen.not_revoked.push(expires_in(&user).map(|left| milliseconds(left + watch)));
                }
            }
        }
        Ok(())
    }

    /// On the first node, and on the second.
    fn delay(self, watch: Duration) -> Option<RevocationDelayByNode> {
        let mut seen = self
            .seen
            .into_iter()
            .map(|seen| DelayDistribution::of(seen.refused, &seen.not_revoked, milliseconds(watch)));
        let same_node = seen.next().flatten()?;
        Some(RevocationDelayByNode { same_node, other_node: seen.next().flatten() })
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What was seen on one node.
#[derive(Clone, Copy, Debug)]
pub(super) enum RevocationOutcome {
    /// It was refused: the last request that was accepted was sent so long after the end was acknowledged.
    Refused(Duration),
    /// It was accepted for as long as anybody looked.
    NotRevoked,
}

/// Signs in, ends it on the first of the servers, and tells what became of it on each of them.
pub(super) fn measure_logout(
    spec: &VariantSpec,
    user: &mut TestUser,
    servers: &[&Origin],
    watch: Duration,
) -> Result<Vec<RevocationOutcome>, CompareError> {
    let mut operator = Connection::new(servers[0].clone());
    user.sign_in(spec, &mut operator)?;
    let call = user.call(spec, operator.host());
    let (signals, watch) =
        (LogoutSignals::default(), CredentialWatch { call: &call, refused: spec.refused, time: watch });
    thread::scope(|scope| {
        let (answered, first_answers) = mpsc::channel();
        let poll_until_refused = |origin| {
            let (answered, signals) = (answered.clone(), &signals);
            scope.spawn(move || watch.poll_until_refused(origin, signals, &answered))
        };
        let showing: Vec<_> = servers.iter().map(|origin| poll_until_refused(*origin)).collect();
        first_answers.iter().take(servers.len()).for_each(drop);
        thread::sleep(WARM_UP);
        let ended = user.run_step(&spec.sign_out, &mut operator);
        let _ = signals.acknowledged.set(Instant::now());
        if ended.is_err() {
            signals.is_aborted.store(true, Ordering::Relaxed);
        }
        let outcomes: Vec<_> = showing.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ended?;
        outcomes.into_iter().map(|outcome| outcome.map_err(|_| CompareError::Generator)?).collect()
    })
}

/// The moments of an end.
#[derive(Default)]
struct LogoutSignals {
    acknowledged: OnceLock<Instant>,
    is_aborted: AtomicBool,
}

/// What is shown, what it is refused by, and for how long it is shown after its end.
#[derive(Clone, Copy)]
struct CredentialWatch<'a> {
    call: &'a PreparedRequest,
    refused: u16,
    time: Duration,
}

impl CredentialWatch<'_> {
    /// Shows a credential until it is refused, or long enough. Tells when there is a first answer.
    fn poll_until_refused(
        self,
        origin: &Origin,
        signals: &LogoutSignals,
        answered: &Sender<()>,
    ) -> Result<RevocationOutcome, CompareError> {
        let failed = |reason: String| CompareError::Answer { call: self.call.name(), reason };
        let mut connection = Connection::new(origin.clone());
        let mut last_accepted = None;
        loop {
            let sent = Instant::now();
            let response = connection.exchange(&self.call.request);
            if last_accepted.is_none() {
                // Good or not: somebody waits for it.
                let _ = answered.send(());
            }
            let response = response.map_err(|error| failed(error.to_string()))?;
            let since = signals.acknowledged.get().map(|end| sent.saturating_duration_since(*end));
            match (self.call.is_answered_by(&response), since) {
                (true, Some(since)) if since > self.time => return Ok(RevocationOutcome::NotRevoked),
                (true, _) => last_accepted = Some(sent),
                // Somebody's, and nobody's any more: anything else has another reason.
                (false, _) if last_accepted.is_some() && response.status == self.refused => break,
                (false, _) => return Err(failed(format!("answered {} around its end", response.status))),
            }
            if signals.is_aborted.load(Ordering::Relaxed) {
                break;
            }
        }
        // Refused while the end was still on its way back: as fast as can be.
        let end = *signals.acknowledged.wait();
        Ok(RevocationOutcome::Refused(
            last_accepted.map_or(Duration::ZERO, |sent| sent.saturating_duration_since(end)),
        ))
    }
}

/// When the first of somebody's tokens runs out by itself, if they are JWTs (RFC 7519, section 4.1.4).
fn expires_in(user: &TestUser) -> Option<Duration> {
    let expiry = |token: &str| {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_i64()
    };
    let left = user.values().filter_map(expiry).min()? - run::now().timestamp();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or_default()))
}
