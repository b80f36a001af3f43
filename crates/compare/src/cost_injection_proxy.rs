//! A proxy that injects a known cost between client and server, for the self-check.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;
use url::Url;

use super::CompareError;
use super::http::{Connection, Origin};

/// The cost to inject.
#[derive(Clone, Debug)]
pub(super) enum InjectedCostKind {
    /// None: the reference.
    Nothing,
    /// Each response is delayed.
    Sleep(Duration),
    /// Each request runs one more query on this database.
    Query(Url),
    /// Each response has so many more bytes of headers.
    Headers(usize),
    /// A logout takes effect this long after its acknowledgement.
    LateRevocation(Duration),
}

/// Buffer for one request. Ours are shorter, and each read has a whole one: the client is our own.
const MAX_REQUEST: usize = 16 * 1024;

/// Name of the header that makes a response longer.
const PADDING_HEADER: &str = "X-Injected: ";

/// State of the proxy.
struct CostProxy {
    cost: InjectedCostKind,
    upstream: Origin,
    runtime: Handle,
    /// When a logout was last requested or acknowledged.
    ended: Mutex<Option<Instant>>,
    /// The last successful response to each request.
    answers: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

/// Starts a proxy to this server, which runs until the process exits.
pub(super) fn proxy(
    cost: InjectedCostKind,
    upstream: &Origin,
    runtime: &Handle,
) -> Result<Origin, CompareError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(CompareError::Port)?;
    let address = listener.local_addr().map_err(CompareError::Port)?;
    let proxy = CostProxy {
        cost,
        upstream: upstream.clone(),
        runtime: runtime.clone(),
        ended: Mutex::default(),
        answers: Mutex::default(),
    };
    let proxy = Arc::new(proxy);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let proxy = Arc::clone(&proxy);
            // The client sees the closed connection and reports it.
            thread::spawn(move || proxy.serve(stream));
        }
    });
    Ok(origin(address)?.with_host(upstream.host()))
}

fn origin(address: SocketAddr) -> Result<Origin, CompareError> {
    let url = format!("http://{address}");
    Origin::of_url(&Url::parse(&url).map_err(|_| CompareError::Url(url))?)
}

impl CostProxy {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut upstream = Connection::new(self.upstream.clone());
        let mut postgres = self.postgres()?;
        let mut request = vec![0; MAX_REQUEST];
        loop {
            let length = stream.read(&mut request)?;
            if length == 0 {
                return Ok(());
            }
            let answer = self.answer(&request[..length], &mut upstream, postgres.as_mut())?;
            stream.write_all(&answer)?;
        }
    }

    fn postgres(&self) -> io::Result<Option<PgConnection>> {
        let InjectedCostKind::Query(url) = &self.cost else { return Ok(None) };
        self.runtime.block_on(PgConnection::connect(url.as_str())).map(Some).map_err(io::Error::other)
    }

    fn answer(
        &self,
        request: &[u8],
        upstream: &mut Connection,
        postgres: Option<&mut PgConnection>,
    ) -> io::Result<Vec<u8>> {
        if request.starts_with(b"POST ") {
            // The logout takes effect upstream before its response arrives.
            *locked(&self.ended) = Some(Instant::now());
        }
        let response = upstream.exchange(request)?;
        let (status, mut answer) = (response.status, response.raw().to_vec());
        match &self.cost {
            InjectedCostKind::Nothing => {}
            InjectedCostKind::Sleep(time) => thread::sleep(*time),
            InjectedCostKind::Query(_) => {
                if let Some(postgres) = postgres {
                    let query = sqlx::query("select 'injected'").execute(postgres);
                    self.runtime.block_on(query).map_err(io::Error::other)?;
                }
            }
            InjectedCostKind::Headers(bytes) => pad_headers(&mut answer, *bytes),
            InjectedCostKind::LateRevocation(time) => {
                self.replay_earlier_answer(request, status, *time, &mut answer)
            }
        }
        Ok(answer)
    }

    /// For this time after a logout, replaces a 401 by the earlier successful response to the same request.
    fn replay_earlier_answer(&self, request: &[u8], status: u16, time: Duration, answer: &mut Vec<u8>) {
        let (mut ended, mut answers) = (locked(&self.ended), locked(&self.answers));
        match status {
            204 => *ended = Some(Instant::now()),
            200 => drop(answers.insert(request.to_vec(), answer.clone())),
            401 if ended.is_some_and(|ended| ended.elapsed() < time) => {
                if let Some(earlier) = answers.get(request) {
                    answer.clone_from(earlier);
                }
            }
            _ => {}
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a header of so many bytes.
fn pad_headers(answer: &mut Vec<u8>, bytes: usize) {
    let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n") else { return };
    let filling = "x".repeat(bytes.saturating_sub(PADDING_HEADER.len() + 2));
    answer.splice(end + 2..end + 2, format!("{PADDING_HEADER}{filling}\r\n").into_bytes());
}
