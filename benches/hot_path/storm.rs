//! A storm of logins: what becomes of them, of the server's memory, and of requests that have nothing to do with
//! passwords.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::client::{Client, get, sign_in};
use crate::cpu;
use crate::database::Database;
use crate::roles::Role;
use crate::server::Server;

const ADA: (&str, &str) = ("ada", "correct horse battery staple");

/// Everybody comes from one address here, which is not what a storm is limited by.
const SETTINGS: [(&str, &str); 2] = [("HASH_CONCURRENCY", "2"), ("LOGIN_LIMIT", "1000000/1m")];

/// How many profiles are asked for in a second.
const RATE: u32 = 500;

/// How long the quiet before each storm is.
const QUIET: Duration = Duration::from_secs(4);

/// As many storms as there are rounds, each after a quiet time. Medians over the rounds are told.
pub(crate) fn measure(
    database: &Database,
    runtime: &Runtime,
    rounds: usize,
    logins: usize,
) -> anyhow::Result<String> {
    let server = Server::start(Role::NodeOnAllCores, &database.url, &SETTINGS)?;
    let mut node = Client::connect(server.address)?;
    node.register(ADA.0, ADA.1)?;
    let token = node.sign_in_by_bearer("/jwt/login", ADA, "access_token")?;
    let profile = get("/jwt/profile", &token);
    let mut text = format!("{logins} logins at once, {RATE} profiles a second beside them");
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let (quiet, ()) = beside(server.address, &profile, || {
            thread::sleep(QUIET);
            Ok(())
        })?;
        let (storm, outcome) =
            beside(server.address, &profile, || runtime.block_on(storm(server.address, logins)))?;
        ratios.push(storm.at(0.99) / quiet.at(0.99));
        write!(text, "\n{outcome}\n  quiet {quiet}\n  storm {storm}")?;
    }
    let peak = cpu::peak_resident(server.pid())?;
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2).context("no round")?;
    write!(text, "\np99 in a storm to p99 in quiet: {ratio:.2}; memory at the most: {} MiB", peak / 1024)?;
    Ok(text)
}

/// Latencies, in milliseconds.
struct Latencies(Vec<f64>);

impl Latencies {
    fn at(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [half, most, nearly_all, all] = [0.5, 0.9, 0.99, 1.0].map(|part| self.at(part));
        write!(f, "p50 {half:.2} ms, p90 {most:.2}, p99 {nearly_all:.2}, max {all:.2} of {}", self.0.len())
    }
}

/// Asks for profiles for as long as something else goes on.
fn beside<T>(
    address: SocketAddr,
    profile: &[u8],
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Latencies, T)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(address, profile, &is_over));
        let outcome = work();
        is_over.store(true, Ordering::Relaxed);
        let latencies = asking.join().ok().context("the thread that asks")??;
        Ok((latencies, outcome?))
    })
}

/// One after the other, at a steady rate. Each is timed from when it was due: one that waits for an answer before it
/// waits as well.
fn ask(address: SocketAddr, profile: &[u8], is_over: &AtomicBool) -> anyhow::Result<Latencies> {
    let mut client = Client::connect(address)?;
    let mut latencies = Vec::new();
    let mut due = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        client.send(std::iter::once(profile), ADA.0)?;
        latencies.push(due.elapsed().as_secs_f64() * 1000.0);
        due += Duration::from_secs(1) / RATE;
    }
    latencies.sort_by(f64::total_cmp);
    Ok(Latencies(latencies))
}

/// Everybody signs in at once, with the right password.
async fn storm(address: SocketAddr, logins: usize) -> anyhow::Result<String> {
    let began = Instant::now();
    let mut attempts = JoinSet::new();
    for _ in 0..logins {
        attempts.spawn(attempt(address));
    }
    let (mut signed_in, mut turned_away) = (0, 0);
    while let Some(answer) = attempts.join_next().await {
        match answer?? {
            true => signed_in += 1,
            false => turned_away += 1,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(format!("{signed_in} signed in, {turned_away} were told to come back, in {seconds:.1} s"))
}

/// Whether it was let in. Any answer but 200, and 503 with `Retry-After`, is an error.
async fn attempt(address: SocketAddr) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&sign_in("/jwt/login", ADA)).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    match answer.get(9..12) {
        Some("200") => Ok(true),
        Some("503") if answer.contains("\r\nretry-after: ") => Ok(false),
        _ => anyhow::bail!("a login was answered by:\n{answer}"),
    }
}
