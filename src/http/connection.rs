//! A client's connection, which has to get on: who sends its request or takes its answer too slowly is cut off.
//!
//! actix times the head of a connection's first request and nothing else: a second request of which one byte came, or
//! an answer that nobody reads, would be held for ever. This knows nothing of HTTP: what was begun has to be answered,
//! and what is answered has to be taken, each within its time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long it may take from a request's first byte to its answer's: the client's time for head and body, and ours,
/// which is bounded elsewhere and much shorter.
const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);

/// How long an answer may take to be taken.
const ANSWER_TIME_LIMIT: Duration = Duration::from_secs(30);

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

/// A connection, with its deadlines.
#[derive(Debug)]
pub struct Connection<T> {
    stream: T,
    limits: Limits,
    /// Since when there is something of a request, and nothing of an answer.
    unanswered: Option<Instant>,
    /// Since when there is something of an answer that was not taken.
    untaken: Option<Instant>,
    /// Goes off at a deadline, or before it.
    alarm: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    request: Duration,
    answer: Duration,
}

impl<T> Connection<T> {
    /// Over this stream.
    pub fn new(stream: T) -> Self {
        Self::with(stream, Limits { request: REQUEST_TIME_LIMIT, answer: ANSWER_TIME_LIMIT })
    }

    fn with(stream: T, limits: Limits) -> Self {
        Self { stream, limits, unanswered: None, untaken: None, alarm: None }
    }

    fn deadline(&self) -> Option<Instant> {
        let request = self.unanswered.map(|since| since + self.limits.request);
        let answer = self.untaken.map(|since| since + self.limits.answer);
        [request, answer].into_iter().flatten().min()
    }

    /// An error when the time is over; else it is noticed when it will be.
    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = self.deadline() else { return Ok(()) };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        // It is left where an earlier request has put it: to move it for each would cost each.
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            alarm.as_mut().reset(deadline);
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, into);
        if into.filled().len() > before {
            this.unanswered.get_or_insert_with(Instant::now);
        }
        // Also when there is more to read: it may come byte by byte.
        this.check_time(cx)?;
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        match written {
            Poll::Ready(Ok(length)) => {
                this.unanswered = None;
                if length == bytes.len() {
                    this.untaken = None;
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                this.untaken.get_or_insert_with(Instant::now);
                this.check_time(cx)?;
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
        (client, Connection::with(server, Limits { request, answer }))
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
