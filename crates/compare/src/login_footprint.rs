//! What a live login weighs: in a server's memory once it has been used, and on Postgres' disk.

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

/// Logins until buffers and pools are as large as they get. Never more than a tenth of those that are weighed.
const WARM_UP: usize = 1_000;

/// How many sign in at a time.
pub(super) const CONCURRENT_SIGN_INS: usize = 16;

/// What logins weigh, each, when there are so many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparedFootprint)]
pub struct LoginFootprint {
    /// How many there are.
    pub logins: usize,
    /// In the server's memory, as measured: of few logins it may be all noise.
    pub memory_bytes_per_login: Option<f64>,
    /// In the database, with its indexes, and with what else is written down about a login.
    pub disk_bytes_per_login: Option<f64>,
}

/// A server's memory, in bytes, comes and goes by so much whatever it keeps.
const NOISE: f64 = 4.0 * 1024.0 * 1024.0;

impl LoginFootprint {
    /// What it weighs in memory, in bytes, as far as that has a meaning.
    pub fn memory(&self) -> Option<f64> {
        self.memory_bytes_per_login.filter(|bytes| *bytes >= self.noise())
    }

    /// What could not be told from nothing, in bytes a login.
    pub fn noise(&self) -> f64 {
        NOISE / self.logins.max(1) as f64
    }
}

/// Signs in, all of these at a time, until there are so many logins, or the time is up. Each is used once.
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

/// How many that were.
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
