//! A client's connection, which has to get on: who sends its request or takes its answer too slowly is cut off, and one
//! without a request is kept for a while.
//!
//! actix times the head of a connection's first request, and nothing else that is not to be heard of again: a second
//! request of which one byte came, a body that stops half way, or an answer that nobody reads would be held for ever.
//! What was begun has to be answered, and what is answered has to be taken, each within its time.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::tracked_body::{RequestBodyProgress, RequestBodyState};

/// How long it may take from a request's first byte to its answer's: the client's time for head and body, and ours,
/// which is bounded elsewhere and much shorter.
const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);

/// How long an answer may take to be taken.
const ANSWER_TIME_LIMIT: Duration = Duration::from_secs(30);

/// How long the rest of a body may take to come that was answered before: who sends at a stretch should not find the way
/// closed before it has read the answer.
const REST_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How often a connection is looked at, at the least.
const TICK: Duration = Duration::from_secs(5);

/// What is written while a request goes on.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How many a node holds at most. More wait until one is closed; each costs 16 KiB and more.
const MOST: usize = 8_192;

/// Open files that are for something else: Postgres, logs, the program itself.
const OTHER_FILES: u64 = 128;

/// How many connections a node can hold, with the open files that it may have.
pub fn max_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let left = limit.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(OTHER_FILES));
    usize::try_from(left).unwrap_or(MOST).min(MOST)
}

thread_local! {
    /// How many this thread has, which is one worker.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// A connection's place among those of its worker.
#[derive(Debug)]
struct ConnectionCountGuard;

impl ConnectionCountGuard {
    fn taken() -> Self {
        OPEN.set(OPEN.get() + 1);
        Self
    }
}

impl Drop for ConnectionCountGuard {
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(1));
    }
}

/// A connection, with its deadlines.
#[derive(Debug)]
pub struct TimedConnection<T> {
    stream: T,
    limits: ConnectionLimits,
    body: RequestBodyState,
    /// Since when there is something of a request, and nothing of an answer.
    unanswered: Option<Instant>,
    /// Since when there is something of an answer that was not taken.
    untaken: Option<Instant>,
    /// Since when there is an answer to a request of which the body did not come whole.
    unfinished: Option<Instant>,
    /// Since when it is known to be without a request.
    idle: Option<Instant>,
    /// Goes off at a deadline, or before it.
    alarm: Option<Pin<Box<Sleep>>>,
    _place: ConnectionCountGuard,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    request: Duration,
    answer: Duration,
    rest: Duration,
    keep_alive: Duration,
    /// How often it is looked at whether it is without a request, at the least.
    tick: Duration,
    /// With more connections than that on one worker, one without a request is kept no longer than it takes to see it.
    plenty: usize,
}

impl ConnectionLimits {
    /// With connections kept for so long, and so many of them for one worker at most.
    pub fn new(keep_alive: Duration, most: usize) -> Self {
        Self {
            request: REQUEST_TIME_LIMIT,
            answer: ANSWER_TIME_LIMIT,
            rest: REST_TIME_LIMIT,
            keep_alive,
            tick: TICK.min(keep_alive / 8),
            plenty: most / 4 * 3,
        }
    }
}

/// What becomes of a connection.
enum TimeoutAction {
    /// It goes on.
    Nothing,
    /// It ends without a word: nothing is under way on it.
    End,
    /// It is cut off.
    Cut,
}

impl<T> TimedConnection<T> {
    /// Over this stream.
    pub fn new(stream: T, limits: ConnectionLimits) -> Self {
        Self {
            stream,
            limits,
            body: RequestBodyState::default(),
            unanswered: None,
            untaken: None,
            unfinished: None,
            idle: None,
            alarm: None,
            _place: ConnectionCountGuard::taken(),
        }
    }

    /// How far the body has come of the request that is being served.
    pub(super) fn body(&self) -> &RequestBodyState {
        &self.body
    }

    /// When it is cut off, and when it ends.
    fn deadlines(&self) -> [Option<Instant>; 2] {
        let ConnectionLimits { request, answer, rest, keep_alive, tick, plenty } = self.limits;
        let kept = if OPEN.get() > plenty { tick } else { keep_alive };
        let earliest = |times: [Option<Instant>; 2]| times.into_iter().flatten().min();
        let after = |since: Option<Instant>, limit| since.map(|since| since + limit);
        [
            earliest([after(self.unanswered, request), after(self.untaken, answer)]),
            earliest([after(self.unfinished, rest), after(self.idle, kept)]),
        ]
    }

    /// What is due now; else it is noticed when something will be.
    fn check_time(&mut self, cx: &mut Context<'_>) -> TimeoutAction {
        if self.alarm.is_none() {
            let Some(first) = self.unanswered.or(self.untaken) else { return TimeoutAction::Nothing };
            self.alarm = Some(Box::pin(sleep_until(first + self.limits.tick)));
        }
        let next = self.deadlines().into_iter().flatten().min();
        let Some(alarm) = &mut self.alarm else { return TimeoutAction::Nothing };
        // Else it is left where an earlier request has put it: to move it for each would cost each.
        if next.is_some_and(|next| alarm.deadline() > next) {
            alarm.as_mut().reset(next.unwrap_or_else(Instant::now));
        }
        while self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready()) {
            let now = Instant::now();
            self.note_idle(now);
            let [cut, end] = self.deadlines();
            let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
            if is_over(cut) {
                return TimeoutAction::Cut;
            }
            if is_over(end) {
                return TimeoutAction::End;
            }
            let next = [cut, end, Some(now + self.limits.tick)].into_iter().flatten().min();
            if let (Some(alarm), Some(next)) = (&mut self.alarm, next) {
                alarm.as_mut().reset(next);
            }
        }
        TimeoutAction::Nothing
    }

    /// That it is idle is found out at a look, so that no request has to ask what time it is when it is over.
    fn note_idle(&mut self, now: Instant) {
        let is_idle = self.unanswered.is_none()
            && self.untaken.is_none()
            && self.body.get() != RequestBodyProgress::Coming;
        self.idle = is_idle.then(|| self.idle.unwrap_or(now));
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TimedConnection<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, into);
        if into.filled().len() > before {
            this.unanswered.get_or_insert_with(Instant::now);
            this.idle = None;
        }
        // Also when there is more to read: it may come byte by byte.
        match this.check_time(cx) {
            TimeoutAction::Nothing => read,
            // As if the client had closed it.
            TimeoutAction::End => {
                into.set_filled(before);
                Poll::Ready(Ok(()))
            }
            TimeoutAction::Cut => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimedConnection<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        match written {
            Poll::Ready(Ok(length)) => {
                if bytes != CONTINUE {
                    this.unanswered = None;
                }
                if length == bytes.len() {
                    this.untaken = None;
                }
                if this.body.get() == RequestBodyProgress::Unfinished {
                    this.unfinished.get_or_insert_with(Instant::now);
                    if !matches!(this.check_time(cx), TimeoutAction::Nothing) {
                        cx.waker().wake_by_ref();
                    }
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                this.untaken.get_or_insert_with(Instant::now);
                if let TimeoutAction::Cut = this.check_time(cx) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
