//! Tests of timeouts: which connections are aborted, closed or kept.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const NEVER: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_millis(20);

fn connected(request: Duration, answer: Duration) -> (DuplexStream, TimedConnection<DuplexStream>) {
    let (client, server) = duplex(64);
    let limits =
        ConnectionLimits { request, answer, rest: NEVER, keep_alive: NEVER, tick: NEVER, plenty: usize::MAX };
    (client, TimedConnection::new(server, limits))
}

/// Whether it is aborted within the test's time limit.
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
        // No deadline between requests.
        let idle = tokio::time::timeout(SOON * 2, connection.read_u8()).await;
        assert!(idle.is_err(), "{idle:?}");
    }
    client.write_all(b"?").await.expect("a request");
    connection.read_u8().await.expect("it came");
    assert!(is_cut_off(connection.read_u8()).await);
}

/// Sends a request and its response on the connection.
async fn served(client: &mut DuplexStream, connection: &mut TimedConnection<DuplexStream>) {
    client.write_all(b"?").await.expect("a request");
    connection.read_u8().await.expect("it came");
    connection.write_all(b"!").await.expect("an answer");
    client.read_u8().await.expect("it came");
}

/// Whether it is closed gracefully within the test's time limit.
async fn ends(connection: &mut TimedConnection<DuplexStream>) -> bool {
    let end = tokio::time::timeout(Duration::from_secs(30), connection.read(&mut [0; 8])).await;
    end.is_ok_and(|end| end.is_ok_and(|length| length == 0))
}

fn kept(keep_alive: Duration, plenty: usize) -> (DuplexStream, TimedConnection<DuplexStream>) {
    let (client, server) = duplex(64);
    let limits =
        ConnectionLimits { request: NEVER, answer: NEVER, rest: SOON, keep_alive, tick: SOON, plenty };
    (client, TimedConnection::new(server, limits))
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
    // A request in progress is not affected.
    let unanswered = tokio::time::timeout(SOON * 4, busy.read_u8()).await;
    assert!(unanswered.is_err(), "{unanswered:?}");
}

#[tokio::test]
async fn an_answer_before_the_bodys_end_ends_it() {
    let (mut client, mut connection) = kept(NEVER, usize::MAX);
    served(&mut client, &mut connection).await;
    client.write_all(b"?").await.expect("a request");
    connection.read_u8().await.expect("it came");
    connection.body().set(RequestBodyState::Unfinished);
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
