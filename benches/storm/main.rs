//! A storm of logins: what becomes of them, of the server's memory, and of requests that have nothing to do with
//! passwords. `dualauth compare` measures what a request costs; this is what steady load does not show.
//!
//! `cargo bench --bench storm`, on a machine that has nothing else to do: time on the clock is the subject. Settings in
//! the environment (`LOG`, `HASH_CONCURRENCY`, ...) reach the node.

mod accounts;
mod logins;
#[path = "../node/mod.rs"]
mod node;
mod profiles;

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use node::Node;

/// Whose profile it is, and what everybody's name begins with and password is.
const USERNAME: &str = "ada";
const PASSWORD: &str = "correct horse battery staple";

/// Everybody comes from one address here, which is not what a storm is limited by.
const SETTINGS: [(&str, &str); 1] = [("LOGIN_LIMIT", "1000000/1m")];

/// How long the quiet before each storm is.
const QUIET: Duration = Duration::from_secs(4);

#[derive(Parser)]
struct Arguments {
    /// How many storms there are, each after a quiet time
    #[arg(long, default_value_t = 5)]
    storms: usize,
    /// How many sign in at once
    #[arg(long, default_value_t = 2_000)]
    logins: usize,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs benchmarks too, with arguments that are for tests.
    if !std::env::args().any(|argument| argument == "--bench") {
        return say("storm measures with `cargo bench --bench storm`; there is nothing to test");
    }
    let arguments = Arguments::parse();
    // A storm comes from other machines as a rule: here it takes what the server leaves.
    let give_way = || {
        let _ = rustix::process::nice(19);
    };
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).on_thread_start(give_way).enable_all().build()?;
    // A Postgres as durable as in production.
    let node = Node::start(&runtime, "storm", &SETTINGS, &[])?;
    let report = measure(&arguments, &node, &runtime);
    node.stop(&runtime)?;
    say(&report?)
}

/// All storms, and the medians over them.
fn measure(arguments: &Arguments, node: &Node, runtime: &Runtime) -> anyhow::Result<String> {
    let Arguments { storms, logins, .. } = *arguments;
    node.register(USERNAME, PASSWORD)?;
    runtime.block_on(logins::multiply_users(&node.database, logins))?;
    let token = node.sign_in(USERNAME, PASSWORD)?;
    let mut text = format!("{logins} logins at once, {} profiles a second beside them", profiles::RATE);
    let mut ratios = Vec::new();
    for _ in 0..storms {
        let (quiet, ()) = profiles::beside(node, &token, || {
            thread::sleep(QUIET);
            Ok(())
        })?;
        let (storm, outcome) =
            profiles::beside(node, &token, || runtime.block_on(logins::storm(node.address, logins)))?;
        ratios.push(storm.at(0.99) / quiet.at(0.99));
        write!(text, "\n{outcome}\n  quiet {quiet}\n  storm {storm}")?;
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2).context("no storm")?;
    let peak = node.peak_memory()?;
    write!(text, "\np99 in a storm to p99 in quiet: {ratio:.2}; memory at the most: {peak} MiB")?;
    Ok(text)
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}
