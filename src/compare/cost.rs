//! What it costs to sign in, and to get a new credential for an old one.

use std::slice;
use std::time::{Duration, Instant};

use url::Url;

use super::CompareError;
use super::http::Connection;
use super::postgres::Postgres;
use super::report::Cost;
use super::spending::{self, Look, Quiet};
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
    let (postgres, database) = disk.unzip();
    let (earlier, before) =
        (spending::statements(postgres, database)?, Look::at(slice::from_ref(server), postgres));
    let mut waits = Vec::new();
    for _ in 0..times {
        let asked = Instant::now();
        action(&mut connection)?;
        waits.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    std::thread::sleep(SETTLE);
    let spent = before.spent(&Look::at(slice::from_ref(server), postgres), quiet, times as u64);
    let later = spending::statements(postgres, database)?;
    let sql = earlier.zip(later).map(|(earlier, later)| quiet.each_time(&earlier, &later, times));
    Ok(Cost {
        server_cpu_us: spent.servers,
        postgres_cpu_us: spent.postgres,
        sql: sql.map(|statements| statements as f64 / times as f64),
        p50_ms: Estimate::of(waits).map(|wait| wait.median),
    })
}
