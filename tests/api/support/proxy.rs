//! A Postgres that is slow, silent or away: a proxy in front of the test's own. It also tells what it is asked.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use url::Url;

use super::{
    cluster::{self, Database},
    eventually,
    statements::{Frontend, Statements},
};

/// How Postgres says "there is already a transaction in progress" to its client, in every language.
const ALREADY_IN_TRANSACTION: &[u8] = b"C25001\0";

#[derive(Clone, Copy, PartialEq)]
enum Line {
    Open,
    /// Connections are taken, and those that are there stay; nothing is passed on.
    Silent,
    /// Connections are closed, and new ones too.
    Away,
}

pub struct Proxy {
    url: Url,
    line: watch::Sender<Line>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where new connections lead to.
    target: Mutex<PgConnectOptions>,
    delay_ms: AtomicU64,
    warnings: AtomicUsize,
    executed: Mutex<Vec<String>>,
    /// Every byte that clients sent, once somebody wants to see them.
    sent: Mutex<Option<Vec<u8>>>,
}

impl Shared {
    fn target(&self) -> PgConnectOptions {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, bytes: &[u8]) {
        if let Some(sent) = self.sent.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            sent.extend_from_slice(bytes);
        }
    }

    fn note(&self, executed: Vec<String>) {
        self.executed.lock().unwrap_or_else(PoisonError::into_inner).extend(executed);
    }
}

impl Proxy {
    pub async fn in_front_of(database: &Database) -> Self {
        Self::before(database.url()).await
    }

    /// In front of the Postgres at this URL.
    pub async fn before(database: &Url) -> Self {
        let (line, watched) = watch::channel(Line::Open);
        let shared = Arc::new(Shared {
            target: Mutex::new(options(database)),
            delay_ms: AtomicU64::default(),
            warnings: AtomicUsize::default(),
            executed: Mutex::default(),
            sent: Mutex::default(),
        });
        let listener = cluster::runtime()
            .spawn(TcpListener::bind("127.0.0.1:0"))
            .await
            .expect("the runtime lives")
            .expect("a port for the proxy");
        let port = listener.local_addr().expect("its address").port();
        cluster::runtime().spawn(serve(listener, watched, shared.clone()));
        Self { url: url_by(database, port), line, shared }
    }

    /// Leads to another Postgres from now on. Connections to the one before are closed.
    pub async fn lead_to(&self, database: &Url) {
        self.cut().await;
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = options(database);
        self.come_back();
    }

    /// The database, by way of the proxy.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Every byte takes this long, each way.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).expect("a short time");
        self.shared.delay_ms.store(millis, Ordering::Relaxed);
    }

    pub fn go_away(&self) {
        self.line.send_replace(Line::Away);
    }

    pub fn fall_silent(&self) {
        self.line.send_replace(Line::Silent);
    }

    /// Goes away until every connection is closed, those that fell silent too.
    pub async fn cut(&self) {
        self.go_away();
        eventually("no connection is left", async || self.connections() == 0).await;
    }

    /// How many there are at the moment.
    pub fn connections(&self) -> usize {
        // Each watches the line, and so does, twice, the one that takes them.
        self.line.receiver_count().saturating_sub(2)
    }

    /// Postgres answers again, on new connections; those that fell silent stay so.
    pub fn come_back(&self) {
        self.line.send_replace(Line::Open);
    }

    /// What was executed since this was asked last.
    pub fn take_statements(&self) -> Statements {
        let mut executed = self.shared.executed.lock().unwrap_or_else(PoisonError::into_inner);
        Statements(std::mem::take(&mut *executed))
    }

    /// Keeps every byte that Postgres is sent from now on: no more than that can be in its tables, views and logs.
    pub fn keep_what_is_sent(&self) {
        *self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// What was kept.
    pub fn sent(&self) -> Vec<u8> {
        self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).clone().expect("it was kept")
    }

    /// How often somebody began a transaction inside another.
    pub fn transactions_begun_twice(&self) -> usize {
        self.shared.warnings.load(Ordering::Relaxed)
    }
}

fn options(database: &Url) -> PgConnectOptions {
    database.as_str().parse().expect("a Postgres URL")
}

/// The same database at the proxy's address.
fn url_by(database: &Url, port: u16) -> Url {
    let mut url = database.clone();
    url.set_host(Some("127.0.0.1")).expect("a host");
    url.set_port(Some(port)).expect("a port");
    let kept: Vec<(String, String)> = database
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| !["host", "hostaddr", "port", "sslmode"].contains(&name.as_str()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair("sslmode", "disable");
    url
}

async fn serve(listener: TcpListener, line: watch::Receiver<Line>, shared: Arc<Shared>) {
    let mut over = line.clone();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection to the proxy").0,
            // The test has ended, and its proxy with it.
            _ = over.wait_for(|_| false) => return,
        };
        let (line, shared) = (line.clone(), shared.clone());
        tokio::spawn(async move {
            let state = *line.borrow();
            match state {
                Line::Open => connect(client, line, shared).await,
                Line::Silent => hold(client, line).await,
                Line::Away => drop(client),
            }
        });
    }
}

/// Keeps a connection that nobody answers.
async fn hold<T>(connection: T, mut line: watch::Receiver<Line>) {
    let _ = line.wait_for(|line| *line == Line::Away).await;
    drop(connection);
}

/// A Postgres that does not run takes no connection, and neither does the proxy then.
async fn connect(client: TcpStream, line: watch::Receiver<Line>, shared: Arc<Shared>) {
    let target = shared.target();
    match target.get_socket() {
        Some(directory) => {
            let path = directory.join(format!(".s.PGSQL.{}", target.get_port()));
            if let Ok(server) = UnixStream::connect(path).await {
                relay(client, server, line, &shared).await;
            }
        }
        None => {
            if let Ok(server) = TcpStream::connect((target.get_host(), target.get_port())).await {
                relay(client, server, line, &shared).await;
            }
        }
    }
}

async fn relay(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    mut line: watch::Receiver<Line>,
    shared: &Shared,
) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    let mut frontend = Frontend::default();
    let note = |bytes: &[u8]| {
        shared.keep(bytes);
        shared.note(frontend.read(bytes));
    };
    let mut seen = Vec::new();
    let count = |bytes: &[u8]| {
        seen.extend_from_slice(bytes);
        let windows = seen.windows(ALREADY_IN_TRANSACTION.len());
        let warnings = windows.filter(|&it| it == ALREADY_IN_TRANSACTION).count();
        shared.warnings.fetch_add(warnings, Ordering::Relaxed);
        let rest = seen.len().saturating_sub(ALREADY_IN_TRANSACTION.len() - 1);
        seen.drain(..rest);
    };
    let mut passing = pin!(async {
        tokio::select! {
            () = pass(from_client, to_server, shared, note) => {}
            () = pass(from_server, to_client, shared, count) => {}
        }
    });
    tokio::select! {
        () = &mut passing => return,
        _ = line.wait_for(|line| *line != Line::Open) => {}
    }
    hold(passing, line).await;
}

/// Passes on what comes, as late as it should be, and lets the next come meanwhile.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    mut look: impl FnMut(&[u8]),
) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let reading = async move {
        let mut buffer = vec![0; 16_384];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let bytes = &buffer[..length];
            look(bytes);
            let delay = Duration::from_millis(shared.delay_ms.load(Ordering::Relaxed));
            if sender.send((Instant::now() + delay, bytes.to_vec())).is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
