//! Revocation delay: how long a credential is still accepted after its logout was acknowledged. Measured by using it
//! continuously, on the node that handles the logout and on another one.

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
use super::{CompareError, Plan, TerminalProgressBar, rounds, run};

/// How long a credential is used before its logout, so that each node has cached it.
const WARM_UP: Duration = Duration::from_millis(15);

/// Logouts without effect after which a variant is measured no further: each takes the whole watch time.
const MAX_NOT_REVOKED: usize = 2;

/// Measures the revocation delay of all variants, interleaved as in `rounds`. `others` are the second nodes, by group. `None`
/// for variants that the plan leaves out.
pub(super) fn measure(
    members: &[RunningVariant],
    groups: &[NodeGroup],
    others: &[Option<Server>],
    plan: &Plan,
    progress: &TerminalProgressBar,
) -> Result<Vec<Option<RevocationDelayByNode>>, CompareError> {
    let mut trials: Vec<_> = members
        .iter()
        .map(|variant| LogoutTrials::of(variant, &groups[variant.group], others[variant.group].as_ref()))
        .collect();
    let measured: Vec<_> =
        (0..members.len()).filter(|at| plan.measures_revocation(&groups[members[*at].group])).collect();
    progress.expect(plan.logouts * measured.len());
    for at in rounds::interleaved_order(plan.logouts, measured.len()) {
        trials[measured[at]].run_next(plan.revocation_watch)?;
        progress.step();
    }
    Ok(trials.into_iter().map(|trial| trial.delay(plan.revocation_watch)).collect())
}

/// Successive logouts of one variant.
struct LogoutTrials<'a> {
    variant: &'a RunningVariant,
    servers: Vec<&'a Origin>,
    /// Results on each of the servers.
    seen: Vec<RevocationSamples>,
}

/// Results on one node, in milliseconds.
#[derive(Clone, Default)]
struct RevocationSamples {
    /// Delays of the credentials that were refused.
    refused: Vec<f64>,
    /// Remaining lifetimes, at the logout, of the credentials that were not refused; `None`: unknown.
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
                // The remaining lifetime at the logout: that of now, and the watch time.
                RevocationOutcome::NotRevoked => {
                    seen.not_revoked.push(expires_in(&user).map(|left| milliseconds(left + watch)));
                }
            }
        }
        Ok(())
    }

    /// The distribution on the first node and on the second. `None` without results.
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

/// Result of one logout on one node.
#[derive(Clone, Copy, Debug)]
pub(super) enum RevocationOutcome {
    /// Refused. The last accepted request was sent this long after the acknowledgement of the logout.
    Refused(Duration),
    /// Still accepted at the end of the watch time.
    NotRevoked,
}

/// Signs in and out on the first server, and measures on each server how long the credential is accepted.
pub(super) fn measure_logout(
    spec: &VariantSpec,
    user: &mut TestUser,
    servers: &[&Origin],
    watch: Duration,
) -> Result<Vec<RevocationOutcome>, CompareError> {
    let mut client = Connection::new(servers[0].clone());
    user.sign_in(spec, &mut client)?;
    let call = user.call(spec, client.host());
    let (signals, watch) =
        (LogoutSignals::default(), CredentialWatch { call: &call, refused: spec.refused, time: watch });
    thread::scope(|scope| {
        let (first_response, first_responses) = mpsc::channel();
        let poll_until_refused = |origin| {
            let (first_response, signals) = (first_response.clone(), &signals);
            scope.spawn(move || watch.poll_until_refused(origin, signals, &first_response))
        };
        let polling: Vec<_> = servers.iter().map(|origin| poll_until_refused(*origin)).collect();
        first_responses.iter().take(servers.len()).for_each(drop);
        thread::sleep(WARM_UP);
        let logged_out = user.run_step(&spec.sign_out, &mut client);
        let _ = signals.acknowledged.set(Instant::now());
        if logged_out.is_err() {
            signals.is_aborted.store(true, Ordering::Relaxed);
        }
        let outcomes: Vec<_> = polling.into_iter().map(thread::ScopedJoinHandle::join).collect();
        logged_out?;
        outcomes.into_iter().map(|outcome| outcome.map_err(|_| CompareError::Generator)?).collect()
    })
}

/// Signals between the thread that logs out and those that use the credential.
#[derive(Default)]
struct LogoutSignals {
    acknowledged: OnceLock<Instant>,
    is_aborted: AtomicBool,
}

/// The request with the credential, the status that refuses it, and the watch time after the logout.
#[derive(Clone, Copy)]
struct CredentialWatch<'a> {
    call: &'a PreparedRequest,
    refused: u16,
    time: Duration,
}

impl CredentialWatch<'_> {
    /// Sends the request until it is refused or the watch time is over. Signals the first response.
    fn poll_until_refused(
        self,
        origin: &Origin,
        signals: &LogoutSignals,
        first_response: &Sender<()>,
    ) -> Result<RevocationOutcome, CompareError> {
        let failed = |reason: String| CompareError::Answer { call: self.call.name(), reason };
        let mut connection = Connection::new(origin.clone());
        let mut last_accepted = None;
        loop {
            let sent = Instant::now();
            let response = connection.exchange(&self.call.request);
            if last_accepted.is_none() {
                // Also after an error: the logout waits for it.
                let _ = first_response.send(());
            }
            let response = response.map_err(|error| failed(error.to_string()))?;
            let since = signals.acknowledged.get().map(|end| sent.saturating_duration_since(*end));
            match (self.call.is_answered_by(&response), since) {
                (true, Some(since)) if since > self.time => return Ok(RevocationOutcome::NotRevoked),
                (true, _) => last_accepted = Some(sent),
                // Accepted before and refused now: revoked. Any other response is an error.
                (false, _) if last_accepted.is_some() && response.status == self.refused => break,
                (false, _) => {
                    return Err(failed(format!("answered {} during the logout test", response.status)));
                }
            }
            if signals.is_aborted.load(Ordering::Relaxed) {
                break;
            }
        }
        // Refused before the acknowledgement has arrived: the delay is zero.
        let end = *signals.acknowledged.wait();
        Ok(RevocationOutcome::Refused(
            last_accepted.map_or(Duration::ZERO, |sent| sent.saturating_duration_since(end)),
        ))
    }
}

/// Time to the earliest `exp` of the user's JWTs (RFC 7519, section 4.1.4). `None` without one.
fn expires_in(user: &TestUser) -> Option<Duration> {
    let expiry = |token: &str| {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_i64()
    };
    let left = user.values().filter_map(expiry).min()? - run::now().timestamp();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or_default()))
}
