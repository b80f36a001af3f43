//! Postgres outage: how each variant responds while Postgres is stopped, and how long it takes to recover.

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

/// Pause between two requests.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Time limit for recovery.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// A status, and the time from which it was returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedAnswer)]
pub struct StatusChange {
    /// Milliseconds since the stop of Postgres was requested.
    pub after_ms: u64,
    /// The status code. Null: no response within ten seconds, or the connection was closed.
    pub status: Option<u16>,
}

/// Responses of one variant during an outage of Postgres, and its recovery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedOutage)]
pub struct Outage {
    /// The statuses returned while Postgres was stopped: the first, and each change.
    pub answers: Vec<StatusChange>,
    /// Milliseconds from when Postgres accepted connections again until the expected status was returned. Null when no other
    /// status was returned during the outage, or when recovery took more than a minute.
    pub recovery_ms: Option<f64>,
}

/// Signals between the thread that stops Postgres and those that send requests.
#[derive(Default)]
struct OutageSignals {
    began: OnceLock<Instant>,
    is_over: AtomicBool,
    ended: OnceLock<Instant>,
}

/// Stops Postgres for this time, and sends each of the requests continuously, until recovery.
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

/// Fails if a request does not get its expected status before the outage.
fn check_healthy(request_target: &RequestTarget) -> Result<(), CompareError> {
    match status(request_target, &mut Connection::new(request_target.origin.clone())) {
        status if status == Some(request_target.call.status) => Ok(()),
        status => {
            let status = status.map_or_else(|| "not at all".to_owned(), |status| status.to_string());
            let reason = format!("answered {status} before the outage");
            Err(CompareError::Answer { call: request_target.call.name(), reason })
        }
    }
}

fn watch(request_target: &RequestTarget, signals: &OutageSignals, ready: &Barrier) -> Outage {
    let mut connection = Connection::new(request_target.origin.clone());
    // Opens the connection, which is not to be timed.
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

fn record_change(answers: &mut Vec<StatusChange>, status: Option<u16>, after: Duration) {
    if answers.last().is_none_or(|last| last.status != status) {
        answers.push(StatusChange { after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX), status });
    }
}

fn status(request_target: &RequestTarget, connection: &mut Connection) -> Option<u16> {
    connection.exchange(&request_target.call.request).ok().map(|response| response.status)
}
