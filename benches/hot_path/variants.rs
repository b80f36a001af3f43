//! What is measured: the same answer, got in each way, and in each algorithm.

use std::iter::repeat_n;
use std::time::Duration;

use crate::client::{Client, bearer, get};
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
    name: String,
    server: usize,
    request: Vec<u8>,
    slice: usize,
    /// The variant that it is compared with.
    base: usize,
}

/// The servers that run, and what is asked of them.
pub(crate) struct Stage {
    servers: Vec<Server>,
    variants: Vec<Variant>,
}

/// Runs the rounds, and gives the table.
pub(crate) fn measure(stage: &Stage, database: &Database, rounds: usize) -> anyhow::Result<String> {
    // Of the first one nothing is kept: it is there to warm up.
    run_round(0, stage, database.postmaster)?;
    let mut samples = Vec::new();
    for round in 0..rounds {
        samples.push(run_round(round, stage, database.postmaster)?);
    }
    let mut rows = Vec::new();
    for variant in &stage.variants {
        let bytes = stage.client(variant)?.size(&variant.request)?;
        rows.push(Row {
            name: variant.name.clone(),
            base: variant.base,
            asks_postgres: variant.slice < SLICE,
            bytes,
        });
    }
    Ok(table(&rows, &samples))
}

/// One slice of each. A different one begins each time: no place in the row is better than another.
fn run_round(round: usize, stage: &Stage, postmaster: u32) -> anyhow::Result<Vec<Sample>> {
    let mut samples = vec![Sample::default(); stage.variants.len()];
    for step in 0..stage.variants.len() {
        let at = (round + step) % stage.variants.len();
        samples[at] = run_slice(stage, &stage.variants[at], postmaster)?;
    }
    Ok(samples)
}

fn run_slice(stage: &Stage, variant: &Variant, postmaster: u32) -> anyhow::Result<Sample> {
    let pid = stage.servers[variant.server].pid();
    // Connected anew, since servers hang up on who is silent for a while; that is not to be measured.
    let mut client = stage.client(variant)?;
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

/// Which row others are compared with, in both tables.
const BARE: usize = 0;

/// And which, in the table of algorithms.
const HS256: usize = 1;

const ADA: (&str, &str) = (USERNAME, PASSWORD);

impl Stage {
    fn client(&self, variant: &Variant) -> anyhow::Result<Client> {
        Client::connect(self.servers[variant.server].address)
    }

    /// Both modes and both transports.
    pub(crate) fn of_modes(database: &Database) -> anyhow::Result<Self> {
        let start = |role, settings: &[(&str, &str)]| Server::start(role, &database.url, settings);
        let servers = vec![
            start(Role::Bare, &[])?,
            start(Role::Node, &[("SESSION_LOOKUP", "cached")])?,
            start(Role::Node, &[("SESSION_LOOKUP", "always")])?,
            start(Role::BareLookup, &[])?,
        ];
        let (cached, always, lookup) = (1, 2, 3);
        let mut node = Client::connect(servers[cached].address)?;
        node.register(USERNAME, PASSWORD)?;
        let access_token = node.sign_in_by_bearer("/jwt/login", ADA, "access_token")?;
        let access_cookie = node.sign_in_by_cookie("/jwt/login", ADA, "access_token")?;
        let session_token = node.sign_in_by_bearer("/session/login", ADA, "session_token")?;
        let session_cookie = node.sign_in_by_cookie("/session/login", ADA, "sessionid")?;
        let heavy = |name: &str, server, header: &str, path| Variant {
            slice: SLICE_OF_LOOKUPS,
            base: 6,
            ..light(name, server, path, header)
        };
        let variants = vec![
            light("bare", BARE, "/profile", &session_token),
            light("jwt bearer", cached, "/jwt/profile", &access_token),
            light("jwt cookie", cached, "/jwt/profile", &access_cookie),
            light("session bearer, cached", cached, "/session/profile", &session_token),
            light("session cookie, cached", cached, "/session/profile", &session_cookie),
            light("/profile, session cookie, cached", cached, "/profile", &session_cookie),
            heavy("bare lookup", lookup, &session_token, "/profile"),
            heavy("session bearer, always", always, &session_token, "/session/profile"),
        ];
        Ok(Self { servers, variants })
    }

    /// Each algorithm, by Bearer: with tokens that are remembered as verified, which is to cost what it costs with HS256;
    /// and as textbooks have it, with every signature verified.
    pub(crate) fn of_algorithms(database: &Database) -> anyhow::Result<Self> {
        let mut servers = vec![Server::start(Role::Bare, &database.url, &[])?];
        let mut variants = vec![light("bare", BARE, "/profile", &bearer(USERNAME))];
        for name in ["HS256", "EdDSA", "ES256", "RS256"] {
            for (revocation, kind) in [("feed", "remembered"), ("off", "verified")] {
                let settings = [("JWT_ALGORITHM", name), ("JWT_REVOCATION", revocation)];
                let server = Server::start(Role::Node, &database.url, &settings)?;
                let mut node = Client::connect(server.address)?;
                if variants.len() == 1 {
                    node.register(USERNAME, PASSWORD)?;
                }
                let token = node.sign_in_by_bearer("/jwt/login", ADA, "access_token")?;
                let variant = light(&format!("{name}, {kind}"), servers.len(), "/jwt/profile", &token);
                let base = if revocation == "feed" && name != "HS256" { HS256 } else { BARE };
                variants.push(Variant { base, ..variant });
                servers.push(server);
            }
        }
        Ok(Self { servers, variants })
    }
}

fn light(name: &str, server: usize, path: &str, header: &str) -> Variant {
    Variant { name: name.to_owned(), server, request: get(path, header), slice: SLICE, base: BARE }
}
