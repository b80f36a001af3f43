//! What a request costs this service, in CPU, as a multiple of what it costs a bare actix handler that gives the same
//! answer.
//!
//! The servers are processes of their own on one core, the load comes from another, and each round runs a slice of
//! every variant: a noisy machine slows down both sides of a ratio. Time on the clock is not looked at.
//!
//! `cargo bench --bench hot_path -- --rounds 15`; `-- --algorithms` for the algorithms of access tokens, `-- --memory` for
//! what a cached session weighs, `-- --storm` for what a storm of logins does to other requests, where time on the clock
//! is the subject and the machine should have nothing else to do. Settings in the environment (`LOG`, `LOG_FORMAT`, ...) reach the nodes.

mod bare;
mod client;
mod cpu;
mod database;
mod memory;
mod report;
mod roles;
mod server;
mod storm;
mod variants;

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::Builder;

use database::Database;
use roles::Role;
use variants::Stage;

/// As the program has it, and for the bare handler, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// How many slices of each variant
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Compare the algorithms of access tokens, instead of modes and transports
    #[arg(long)]
    algorithms: bool,
    /// Measure what a cached session weighs, instead
    #[arg(long)]
    memory: bool,
    /// How many sessions that is measured with
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Measure what a storm of logins does, instead
    #[arg(long)]
    storm: bool,
    /// Of how many logins it is
    #[arg(long, default_value_t = 2_000)]
    logins: usize,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    if let Some(role) = Role::of_this_process()? {
        return roles::play(role);
    }
    // `cargo test --all-targets` runs benchmarks too, with arguments that are for tests.
    if !std::env::args().any(|argument| argument == "--bench") {
        return say("hot_path measures with `cargo bench --bench hot_path`; there is nothing to test");
    }
    let arguments = Arguments::parse();
    if !arguments.storm {
        // Before there is a second thread: each inherits it, and so does Postgres.
        cpu::pin_to(&cpu::Cores::of_this_machine()?.load)?;
    }
    // A storm comes from other machines as a rule: here it takes what the servers leave.
    let give_way = || {
        let _ = rustix::process::nice(19);
    };
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).on_thread_start(give_way).enable_all().build()?;
    let database = runtime.block_on(Database::start()).context("starting Postgres")?;
    let report = match &arguments {
        Arguments { memory: true, sessions, .. } => memory::measure(&database, &runtime, *sessions),
        Arguments { storm: true, rounds, logins, .. } => {
            storm::measure(&database, &runtime, *rounds, *logins)
        }
        _ => compare(&arguments, &database),
    };
    runtime.block_on(database.stop());
    say(&report?)
}

fn compare(arguments: &Arguments, database: &Database) -> anyhow::Result<String> {
    let stage = match arguments.algorithms {
        true => Stage::of_algorithms(database)?,
        false => Stage::of_modes(database)?,
    };
    variants::measure(&stage, database, arguments.rounds)
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}
