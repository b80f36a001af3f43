//! A node on every core, as it is shipped, with a Postgres of its own and an empty database.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dualauth_postgres::PrivatePostgres;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;
use url::Url;

/// How long it may take to be ready, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// It, and what it runs on.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) database: Url,
    pub(crate) process: Child,
    postgres: PrivatePostgres,
}

impl Node {
    /// Starts both with these settings; the rest is as by default, or as the environment says. The log goes to a file, as
    /// that of a service does. All that this benchmark keeps is in a folder, and in a database, of its name.
    pub(crate) fn start(
        runtime: &Runtime,
        name: &str,
        settings: &[(&str, &str)],
        of_postgres: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder)?;
        let postgres = runtime.block_on(PrivatePostgres::start(&folder, of_postgres));
        let postgres = postgres.context("starting Postgres")?;
        let database = runtime.block_on(empty_database(&postgres, name))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = folder.join("node.log");
        let process = Command::new(env!("CARGO_BIN_EXE_dualauth"))
            .arg("serve")
            .current_dir(&folder)
            .env("APP_SECRET", "the benchmark's secret, of 32 bytes and more")
            .envs(settings.iter().copied())
            .env("LISTEN", address.to_string())
            .env("DATABASE_URL", database.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut node = Self { address, database, process, postgres };
        node.wait_until_ready(&log)?;
        Ok(node)
    }

    fn wait_until_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let start = Instant::now();
        while ureq::get(self.url("/health/ready")).call().is_err() {
            if self.process.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                bail!("the node did not start: see {}", log.display());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Where something is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Stops both, as an operator would.
    pub(crate) fn stop(mut self, runtime: &Runtime) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process.id().try_into()?).context("its process number")?;
        kill_process(pid, Signal::TERM)?;
        self.process.wait()?;
        runtime.block_on(self.postgres.stop());
        Ok(())
    }
}

/// What the last run left is dropped now and not at its end, so that it can be looked at.
async fn empty_database(postgres: &PrivatePostgres, name: &str) -> anyhow::Result<Url> {
    let mut url = Url::parse(&postgres.url())?;
    let mut admin = PgConnection::connect(url.as_str()).await?;
    for statement in
        [format!("drop database if exists {name} with (force)"), format!("create database {name}")]
    {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await?;
    }
    admin.close().await?;
    url.set_path(name);
    Ok(url)
}
