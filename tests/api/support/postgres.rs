//! A Postgres of one test's own, which may crash.

use std::path::PathBuf;

use dualauth::database::private::PrivatePostgres;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};

use super::{eventually, program::folder};

pub struct Postgres {
    home: PathBuf,
    settings: Vec<(&'static str, &'static str)>,
    running: Option<PrivatePostgres>,
    url: String,
}

impl Postgres {
    /// What is committed survives its crash, though not the machine's.
    pub async fn start(settings: &[(&'static str, &'static str)]) -> Self {
        let (home, settings) = (folder(), [&[("fsync", "off")], settings].concat());
        let running = PrivatePostgres::start(&home, &settings).await.expect("a Postgres");
        Self { home, settings, url: running.url(), running: Some(running) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("a connection")
    }

    /// Ends without a word to anybody, and without writing what is not written yet.
    pub async fn crash(&mut self) {
        let lock = std::fs::read_to_string(self.home.join("postgres/postmaster.pid")).expect("its lock file");
        let pid = lock.lines().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("its pid"), Signal::QUIT).expect("a signal that arrives");
        self.running.take().expect("it ran").stop().await;
    }

    pub async fn start_again(&mut self) {
        let running = PrivatePostgres::start(&self.home, &self.settings).await.expect("it starts again");
        self.running = Some(running);
    }

    /// Waits until nothing runs any more that nobody waits for.
    pub async fn settle(&self) {
        settle(&mut self.connect().await).await;
    }

    pub async fn stop(&mut self) {
        self.running.take().expect("it runs").stop().await;
    }
}

/// Waits until no statement of a node runs that it has given up, in this database.
pub async fn settle(connection: &mut PgConnection) {
    eventually("no statement that runs on", async || {
        let running = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'dualauth' and state <> 'idle'",
        );
        let running: i64 = running.fetch_one(&mut *connection).await.expect("a number");
        running == 0
    })
    .await;
}

/// Waits until every node that used this database is gone, and what it had begun with it.
pub async fn leave(connection: &mut PgConnection) {
    eventually("nobody is connected", async || {
        let connected = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'dualauth'",
        );
        let connected: i64 = connected.fetch_one(&mut *connection).await.expect("a number");
        connected == 0
    })
    .await;
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.running.take());
        // As root it lives elsewhere, and its place here is a link.
        if let Ok(cluster) = self.home.join("postgres").canonicalize() {
            let _ = cluster.parent().map(std::fs::remove_dir_all);
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
