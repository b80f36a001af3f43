//! A Postgres of one test's own, which may crash, or have a standby that takes its place.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use dualauth_postgres::PrivatePostgres;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};

use super::{
    cluster::{SEARCH_PATH, options},
    eventually,
    program::folder,
};

pub struct Postgres {
    home: PathBuf,
    settings: Vec<(&'static str, &'static str)>,
    running: Option<PrivatePostgres>,
    url: String,
}

impl Postgres {
    /// What is committed survives its crash, though not the machine's.
    pub async fn start(settings: &[(&'static str, &'static str)]) -> Self {
        let (home, settings) = (folder(), [&[("fsync", "off"), SEARCH_PATH], settings].concat());
        let running = PrivatePostgres::start(&home, &settings).await.expect("a Postgres");
        Self { home, settings, url: running.url(), running: Some(running) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&options(&self.url)).await.expect("a connection")
    }

    /// Ends without a word to anybody, and without writing what is not written yet.
    pub async fn crash(&mut self) {
        self.end_by(Signal::QUIT).await;
    }

    /// The same by `kill -9` of the postmaster.
    pub async fn kill(&mut self) {
        self.end_by(Signal::KILL).await;
    }

    async fn end_by(&mut self, signal: Signal) {
        let lock = std::fs::read_to_string(self.home.join("postgres/postmaster.pid")).expect("its lock file");
        let pid = lock.lines().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("its pid"), signal).expect("a signal that arrives");
        self.running.take().expect("it ran").stop().await;
    }

    /// `kill -9` of one backend: all others end with it, and the postmaster begins anew.
    pub async fn kill_a_backend(&self) {
        let mut victim = self.connect().await;
        let pid: i32 =
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut victim).await.expect("its pid");
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("a signal that arrives");
        eventually("the connection is dead", async || victim.ping().await.is_err()).await;
    }

    /// Waits until it takes connections.
    pub async fn ready(&self) {
        eventually("a Postgres that takes connections", async || {
            PgConnection::connect(&self.url).await.is_ok()
        })
        .await;
    }

    /// A streaming standby of it, which follows from now on. It is stopped for a moment.
    pub async fn standby(&mut self, settings: &[(&'static str, &'static str)]) -> Self {
        self.stop().await;
        let source = self.home.join("postgres").canonicalize().expect("its cluster");
        let parent = source.parent().expect("a folder");
        let home = parent.with_file_name(format!("{}-standby", name(parent)));
        std::fs::create_dir_all(&home).expect("a folder");
        copy(&source, &home.join("postgres"));
        self.start_again().await;
        let primary = self.running.as_ref().expect("it runs").socket_directory().display();
        let follow = format!("primary_conninfo = 'host=''{primary}'' user=dualauth'\n");
        append(&home.join("postgres/postgresql.auto.conf"), &follow);
        let settings = [&[("fsync", "off"), SEARCH_PATH], settings].concat();
        let running = PrivatePostgres::start(&home, &settings).await.expect("a standby");
        Self { home, settings, url: running.url(), running: Some(running) }
    }

    /// Makes a primary of the standby.
    pub async fn promote(&self) {
        let promote = sqlx::query("select pg_promote()").execute(&mut self.connect().await).await;
        promote.expect("a promotion");
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

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("it is written");
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// With owners and rights, as the one that is to follow it.
fn copy(source: &Path, target: &Path) {
    let copied = Command::new("cp").arg("-a").arg(source).arg(target).status().expect("cp runs");
    assert!(copied.success(), "{copied}");
    let signal = target.join("standby.signal");
    let made = Command::new("cp").arg("-a").arg(source.join("PG_VERSION")).arg(signal).status();
    assert!(made.expect("cp runs").success());
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
