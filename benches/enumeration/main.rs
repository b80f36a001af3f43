//! Whether the time of an answer tells who has an account here. Pairs of requests, one for an address that has an account
//! and one for an address that has none, in random order; Welch's t over their times, which is below 4.5 where nobody can
//! tell them apart. `tests/api/challenges/enumeration.rs` compares what is done; this is what is left of it on the clock.
//!
//! `cargo bench --bench enumeration`, on a machine that has nothing else to do. Settings in the environment reach the node.

mod busy_mail_server;
#[path = "../node/mod.rs"]
mod node;
mod questions;
mod times;

use std::io::Write as _;

use anyhow::{Context, bail};
use clap::Parser;
use dualauth::crypto::random_bytes;
use tokio::runtime::{Builder, Runtime};

use node::Node;
use questions::{Asker, Question, Whose};
use times::Times;

/// Of a |t| beyond this, chance is not the cause.
const MOST: f64 = 4.5;

/// Everybody comes from one address here, and a hash costs nothing: it would only hide what else differs.
const SETTINGS: [(&str, &str); 7] = [
    ("LOGIN_LIMIT", "1000000/1m"),
    ("REGISTER_LIMIT", "1000000/1m"),
    ("MAIL_LIMIT", "1000000/1m"),
    ("EMAIL_SIGN_IN", "on"),
    ("REGISTRATION", "verified"),
    ("ARGON2_MEMORY_KIB", "64"),
    ("ARGON2_ITERATIONS", "1"),
];

/// Neither does the disk tell anything.
const OF_POSTGRES: [(&str, &str); 2] = [("fsync", "off"), ("synchronous_commit", "off")];

#[derive(Parser)]
struct Arguments {
    /// How many pairs are measured, for each question
    #[arg(long, default_value_t = 2_000)]
    pairs: usize,
    /// How many come before them, and are not measured
    #[arg(long, default_value_t = 200)]
    warm_up: usize,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs benchmarks too, with arguments that are for tests.
    if !std::env::args().any(|argument| argument == "--bench") {
        return say("enumeration measures with `cargo bench --bench enumeration`; there is nothing to test");
    }
    let arguments = Arguments::parse();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let smtp = busy_mail_server::start()?;
    let settings = [&SETTINGS[..], &[("SMTP_URL", &smtp)]].concat();
    let node = Node::start(&runtime, "enumeration", &settings, &OF_POSTGRES)?;
    let report = measure(&arguments, &node, &runtime);
    node.stop(&runtime)?;
    let worst = report?;
    if worst > MOST {
        bail!("the clock tells who has an account: |t| is {worst:.2}");
    }
    Ok(())
}

/// Says a line for each question, and gives the largest |t|.
fn measure(arguments: &Arguments, node: &Node, runtime: &Runtime) -> anyhow::Result<f64> {
    let Arguments { pairs, warm_up, .. } = *arguments;
    let accounts = Question::ALL.len() * (pairs + warm_up);
    runtime.block_on(questions::add_accounts(&node.database, accounts))?;
    let mut asker = Asker::connect(node.address)?;
    say(&format!("{pairs} pairs, Welch's t of known against unknown addresses"))?;
    let mut worst: f64 = 0.0;
    for (kind, question) in Question::ALL.into_iter().enumerate() {
        let (mut known, mut unknown) = (Times::default(), Times::default());
        for pair in 0..warm_up + pairs {
            let mut order = [(Whose::Known, &mut known), (Whose::Unknown, &mut unknown)];
            if random_bytes::<1>()[0].is_multiple_of(2) {
                order.reverse();
            }
            for (whose, times) in order {
                let time = asker.ask(&question.request(whose, kind * (warm_up + pairs) + pair))?;
                if pair >= warm_up {
                    times.add(time);
                }
            }
        }
        let comparison = times::compare(&known, &unknown);
        worst = comparison.largest().max(worst);
        say(&format!("{:<15} {comparison}", question.name()))?;
    }
    Ok(worst)
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}
