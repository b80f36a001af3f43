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

use super::incoming::{BodyState, Progress};

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
pub fn most() -> usize {
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
struct Place;

impl Place {
    fn taken() -> Self {
        OPEN.set(OPEN.get() + 1);
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(1));
    }
}

/// A connection, with its deadlines.
#[derive(Debug)]
pub struct Connection<T> {
    stream: T,
    limits: Limits,
    body: BodyState,
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
    _place: Place,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    request: Duration,
    answer: Duration,
    rest: Duration,
    keep_alive: Duration,
    /// How often it is looked at whether it is without a request, at the least.
    tick: Duration,
    /// With more connections than that on one worker, one without a request is kept no longer than it takes to see it.
    plenty: usize,
}

impl Limits {
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
enum Due {
    /// It goes on.
    Nothing,
    /// It ends without a word: nothing is under way on it.
    End,
    /// It is cut off.
    Cut,
}

impl<T> Connection<T> {
    /// Over this stream.
    pub fn new(stream: T, limits: Limits) -> Self {
        Self {
            stream,
            limits,
            body: BodyState::default(),
            unanswered: None,
            untaken: None,
            unfinished: None,
            idle: None,
            alarm: None,
            _place: Place::taken(),
        }
    }

    /// How far the body has come of the request that is being served.
    pub(super) fn body(&self) -> &BodyState {
        &self.body
    }

    /// When it is cut off, and when it ends.
    fn deadlines(&self) -> [Option<Instant>; 2] {
        let Limits { request, answer, rest, keep_alive, tick, plenty } = self.limits;
        let kept = if OPEN.get() > plenty { tick } else { keep_alive };
        let earliest = |times: [Option<Instant>; 2]| times.into_iter().flatten().min();
        let after = |since: Option<Instant>, limit| since.map(|since| since + limit);
        [
            earliest([after(self.unanswered, request), after(self.untaken, answer)]),
            earliest([after(self.unfinished, rest), after(self.idle, kept)]),
        ]
    }

    /// What is due now; else it is noticed when something will be.
    fn check_time(&mut self, cx: &mut Context<'_>) -> Due {
        if self.alarm.is_none() {
            let Some(first) = self.unanswered.or(self.untaken) else { return Due::Nothing };
            self.alarm = Some(Box::pin(sleep_until(first + self.limits.tick)));
        }
        let next = self.deadlines().into_iter().flatten().min();
        let Some(alarm) = &mut self.alarm else { return Due::Nothing };
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
                return Due::Cut;
            }
            if is_over(end) {
                return Due::End;
            }
            let next = [cut, end, Some(now + self.limits.tick)].into_iter().flatten().min();
            if let (Some(alarm), Some(next)) = (&mut self.alarm, next) {
                alarm.as_mut().reset(next);
            }
        }
        Due::Nothing
    }

    /// That it is idle is found out at a look, so that no request has to ask what time it is when it is over.
    fn note_idle(&mut self, now: Instant) {
        let is_idle =
            self.unanswered.is_none() && self.untaken.is_none() && self.body.get() != Progress::Coming;
        self.idle = is_idle.then(|| self.idle.unwrap_or(now));
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
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
            Due::Nothing => read,
            // As if the client had closed it.
            Due::End => {
                into.set_filled(before);
                Poll::Ready(Ok(()))
            }
            Due::Cut => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
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
                if this.body.get() == Progress::Unfinished {
                    this.unfinished.get_or_insert_with(Instant::now);
                    if !matches!(this.check_time(cx), Due::Nothing) {
                        cx.waker().wake_by_ref();
                    }
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                this.untaken.get_or_insert_with(Instant::now);
                if let Due::Cut = this.check_time(cx) {
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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const NEVER: Duration = Duration::from_secs(3_600);
    const SOON: Duration = Duration::from_millis(20);

    fn connected(request: Duration, answer: Duration) -> (DuplexStream, Connection<DuplexStream>) {
        let (client, server) = duplex(64);
        let limits =
            Limits { request, answer, rest: NEVER, keep_alive: NEVER, tick: NEVER, plenty: usize::MAX };
        (client, Connection::new(server, limits))
    }

    /// Whether it comes to that, before the test has waited long enough.
    async fn is_cut_off<T>(outcome: impl Future<Output = io::Result<T>>) -> bool {
        let outcome = tokio::time::timeout(Duration::from_secs(30), outcome).await;
        outcome.is_ok_and(|outcome| outcome.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut))
    }

    #[tokio::test]
    async fn a_request_that_does_not_go_on_is_cut_off() {
        let (mut client, mut connection) = connected(SOON, NEVER);
        client.write_all(b"G").await.expect("a byte");
        assert_eq!(connection.read_u8().await.expect("it came"), b'G');
        assert!(is_cut_off(connection.read_u8()).await);
    }

    #[tokio::test]
    async fn a_request_that_comes_byte_by_byte_is_cut_off() {
        let (mut client, mut connection) = connected(SOON, NEVER);
        tokio::spawn(async move { while client.write_all(b"x").await.is_ok() {} });
        let reading = async {
            loop {
                connection.read_u8().await?;
            }
        };
        assert!(is_cut_off::<()>(reading).await);
    }

    #[tokio::test]
    async fn each_request_has_its_own_time() {
        let (mut client, mut connection) = connected(SOON, NEVER);
        for _ in 0..5 {
            client.write_all(b"?").await.expect("a request");
            connection.read_u8().await.expect("it came");
            connection.write_all(b"!").await.expect("an answer");
            assert_eq!(client.read_u8().await.expect("it came"), b'!');
            // Between requests nothing is due.
            let idle = tokio::time::timeout(SOON * 2, connection.read_u8()).await;
            assert!(idle.is_err(), "{idle:?}");
        }
        client.write_all(b"?").await.expect("a request");
        connection.read_u8().await.expect("it came");
        assert!(is_cut_off(connection.read_u8()).await);
    }

    /// Asks and is answered on it.
    async fn served(client: &mut DuplexStream, connection: &mut Connection<DuplexStream>) {
        client.write_all(b"?").await.expect("a request");
        connection.read_u8().await.expect("it came");
        connection.write_all(b"!").await.expect("an answer");
        client.read_u8().await.expect("it came");
    }

    /// Whether it ends, before the test has waited long enough, as if the client had closed it.
    async fn ends(connection: &mut Connection<DuplexStream>) -> bool {
        let end = tokio::time::timeout(Duration::from_secs(30), connection.read(&mut [0; 8])).await;
        end.is_ok_and(|end| end.is_ok_and(|length| length == 0))
    }

    fn kept(keep_alive: Duration, plenty: usize) -> (DuplexStream, Connection<DuplexStream>) {
        let (client, server) = duplex(64);
        let limits = Limits { request: NEVER, answer: NEVER, rest: SOON, keep_alive, tick: SOON, plenty };
        (client, Connection::new(server, limits))
    }

    #[tokio::test]
    async fn without_a_request_it_is_kept_as_long_as_is_set() {
        let (mut client, mut connection) = kept(SOON * 10, usize::MAX);
        served(&mut client, &mut connection).await;
        let began = Instant::now();
        assert!(ends(&mut connection).await);
        assert!(began.elapsed() >= SOON * 10, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn without_a_request_it_is_not_kept_when_there_are_many() {
        let (mut first, mut used) = kept(NEVER, 1);
        served(&mut first, &mut used).await;
        let idle = tokio::time::timeout(SOON * 4, used.read_u8()).await;
        assert!(idle.is_err(), "it is the only one");
        let (mut second, mut busy) = kept(NEVER, 1);
        second.write_all(b"?").await.expect("a request");
        busy.read_u8().await.expect("it came");
        assert!(ends(&mut used).await);
        drop(used);
        // And what is under way goes on.
        let unanswered = tokio::time::timeout(SOON * 4, busy.read_u8()).await;
        assert!(unanswered.is_err(), "{unanswered:?}");
    }

    #[tokio::test]
    async fn an_answer_before_the_bodys_end_ends_it() {
        let (mut client, mut connection) = kept(NEVER, usize::MAX);
        served(&mut client, &mut connection).await;
        client.write_all(b"?").await.expect("a request");
        connection.read_u8().await.expect("it came");
        connection.body().set(Progress::Unfinished);
        connection.write_all(b"!").await.expect("an answer");
        tokio::spawn(async move { while client.write_all(b"x").await.is_ok() {} });
        let reading = async { while connection.read(&mut [0; 8]).await.expect("an end") > 0 {} };
        tokio::time::timeout(Duration::from_secs(30), reading).await.expect("an end");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_is_cut_off() {
        let (_client, mut connection) = connected(NEVER, SOON);
        assert!(is_cut_off(connection.write_all(&[b'x'; 1_000])).await);
    }

    #[tokio::test]
    async fn an_answer_that_is_taken_byte_by_byte_is_cut_off() {
        let (mut client, mut connection) = connected(NEVER, SOON);
        tokio::spawn(async move { while client.read_u8().await.is_ok() {} });
        let writing = async {
            let much = vec![b'x'; 1024 * 1024];
            loop {
                connection.write_all(&much).await?;
            }
        };
        assert!(is_cut_off::<()>(writing).await);
    }

    #[tokio::test]
    async fn an_answer_that_was_taken_is_over() {
        let (mut client, mut connection) = connected(NEVER, SOON);
        let taking = tokio::spawn(async move {
            let mut taken = vec![0; 1_000];
            client.read_exact(&mut taken).await.map(|_| client)
        });
        connection.write_all(&[b'x'; 1_000]).await.expect("it is taken");
        let _client = taking.await.expect("no panic").expect("it came");
        let idle = tokio::time::timeout(SOON * 2, connection.read_u8()).await;
        assert!(idle.is_err(), "{idle:?}");
    }
}
