//! Revocation delay: how long a credential is still accepted after its logout was acknowledged. Measured by using it
//! continuously, on the node that handles the logout, on another one, and in another service that verifies tokens by itself.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::http::{Connection, Origin};
use super::other_service;
use super::report::{DelayDistribution, RevocationDelayByPlace};
use super::target::{AuthMode, VariantSpec};
use super::test_user::{PreparedRequest, TestUser};
use super::testbed::Server;
use super::variant::{NodeGroup, OtherPlaces, RunningVariant};
use super::{CompareError, Plan, TerminalProgressBar, rounds, run};

/// How long a credential is used before its logout, so that each node has cached it.
const WARM_UP: Duration = Duration::from_millis(15);

/// Logouts without effect after which a variant is measured no further: each takes the whole watch time.
const MAX_NOT_REVOKED: usize = 2;

/// Measures the revocation delay of all variants, interleaved as in `rounds`. `others` are the other places, by group. `None`
/// for variants that the plan leaves out.
pub(super) fn measure(
    members: &[RunningVariant],
    groups: &[NodeGroup],
    others: &[OtherPlaces],
    plan: &Plan,
    progress: &TerminalProgressBar,
) -> Result<Vec<Option<RevocationDelayByPlace>>, CompareError> {
    let mut trials: Vec<_> = members
        .iter()
        .map(|variant| LogoutTrials::of(variant, &groups[variant.group], &others[variant.group]))
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

/// Where a credential is used.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// At a node.
    Node(&'a Origin),
    /// At another service.
    OtherService(&'a Origin),
}

impl<'a> Place<'a> {
    fn origin(self) -> &'a Origin {
        match self {
            Self::Node(origin) | Self::OtherService(origin) => origin,
        }
    }

    /// The request there with the user's credential.
    fn call(self, spec: &VariantSpec, user: &TestUser) -> Result<PreparedRequest, CompareError> {
        match self {
            Self::Node(origin) => Ok(user.call(spec, origin.host())),
            Self::OtherService(origin) => other_service::call(user, origin.host()),
        }
    }
}

/// Successive logouts of one variant.
struct LogoutTrials<'a> {
    variant: &'a RunningVariant,
    /// The node that handles the logout, another node, and another service. `None`: there is none.
    places: [Option<PlaceTrials<'a>>; 3],
}

/// Results at one place, in milliseconds.
struct PlaceTrials<'a> {
    place: Place<'a>,
    /// Delays of the credentials that were refused.
    refused: Vec<f64>,
    /// Remaining lifetimes, at the logout, of the credentials that were not refused; `None`: unknown.
    not_revoked: Vec<Option<f64>>,
}

impl<'a> LogoutTrials<'a> {
    fn of(variant: &'a RunningVariant, group: &'a NodeGroup, others: &'a OtherPlaces) -> Self {
        let node = |server: &'a Server| Place::Node(&server.origin);
        // It takes access tokens only.
        let service = others.service.as_ref().filter(|_| variant.spec.mode == AuthMode::Jwt);
        let places = [
            group.servers.first().map(node),
            others.node.as_ref().map(node),
            service.map(|server| Place::OtherService(&server.origin)),
        ];
        let empty = |place| PlaceTrials { place, refused: Vec::new(), not_revoked: Vec::new() };
        Self { variant, places: places.map(|place| place.map(empty)) }
    }

    fn run_next(&mut self, watch: Duration) -> Result<(), CompareError> {
        let mut trials = self.places.iter().flatten();
        if trials.all(|trials| trials.not_revoked.len() >= MAX_NOT_REVOKED) {
            return Ok(());
        }
        let mut user = self.variant.user.clone();
        let places: Vec<_> = self.places.iter().flatten().map(|trials| trials.place).collect();
        let outcomes = measure_logout(&self.variant.spec, &mut user, &places, watch)?;
        for (outcome, trials) in outcomes.into_iter().zip(self.places.iter_mut().flatten()) {
            match outcome {
                RevocationOutcome::Refused(delay) => trials.refused.push(milliseconds(delay)),
                // The remaining lifetime at the logout: that of now, and the watch time.
                RevocationOutcome::NotRevoked => {
                    trials.not_revoked.push(expires_in(&user).map(|left| milliseconds(left + watch)));
                }
            }
        }
        Ok(())
    }

    /// The distribution at each place. `None` without results.
    fn delay(self, watch: Duration) -> Option<RevocationDelayByPlace> {
        let [same_node, other_node, other_service] = self.places.map(|trials| {
            let PlaceTrials { refused, not_revoked, .. } = trials?;
            DelayDistribution::of(refused, &not_revoked, milliseconds(watch))
        });
        Some(RevocationDelayByPlace { same_node: same_node?, other_node, other_service })
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Result of one logout at one place.
#[derive(Clone, Copy, Debug)]
pub(super) enum RevocationOutcome {
    /// Refused. The last accepted request was sent this long after the acknowledgement of the logout.
    Refused(Duration),
    /// Still accepted at the end of the watch time.
    NotRevoked,
}

/// Signs in and out at the first place, and measures at each how long the credential is accepted.
pub(super) fn measure_logout(
    spec: &VariantSpec,
    user: &mut TestUser,
    places: &[Place<'_>],
    watch: Duration,
) -> Result<Vec<RevocationOutcome>, CompareError> {
    let mut client = Connection::new(places[0].origin().clone());
    user.sign_in(spec, &mut client)?;
    let watches = places.iter().map(|place| {
        let (origin, call) = (place.origin(), place.call(spec, user)?);
        Ok(CredentialWatch { origin, call, refused: spec.refused, time: watch })
    });
    let watches = watches.collect::<Result<Vec<_>, CompareError>>()?;
    let signals = LogoutSignals::default();
    thread::scope(|scope| {
        let (first_response, first_responses) = mpsc::channel();
        let poll_until_refused = |watch| {
            let (first_response, signals) = (first_response.clone(), &signals);
            scope.spawn(move || CredentialWatch::poll_until_refused(watch, signals, &first_response))
        };
        let polling: Vec<_> = watches.iter().map(poll_until_refused).collect();
        first_responses.iter().take(places.len()).for_each(drop);
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

/// The request with the credential, where it is sent, the status that refuses it, and the watch time after the logout.
struct CredentialWatch<'a> {
    origin: &'a Origin,
    call: PreparedRequest,
    refused: u16,
    time: Duration,
}

impl CredentialWatch<'_> {
    /// Sends the request until it is refused or the watch time is over. Signals the first response.
    fn poll_until_refused(
        &self,
        signals: &LogoutSignals,
        first_response: &Sender<()>,
    ) -> Result<RevocationOutcome, CompareError> {
        let failed = |reason: String| CompareError::Answer { call: self.call.name(), reason };
        let mut connection = Connection::new(self.origin.clone());
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
