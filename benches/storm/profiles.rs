//! Somebody who is signed in, and asks who they are at a steady rate whatever else goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ureq::Agent;

use crate::USERNAME;
use crate::node::Node;

/// How many profiles are asked for in a second.
pub(crate) const RATE: u32 = 500;

/// How long answers took, in milliseconds, the shortest first.
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    /// Within this, so large a part was answered.
    pub(crate) fn at(&self, part: f64) -> f64 {
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
pub(crate) fn beside<T>(
    node: &Node,
    token: &str,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Latencies, T)> {
    let is_over = AtomicBool::new(false);
    let url = node.url("/jwt/profile");
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&url, token, &is_over));
        let outcome = work();
        is_over.store(true, Ordering::Relaxed);
        let latencies = asking.join().ok().context("the thread that asks")??;
        Ok((latencies, outcome?))
    })
}

/// One after the other, on one connection. Each is timed from when it was due: one that waits for an answer before it
/// waits as well.
fn ask(url: &str, token: &str, is_over: &AtomicBool) -> anyhow::Result<Latencies> {
    let (agent, token) = (Agent::new_with_defaults(), format!("Bearer {token}"));
    let mut latencies = Vec::new();
    let mut due = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let answer = agent.get(url).header("Authorization", &token).call()?.into_body().read_to_string()?;
        ensure!(answer.contains(USERNAME), "not {USERNAME}'s profile: {answer}");
        latencies.push(due.elapsed().as_secs_f64() * 1000.0);
        due += Duration::from_secs(1) / RATE;
    }
    latencies.sort_by(f64::total_cmp);
    Ok(Latencies(latencies))
}
