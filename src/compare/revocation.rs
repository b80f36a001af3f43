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

use super::CompareError;
use super::http::{Connection, Origin};
use super::target::Way;
use super::visitor::{Call, Visitor};
use crate::clock::Clock;

/// How long it is shown before it is ended: each node has seen it many times by then.
const BEFORE: Duration = Duration::from_millis(15);

/// What was seen on one node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It was refused: the last request that was accepted was sent so long after the end was acknowledged.
    Refused(Duration),
    /// It was accepted for as long as anybody looked.
    Outlived,
}

/// Signs in, ends it on the first of the servers, and tells what became of it on each of them.
pub(super) fn end_one(
    way: &Way,
    visitor: &mut Visitor,
    servers: &[&Origin],
    watch: Duration,
) -> Result<Vec<Fate>, CompareError> {
    let mut operator = Connection::to(servers[0].clone());
    visitor.sign_in(way, &mut operator)?;
    let call = visitor.call(way, operator.host());
    let (course, watch) = (Course::default(), Watch { call: &call, refused: way.refused, time: watch });
    thread::scope(|scope| {
        let (answered, first_answers) = mpsc::channel();
        let show = |origin| {
            let (answered, course) = (answered.clone(), &course);
            scope.spawn(move || watch.show(origin, course, &answered))
        };
        let showing: Vec<_> = servers.iter().map(|origin| show(*origin)).collect();
        first_answers.iter().take(servers.len()).for_each(drop);
        thread::sleep(BEFORE);
        let ended = visitor.take(&way.sign_out, &mut operator);
        let _ = course.acknowledged.set(Instant::now());
        if ended.is_err() {
            course.is_broken_off.store(true, Ordering::Relaxed);
        }
        let fates: Vec<_> = showing.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ended?;
        fates.into_iter().map(|fate| fate.map_err(|_| CompareError::Generator)?).collect()
    })
}

/// The moments of an end.
#[derive(Default)]
struct Course {
    acknowledged: OnceLock<Instant>,
    is_broken_off: AtomicBool,
}

/// What is shown, what it is refused by, and for how long it is shown after its end.
#[derive(Clone, Copy)]
struct Watch<'a> {
    call: &'a Call,
    refused: u16,
    time: Duration,
}

impl Watch<'_> {
    /// Shows a credential until it is refused, or long enough. Tells when there is a first answer.
    fn show(self, origin: &Origin, course: &Course, answered: &Sender<()>) -> Result<Fate, CompareError> {
        let failed = |reason: String| CompareError::Answer { call: self.call.name(), reason };
        let mut connection = Connection::to(origin.clone());
        let mut last_accepted = None;
        loop {
            let sent = Instant::now();
            let response = connection.exchange(&self.call.request);
            if last_accepted.is_none() {
                // Good or not: somebody waits for it.
                let _ = answered.send(());
            }
            let response = response.map_err(|error| failed(error.to_string()))?;
            let since = course.acknowledged.get().map(|end| sent.saturating_duration_since(*end));
            match (self.call.is_answered_by(&response), since) {
                (true, Some(since)) if since > self.time => return Ok(Fate::Outlived),
                (true, _) => last_accepted = Some(sent),
                // Somebody's, and nobody's any more: anything else has another reason.
                (false, _) if last_accepted.is_some() && response.status == self.refused => break,
                (false, _) => return Err(failed(format!("answered {} around its end", response.status))),
            }
            if course.is_broken_off.load(Ordering::Relaxed) {
                break;
            }
        }
        // Refused while the end was still on its way back: as fast as can be.
        let end = *course.acknowledged.wait();
        Ok(Fate::Refused(last_accepted.map_or(Duration::ZERO, |sent| sent.saturating_duration_since(end))))
    }
}

/// When the first of somebody's tokens runs out by itself, if they are JWTs (RFC 7519, section 4.1.4).
pub(super) fn expires_in(visitor: &Visitor) -> Option<Duration> {
    let expiry = |token: &str| {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_i64()
    };
    let left = visitor.secrets().filter_map(expiry).min()? - Clock::system().now().timestamp();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or_default()))
}
