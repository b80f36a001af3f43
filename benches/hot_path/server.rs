//! A child process that serves, as the parent sees it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use url::Url;

use crate::database::folder;
use crate::roles::{Role, VARIABLE};

/// What every node is set to; the rest is as by default, or as the environment says.
const SETTINGS: [(&str, &str); 3] = [
    ("LISTEN", "127.0.0.1:0"),
    ("PUBLIC_URL", "https://auth.example.com"),
    ("APP_SECRET", "the benchmark's secret, of 32 bytes and more"),
];

/// It ends when this value is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts one. Its log goes to a file, as that of a service does.
    pub(crate) fn start(role: Role, database: &Url, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let name = settings.iter().fold(role.name().to_owned(), |name, (_, value)| format!("{name}-{value}"));
        let logs = folder().join("logs");
        let name = name.replace('/', "-");
        fs::create_dir_all(&logs)?;
        let mut child = Command::new(std::env::current_exe()?)
            .envs(SETTINGS.iter().chain(settings).copied())
            .env(VARIABLE, role.name())
            .env("DATABASE_URL", database.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(logs.join(&name).with_extension("log"))?)
            .spawn()?;
        let address = announced(&mut child).with_context(|| format!("{name} did not start: see {logs:?}"))?;
        Ok(Self { address, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn announced(child: &mut Child) -> anyhow::Result<SocketAddr> {
    let output = child.stdout.take().context("its standard output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    line.trim().parse().context("an address")
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closes its standard input, too; there is nothing to be done about one that does not end well.
        let _ = self.child.wait();
    }
}
