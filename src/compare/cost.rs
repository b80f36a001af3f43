//! What it costs to sign in, and to get a new credential for an old one.

use std::time::{Duration, Instant};

use url::Url;

use super::CompareError;
use super::http::Connection;
use super::postgres::Postgres;
use super::report::Cost;
use super::rounds::Quiet;
use super::stage::Server;
use super::statistics::Estimate;

/// Within this, what a server still does for the last request is done.
const SETTLE: Duration = Duration::from_millis(10);

/// Does something as often, one after the other, with nobody else there.
pub(super) fn measure(
    server: &Server,
    disk: Option<(&Postgres, &Url)>,
    quiet: &Quiet,
    times: usize,
    mut action: impl FnMut(&mut Connection) -> Result<(), CompareError>,
) -> Result<Cost, CompareError> {
    let mut connection = Connection::to(server.origin.clone());
    // Of the first nothing is counted: it opens the connection.
    action(&mut connection)?;
    let statements = || disk.map_or(Ok(None), |(postgres, database)| postgres.statements(database));
    let cpu = || (server.cpu(), disk.and_then(|(postgres, _)| postgres.cpu()));
    let (earlier, before, start) = (statements()?, cpu(), Instant::now());
    let mut waits = Vec::new();
    for _ in 0..times {
        let asked = Instant::now();
        action(&mut connection)?;
        waits.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    std::thread::sleep(SETTLE);
    let (after, took) = (cpu(), start.elapsed());
    let later = statements()?;
    let each = |nanoseconds: f64| nanoseconds / 1e3 / times as f64;
    let spent = |after: Option<u64>, before: Option<u64>| {
        after.zip(before).map(|(after, before)| after.saturating_sub(before) as f64)
    };
    let idle = quiet.cpu.unwrap_or_default() * took.as_secs_f64();
    let sql = earlier.zip(later).map(|(earlier, later)| quiet.each_time(&earlier, &later, times));
    Ok(Cost {
        server_cpu_us: spent(after.0, before.0).map(each),
        postgres_cpu_us: spent(after.1, before.1).map(|cpu| each((cpu - idle).max(0.0))),
        sql: sql.map(|statements| statements as f64 / times as f64),
        p50_ms: Estimate::of(waits).map(|wait| wait.median),
    })
}
