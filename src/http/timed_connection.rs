//! Timeouts of client connections: requests that arrive or responses that are read too slowly are cut off, and idle
//! connections are closed after a while.
//!
//! actix limits only the time of the first request's head. Without further limits, a second request of which one byte
//! came, a body that stops half way, or a response that is never read would hold a connection forever.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::tracked_body::{RequestBodyState, SharedBodyState};

/// Time limit from a request's first byte to its response's: for the client to send it, and for our processing, which
/// has other and much shorter limits.
const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Time limit for the client to read a response.
const ANSWER_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Time limit for the rest of a body after the response was sent. A client that sends the whole body before it reads
/// must not find the connection closed before it has read the response.
const REST_TIME_LIMIT: Duration = Duration::from_secs(5);

/// Maximum interval between two checks of a connection.
const TICK: Duration = Duration::from_secs(5);

/// The interim response to `Expect: 100-continue`.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Maximum number of connections of a node; further ones wait. Each needs at least 16 KiB.
const MAX_CONNECTIONS: usize = 8_192;

/// File descriptors reserved for other purposes: Postgres, logs, the program itself.
const OTHER_FILES: u64 = 128;

/// Maximum number of connections with this process's limit of open files.
pub fn max_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let left = limit.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(OTHER_FILES));
    usize::try_from(left).unwrap_or(MAX_CONNECTIONS).min(MAX_CONNECTIONS)
}

thread_local! {
    /// Number of connections of this thread, which is one worker.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// Counts a connection of its worker until it is dropped.
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

/// A connection with timeouts.
#[derive(Debug)]
pub struct TimedConnection<T> {
    stream: T,
    limits: ConnectionLimits,
    body: SharedBodyState,
    /// When the first byte of a request came that is not answered yet.
    unanswered: Option<Instant>,
    /// When a response was written that the client has not read completely.
    untaken: Option<Instant>,
    /// When a request was answered whose body is incomplete.
    unfinished: Option<Instant>,
    /// When the connection was found to be idle.
    idle: Option<Instant>,
    /// Fires at the next deadline or earlier.
    alarm: Option<Pin<Box<Sleep>>>,
    _place: ConnectionCountGuard,
}

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    request: Duration,
    answer: Duration,
    rest: Duration,
    keep_alive: Duration,
    /// Maximum interval between checks for idleness.
    tick: Duration,
    /// With more connections than this on one worker, an idle one is closed at the next check.
    plenty: usize,
}

impl ConnectionLimits {
    /// Limits with this keep-alive time and this maximum number of connections per worker.
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

/// What to do with a connection after a check.
enum TimeoutAction {
    /// Nothing.
    Continue,
    /// Close it gracefully: no request is in progress.
    Close,
    /// Abort it.
    Abort,
}

impl<T> TimedConnection<T> {
    /// Wraps this stream.
    pub fn new(stream: T, limits: ConnectionLimits) -> Self {
        Self {
            stream,
            limits,
            body: SharedBodyState::default(),
            unanswered: None,
            untaken: None,
            unfinished: None,
            idle: None,
            alarm: None,
            _place: ConnectionCountGuard::taken(),
        }
    }

    /// The state of the current request's body.
    pub(super) fn body(&self) -> &SharedBodyState {
        &self.body
    }

    /// When to abort the connection, and when to close it.
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

    /// What to do now. Otherwise sets the timer for the next deadline.
    fn check_time(&mut self, cx: &mut Context<'_>) -> TimeoutAction {
        if self.alarm.is_none() {
            let Some(first) = self.unanswered.or(self.untaken) else { return TimeoutAction::Continue };
            self.alarm = Some(Box::pin(sleep_until(first + self.limits.tick)));
        }
        let next = self.deadlines().into_iter().flatten().min();
        let Some(alarm) = &mut self.alarm else { return TimeoutAction::Continue };
        // Not moved to a later time, since that would cost each request: an early check is harmless.
        if next.is_some_and(|next| alarm.deadline() > next) {
            alarm.as_mut().reset(next.unwrap_or_else(Instant::now));
        }
        while self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready()) {
            let now = Instant::now();
            self.note_idle(now);
            let [cut, end] = self.deadlines();
            let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
            if is_over(cut) {
                return TimeoutAction::Abort;
            }
            if is_over(end) {
                return TimeoutAction::Close;
            }
            let next = [cut, end, Some(now + self.limits.tick)].into_iter().flatten().min();
            if let (Some(alarm), Some(next)) = (&mut self.alarm, next) {
                alarm.as_mut().reset(next);
            }
        }
        TimeoutAction::Continue
    }

    /// Idleness is detected at checks, so that requests need not read the clock at their end.
    fn note_idle(&mut self, now: Instant) {
        let is_idle = self.unanswered.is_none()
            && self.untaken.is_none()
            && self.body.get() != RequestBodyState::Coming;
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
        // Also when more bytes are available: they may arrive one by one.
        match this.check_time(cx) {
            TimeoutAction::Continue => read,
            // As if the client had closed it.
            TimeoutAction::Close => {
                into.set_filled(before);
                Poll::Ready(Ok(()))
            }
            TimeoutAction::Abort => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
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
                if this.body.get() == RequestBodyState::Unfinished {
                    this.unfinished.get_or_insert_with(Instant::now);
                    if !matches!(this.check_time(cx), TimeoutAction::Continue) {
                        cx.waker().wake_by_ref();
                    }
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                this.untaken.get_or_insert_with(Instant::now);
                if let TimeoutAction::Abort = this.check_time(cx) {
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
