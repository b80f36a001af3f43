//! A node on every core, as it is shipped, with a Postgres as durable as in production and an empty database.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dualauth_postgres::PrivatePostgres;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::runtime::Runtime;
use url::Url;

/// What the node is set to; the rest is as by default, or as the environment says. Everybody comes from one address
/// here, which is not what a storm is limited by.
const SETTINGS: [(&str, &str); 2] =
    [("APP_SECRET", "the benchmark's secret, of 32 bytes and more"), ("LOGIN_LIMIT", "1000000/1m")];

/// How long it may take to be ready, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// It, and what it runs on.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) database: Url,
    process: Child,
    postgres: PrivatePostgres,
}

impl Node {
    /// Starts both. The log goes to a file, as that of a service does.
    pub(crate) fn start(runtime: &Runtime) -> anyhow::Result<Self> {
        let postgres =
            runtime.block_on(PrivatePostgres::start(&folder(), &[])).context("starting Postgres")?;
        let database = runtime.block_on(empty_database(&postgres))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new(env!("CARGO_BIN_EXE_dualauth"))
            .arg("serve")
            .current_dir(folder())
            .envs(SETTINGS)
            .env("LISTEN", address.to_string())
            .env("DATABASE_URL", database.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder().join("node.log"))?)
            .spawn()?;
        let mut node = Self { address, database, process, postgres };
        node.wait_until_ready()?;
        Ok(node)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while ureq::get(self.url("/health/ready")).call().is_err() {
            if self.process.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                bail!("the node did not start: see {}", folder().join("node.log").display());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Where something is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Opens an account.
    pub(crate) fn register(&self, username: &str, password: &str) -> anyhow::Result<()> {
        let email = format!("{username}@example.com");
        self.post("/jwt/register", &json!({"username": username, "email": email, "password": password}))?;
        Ok(())
    }

    /// Gives an access token.
    pub(crate) fn sign_in(&self, username: &str, password: &str) -> anyhow::Result<String> {
        let body = self.post("/jwt/login", &json!({"username": username, "password": password}))?;
        let token = body["access_token"].as_str();
        token.map(str::to_owned).with_context(|| format!("no access token in {body}"))
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = ureq::post(self.url(path)).content_type("application/json");
        let answer = request.send(body.to_string())?.into_body().read_to_string()?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// The most that it ever held, in MiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next()).context("no VmHWM")?;
        Ok(kib.parse::<u64>()? / 1_024)
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
async fn empty_database(postgres: &PrivatePostgres) -> anyhow::Result<Url> {
    let mut url = Url::parse(&postgres.url())?;
    let mut admin = PgConnection::connect(url.as_str()).await?;
    sqlx::raw_sql("drop database if exists storm with (force)").execute(&mut admin).await?;
    sqlx::raw_sql("create database storm").execute(&mut admin).await?;
    admin.close().await?;
    url.set_path("storm");
    Ok(url)
}

/// Where everything of the benchmark is kept.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("storm")
}
