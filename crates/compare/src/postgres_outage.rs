//! What each answers while Postgres is away, and how soon it is itself again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CompareError;
use super::http::Connection;
use super::load::RequestTarget;
use super::postgres::Postgres;

/// How long between two questions.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long one may take to be itself again.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// From when on this was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedAnswer)]
pub struct AnswerSince {
    /// In milliseconds, since Postgres was told to stop.
    pub after_ms: u64,
    /// The status code; none: there was no answer in ten seconds, or the server hung up.
    pub status: Option<u16>,
}

/// How one fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedOutage)]
pub struct Outage {
    /// What was answered, whenever that changed.
    pub answers: Vec<AnswerSince>,
    /// How long it took, in milliseconds, from when Postgres took connections again until it answered as before. Null when it
    /// never answered anything else, or when it was not itself again within a minute.
    pub recovery_ms: Option<f64>,
}

/// The moments of an outage.
#[derive(Default)]
struct OutageSignals {
    began: OnceLock<Instant>,
    is_over: AtomicBool,
    ended: OnceLock<Instant>,
}

/// Takes Postgres away for so long. Each request is asked all the time.
pub(super) fn measure(
    postgres: &mut Postgres,
    request_targets: &[RequestTarget],
    time: Duration,
) -> Result<Vec<Outage>, CompareError> {
    request_targets.iter().try_for_each(check_healthy)?;
    let (signals, ready) = (OutageSignals::default(), Barrier::new(request_targets.len() + 1));
    thread::scope(|scope| {
        let watching: Vec<_> = request_targets
            .iter()
            .map(|request_target| scope.spawn(|| watch(request_target, &signals, &ready)))
            .collect();
        ready.wait();
        let _ = signals.began.set(Instant::now());
        postgres.stop();
        thread::sleep(time);
        signals.is_over.store(true, Ordering::Relaxed);
        let back = postgres.restart();
        let _ = signals.ended.set(Instant::now());
        back?;
        let outages = watching.into_iter().map(thread::ScopedJoinHandle::join);
        outages.map(|outage| outage.map_err(|_| CompareError::Generator)).collect()
    })
}

/// An answer that is wrong beforehand would be taken for one of the outage.
fn check_healthy(request_target: &RequestTarget) -> Result<(), CompareError> {
    match status(request_target, &mut Connection::new(request_target.origin.clone())) {
        status if status == Some(request_target.call.status) => Ok(()),
        status => {
            let reason = format!("answered {status:?} before Postgres went away");
            Err(CompareError::Answer { call: request_target.call.name(), reason })
        }
    }
}

fn watch(request_target: &RequestTarget, signals: &OutageSignals, ready: &Barrier) -> Outage {
    let mut connection = Connection::new(request_target.origin.clone());
    // Opens the connection: that is not what is timed.
    status(request_target, &mut connection);
    ready.wait();
    let began = *signals.began.wait();
    let mut outage = Outage::default();
    loop {
        let asked = Instant::now();
        let status = status(request_target, &mut connection);
        if !signals.is_over.load(Ordering::Relaxed) {
            record_change(&mut outage.answers, status, asked - began);
        } else if let Some(ended) = signals.ended.get() {
            if status == Some(request_target.call.status) {
                let has_suffered = outage.answers.iter().any(|answer| answer.status != status);
                outage.recovery_ms = has_suffered.then(|| ended.elapsed().as_secs_f64() * 1e3);
                return outage;
            }
            if ended.elapsed() > RECOVERY_TIMEOUT {
                return outage;
            }
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn record_change(answers: &mut Vec<AnswerSince>, status: Option<u16>, after: Duration) {
    if answers.last().is_none_or(|last| last.status != status) {
        answers.push(AnswerSince { after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX), status });
    }
}

fn status(request_target: &RequestTarget, connection: &mut Connection) -> Option<u16> {
    connection.exchange(&request_target.call.request).ok().map(|response| response.status)
}
