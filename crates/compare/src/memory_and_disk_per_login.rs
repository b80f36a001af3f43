//! Memory and disk per login: growth of a server's memory and of its database with the number of active logins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::CompareError;
use super::http::Connection;
use super::postgres::Postgres;
use super::target::VariantSpec;
use super::test_user::TestUser;
use super::testbed::Server;

/// Logins before the measurement, until buffers and pools have reached their size. At most a tenth of the measured logins.
const WARM_UP: usize = 1_000;

/// Number of concurrent sign-ins.
pub(super) const CONCURRENT_SIGN_INS: usize = 16;

/// Memory and disk per login, with a number of logins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedFootprint)]
pub struct LoginFootprint {
    /// Number of logins.
    pub logins: usize,
    /// Growth of the server's memory, in bytes per login, as measured. With few logins it may be noise.
    pub memory_bytes_per_login: Option<f64>,
    /// Growth of the database, in bytes per login, with indexes and everything else that a login writes.
    pub disk_bytes_per_login: Option<f64>,
}

/// Fluctuation of a server's memory, in bytes, without any new login.
const NOISE: f64 = 4.0 * 1024.0 * 1024.0;

impl LoginFootprint {
    /// Memory per login, in bytes. `None`: not measured, or within the noise.
    pub fn memory(&self) -> Option<f64> {
        self.memory_bytes_per_login.filter(|bytes| *bytes >= self.noise())
    }

    /// The smallest memory per login that exceeds the noise, in bytes.
    pub fn noise(&self) -> f64 {
        NOISE / self.logins.max(1) as f64
    }
}

/// Signs in concurrently, until there are so many logins or the time limit is over, and uses each credential once. `disk` is
/// the database to measure.
pub(super) fn measure(
    spec: &VariantSpec,
    users: &[TestUser],
    server: &Server,
    disk: Option<(&Postgres, &Url)>,
    logins: usize,
    limit: Duration,
) -> Result<LoginFootprint, CompareError> {
    sign_in_many(spec, users, server, WARM_UP.min(logins / 10), limit)?;
    let size = || disk.map(|(postgres, database)| postgres.size(database)).transpose();
    let before = (server.memory(), size()?);
    let logins = sign_in_many(spec, users, server, logins, limit)?;
    let after = (server.memory(), size()?);
    let memory = after.0.zip(before.0).map(|(after, before)| after as f64 - before as f64);
    let disk = after.1.zip(before.1).map(|(after, before)| (after - before) as f64);
    let each = |bytes: f64| bytes / logins.max(1) as f64;
    Ok(LoginFootprint {
        logins,
        memory_bytes_per_login: memory.map(each),
        disk_bytes_per_login: disk.map(each),
    })
}

/// Signs in so often, within the limit. Returns the number of logins.
fn sign_in_many(
    spec: &VariantSpec,
    users: &[TestUser],
    server: &Server,
    logins: usize,
    limit: Duration,
) -> Result<usize, CompareError> {
    let (left, done, start) = (AtomicUsize::new(logins), AtomicUsize::new(0), Instant::now());
    let (left, done) = (&left, &done);
    let sign_in_repeatedly = |user: &TestUser| {
        let mut connection = Connection::new(server.origin.clone());
        while start.elapsed() < limit
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            let mut user = user.clone();
            user.sign_in(spec, &mut connection)?;
            user.run_step(&spec.call, &mut connection)?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), CompareError>(())
    };
    thread::scope(|scope| {
        let signing_in: Vec<_> =
            users.iter().map(|user| scope.spawn(move || sign_in_repeatedly(user))).collect();
        signing_in.into_iter().try_for_each(|thread| thread.join().map_err(|_| CompareError::Generator)?)
    })?;
    Ok(done.load(Ordering::Relaxed))
}
