//! Load generator: a thread per connection, with one request in flight each. It is our own, since no available one checks
//! the owner of every response, reads the servers' CPU time right before and after, and needs so little CPU itself.
//!
//! In a closed loop each connection sends its next request as soon as the last one is answered: this measures throughput
//! and CPU per request. At a fixed rate each request has a due time, independent of the requests before it, and its latency
//! counts from then: a request that is sent late because others took long has waited (no coordinated omission). This
//! measures latency.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::CompareError;
use super::http::{Connection, Origin};
use super::proc_usage::cpu_of_this_thread;
use super::test_user::PreparedRequest;

/// A request and the server that it is sent to.
#[derive(Clone, Debug)]
pub(super) struct RequestTarget {
    pub(super) origin: Origin,
    pub(super) call: PreparedRequest,
}

/// When each request is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As soon as the previous request of the connection is answered.
    ClosedLoop,
    /// At this number of requests per second over all connections.
    FixedRate(f64),
}

/// Time in which a server becomes idle after its last response.
const SETTLE: Duration = Duration::from_millis(2);

/// Parameters of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: usize,
    pub(super) pace: Pace,
    /// Closed-loop load before the measurement, which is not counted.
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// Result of a run.
pub(super) struct LoadResult {
    /// Responses within the measurement.
    pub(super) requests: u64,
    /// Responses during the warm-up.
    pub(super) warm_up_requests: u64,
    /// Duration of the measurement.
    elapsed: Duration,
    /// Latency of each request.
    pub(super) latencies: LatencyHistogram,
    /// CPU time of the generator itself.
    pub(super) generator_cpu: Duration,
}

impl LoadResult {
    /// Responses per second.
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Histogram of times in nanoseconds, with three significant digits.
#[derive(Clone, Debug)]
pub(super) struct LatencyHistogram(Histogram<u64>);

impl LatencyHistogram {
    pub(super) fn new() -> Result<Self, CompareError> {
        Histogram::new(3).map(Self).map_err(|error| CompareError::Histogram(error.to_string()))
    }

    pub(super) fn add(&mut self, time: Duration) {
        // Can't fail: the histogram resizes itself.
        let _ = self.0.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        // Can't fail: the histogram resizes itself.
        let _ = self.0.add(&other.0);
    }

    /// Number of recorded times.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The quantile (0 to 1), in milliseconds. `None` when nothing was recorded.
    pub(super) fn quantile_ms(&self, part: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(part) as f64 / 1e6)
    }
}

/// Result of one connection.
struct ConnectionResult {
    requests: u64,
    warm_up_requests: u64,
    latencies: LatencyHistogram,
    cpu: Duration,
}

/// Synchronizes the threads of a run.
struct RunSync {
    warm: Barrier,
    go: Barrier,
    start: OnceLock<Instant>,
    /// Number of the next request, at a fixed rate.
    next: AtomicU64,
}

/// Runs a load, and takes a snapshot right before and right after the measurement. Request targets are assigned round-robin
/// to the connections.
///
/// # Errors
/// When a single response is wrong or missing.
pub(super) fn run<L>(
    load: Load,
    request_targets: &[RequestTarget],
    snapshot: impl Fn() -> L,
) -> Result<(LoadResult, [L; 2]), CompareError> {
    let sync = RunSync {
        warm: Barrier::new(load.connections + 1),
        go: Barrier::new(load.connections + 1),
        start: OnceLock::new(),
        next: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        let sync = &sync;
        let connections = request_targets.iter().cycle().take(load.connections);
        let sending: Vec<_> =
            connections.map(|request_target| scope.spawn(move || send(load, request_target, sync))).collect();
        sync.warm.wait();
        let before = snapshot();
        let start = *sync.start.get_or_init(Instant::now);
        sync.go.wait();
        let seen: Vec<_> = sending.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let elapsed = start.elapsed();
        thread::sleep(SETTLE);
        let after = snapshot();
        let seen = seen.into_iter().map(|seen| seen.map_err(|_| CompareError::Generator)?);
        Ok((merge_results(elapsed, seen)?, [before, after]))
    })
}

fn merge_results(
    elapsed: Duration,
    seen: impl Iterator<Item = Result<ConnectionResult, CompareError>>,
) -> Result<LoadResult, CompareError> {
    let (mut requests, mut warm_up_requests) = (0, 0);
    let (mut latencies, mut cpu) = (LatencyHistogram::new()?, Duration::ZERO);
    for seen in seen {
        let seen = seen?;
        requests += seen.requests;
        warm_up_requests += seen.warm_up_requests;
        latencies.add_all(&seen.latencies);
        cpu += seen.cpu;
    }
    Ok(LoadResult { requests, warm_up_requests, elapsed, latencies, generator_cpu: cpu })
}

fn send(
    load: Load,
    request_target: &RequestTarget,
    sync: &RunSync,
) -> Result<ConnectionResult, CompareError> {
    minimize_timer_slack();
    let mut connection = Connection::new(request_target.origin.clone());
    let warmed_up = warm_up(load, request_target, &mut connection);
    // Also after an error: the other threads wait at the barriers.
    sync.warm.wait();
    sync.go.wait();
    let warm_up_requests = warmed_up?;
    let start = *sync.start.get_or_init(Instant::now);
    let before = cpu_of_this_thread();
    let (mut requests, mut latencies) = (0, LatencyHistogram::new()?);
    while let Some(due) = next_due(load, start, sync) {
        send_and_check(request_target, &mut connection)?;
        latencies.add(due.elapsed());
        requests += 1;
    }
    let cpu = cpu_of_this_thread().saturating_sub(before);
    Ok(ConnectionResult { requests, warm_up_requests, latencies, cpu })
}

fn warm_up(
    load: Load,
    request_target: &RequestTarget,
    connection: &mut Connection,
) -> Result<u64, CompareError> {
    let start = Instant::now();
    let mut requests = 0;
    while start.elapsed() < load.warm_up {
        send_and_check(request_target, connection)?;
        requests += 1;
    }
    Ok(requests)
}

/// Waits until the next request is due, and returns the time from which its latency counts. `None`: the run is over.
fn next_due(load: Load, start: Instant, sync: &RunSync) -> Option<Instant> {
    let due = match load.pace {
        Pace::ClosedLoop => Instant::now(),
        Pace::FixedRate(rate) => {
            let number = sync.next.fetch_add(1, Ordering::Relaxed);
            start + Duration::from_secs_f64(number as f64 / rate)
        }
    };
    if due.saturating_duration_since(start) >= load.duration {
        return None;
    }
    let early = due.saturating_duration_since(Instant::now());
    if !early.is_zero() {
        thread::sleep(early);
    }
    Some(due)
}

fn send_and_check(request_target: &RequestTarget, connection: &mut Connection) -> Result<(), CompareError> {
    let failed = |reason: String| CompareError::Answer { call: request_target.call.name(), reason };
    let response =
        connection.exchange(&request_target.call.request).map_err(|error| failed(error.to_string()))?;
    if request_target.call.is_answered_by(&response) {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&response.body);
    Err(failed(format!("{} {body}", response.status)))
}

/// Makes sleeps of this thread end on time: by default Linux may delay them by 50 µs.
#[cfg(target_os = "linux")]
fn minimize_timer_slack() {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

#[cfg(not(target_os = "linux"))]
fn minimize_timer_slack() {}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;

    use url::Url;

    use super::*;

    /// A server for one connection. `owner` gives the body of each response, by its number.
    fn server(mut owner: impl FnMut(u64) -> &'static str + Send + 'static) -> RequestTarget {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut number, mut request) = (0, [0; 1_024]);
            while stream.read(&mut request).is_ok_and(|size| size > 0) {
                let owner = owner(number);
                number += 1;
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{owner}", owner.len());
                stream.write_all(answer.as_bytes()).expect("a connection");
            }
        });
        let origin = Origin::of_url(&Url::parse(&url).expect("a URL")).expect("an origin");
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", origin.host()).into_bytes();
        RequestTarget { origin, call: PreparedRequest { request, status: 200, owner: "ada".to_owned() } }
    }

    fn drive(
        request_target: RequestTarget,
        pace: Pace,
        [warm_up, duration]: [u64; 2],
    ) -> Result<LoadResult, CompareError> {
        let [warm_up, duration] = [warm_up, duration].map(Duration::from_millis);
        let load = Load { connections: 1, pace, warm_up, duration };
        run(load, &[request_target], || ()).map(|(outcome, _)| outcome)
    }

    #[test]
    fn a_request_that_others_have_held_up_has_waited() {
        let request_target = server(|number| {
            if number == 0 {
                thread::sleep(Duration::from_millis(300));
            }
            "ada"
        });
        // 40 requests; those due in the first 200 ms are delayed by 100 ms and more.
        let outcome = drive(request_target, Pace::FixedRate(100.0), [0, 400]).expect("answers");
        assert_eq!(outcome.requests, 40);
        assert!(
            outcome.latencies.quantile_ms(0.6) > Some(90.0),
            "{:?} ms",
            outcome.latencies.quantile_ms(0.6)
        );
    }

    #[test]
    fn what_warms_up_is_not_counted() {
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        let request_target = server(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            "ada"
        });
        let outcome = drive(request_target, Pace::ClosedLoop, [30, 300]).expect("answers");
        assert!(outcome.requests > 0 && outcome.warm_up_requests > 0);
        assert_eq!(answered.load(Ordering::Relaxed), outcome.requests + outcome.warm_up_requests);
        assert_eq!(outcome.latencies.0.len(), outcome.requests);
    }

    #[test]
    fn one_answer_of_somebody_else_ends_it() {
        let request_target = server(|number| if number == 5 { "bob" } else { "ada" });
        let outcome = drive(request_target, Pace::ClosedLoop, [0, 10_000]);
        assert!(matches!(outcome, Err(CompareError::Answer { .. })));
    }
}
