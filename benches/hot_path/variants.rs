//! What is measured: the same answer, got in each way.

use std::iter::repeat_n;
use std::time::Duration;

use crate::client::{Client, get};
use crate::cpu;
use crate::database::Database;
use crate::report::{Row, Sample, table};
use crate::roles::Role;
use crate::server::Server;

/// Whose profile it is.
pub(crate) const USERNAME: &str = "ada";
const PASSWORD: &str = "correct horse battery staple";

/// Requests of a slice.
const SLICE: usize = 5_000;
/// The same where Postgres is asked each time.
const SLICE_OF_LOOKUPS: usize = 1_500;

/// Requests until all connections are in use, before a slice.
const FIRST_REQUESTS: usize = 100;

/// Within this, a server that has given its last answer sleeps.
const SETTLE: Duration = Duration::from_millis(2);

struct Variant {
    name: &'static str,
    server: usize,
    request: Vec<u8>,
    slice: usize,
    /// The variant that it is compared with.
    base: usize,
}

/// Starts the servers, runs the rounds, and gives the table.
pub(crate) fn measure(database: &Database, rounds: usize) -> anyhow::Result<String> {
    let servers = Servers::start(database)?;
    let variants = variants(&servers)?;
    // Of the first one nothing is kept: it is there to warm up.
    run_round(0, &servers, &variants, database.postmaster)?;
    let mut samples = Vec::new();
    for round in 0..rounds {
        samples.push(run_round(round, &servers, &variants, database.postmaster)?);
    }
    let mut rows = Vec::new();
    for variant in &variants {
        let bytes = servers.client(variant)?.size(&variant.request)?;
        rows.push(Row {
            name: variant.name,
            base: variant.base,
            asks_postgres: variant.slice < SLICE,
            bytes,
        });
    }
    Ok(table(&rows, &samples))
}

/// One slice of each. A different one begins each time: no place in the row is better than another.
fn run_round(
    round: usize,
    servers: &Servers,
    variants: &[Variant],
    postmaster: u32,
) -> anyhow::Result<Vec<Sample>> {
    let mut samples = vec![Sample::default(); variants.len()];
    for step in 0..variants.len() {
        let at = (round + step) % variants.len();
        samples[at] = run_slice(servers, &variants[at], postmaster)?;
    }
    Ok(samples)
}

fn run_slice(servers: &Servers, variant: &Variant, postmaster: u32) -> anyhow::Result<Sample> {
    let pid = servers.0[variant.server].pid();
    // Connected anew, since servers hang up on who is silent for a while; that is not to be measured.
    let mut client = servers.client(variant)?;
    client.send(repeat_n(variant.request.as_slice(), FIRST_REQUESTS), USERNAME)?;
    let before = (cpu::of_process(pid)?, cpu::of_children(postmaster)?);
    client.send(repeat_n(variant.request.as_slice(), variant.slice), USERNAME)?;
    std::thread::sleep(SETTLE);
    let after = (cpu::of_process(pid)?, cpu::of_children(postmaster)?);
    let micros = |nanoseconds: u64| nanoseconds as f64 / 1_000.0 / variant.slice as f64;
    Ok(Sample {
        server: micros(after.0.saturating_sub(before.0)),
        postgres: micros(after.1.saturating_sub(before.1)),
    })
}

/// In the order of the constants below.
struct Servers(Vec<Server>);

const BARE: usize = 0;
const CACHED: usize = 1;
const ALWAYS: usize = 2;
const LOOKUP: usize = 3;

impl Servers {
    fn start(database: &Database) -> anyhow::Result<Self> {
        let start = |role, settings: &[(&str, &str)]| Server::start(role, &database.url, settings);
        Ok(Self(vec![
            start(Role::Bare, &[])?,
            start(Role::Node, &[("SESSION_LOOKUP", "cached")])?,
            start(Role::Node, &[("SESSION_LOOKUP", "always")])?,
            start(Role::BareLookup, &[])?,
        ]))
    }

    fn client(&self, variant: &Variant) -> anyhow::Result<Client> {
        Client::connect(self.0[variant.server].address)
    }
}

fn variants(servers: &Servers) -> anyhow::Result<Vec<Variant>> {
    let mut node = Client::connect(servers.0[CACHED].address)?;
    node.register(USERNAME, PASSWORD)?;
    let ada = (USERNAME, PASSWORD);
    let access_token = node.sign_in_by_bearer("/jwt/login", ada, "access_token")?;
    let access_cookie = node.sign_in_by_cookie("/jwt/login", ada, "access_token")?;
    let session_token = node.sign_in_by_bearer("/session/login", ada, "session_token")?;
    let session_cookie = node.sign_in_by_cookie("/session/login", ada, "sessionid")?;
    let light = |name, server, path, header: &str| Variant {
        name,
        server,
        request: get(path, header),
        slice: SLICE,
        base: 0,
    };
    let heavy = |name, server, path, header: &str| Variant {
        name,
        server,
        request: get(path, header),
        slice: SLICE_OF_LOOKUPS,
        base: 6,
    };
    Ok(vec![
        light("bare", BARE, "/profile", &session_token),
        light("jwt bearer", CACHED, "/jwt/profile", &access_token),
        light("jwt cookie", CACHED, "/jwt/profile", &access_cookie),
        light("session bearer, cached", CACHED, "/session/profile", &session_token),
        light("session cookie, cached", CACHED, "/session/profile", &session_cookie),
        light("/profile, session cookie, cached", CACHED, "/profile", &session_cookie),
        heavy("bare lookup", LOOKUP, "/profile", &session_token),
        heavy("session bearer, always", ALWAYS, "/session/profile", &session_token),
    ])
}
