//! The program itself, as an operator runs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dualauth::crypto::random_bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::cluster::Database;
use super::eventually;
use super::http::{Request, Response};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dualauth");

pub fn program(folder: &Path, settings: &[(&str, &str)]) -> Command {
    prepared(Command::new(PROGRAM), folder, settings)
}

/// The same, by way of another program that gets it as its last argument: a shell, say.
pub fn started_by(starter: &[&str], folder: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(starter[0]);
    command.args(&starter[1..]).arg(PROGRAM);
    prepared(command, folder, settings)
}

fn prepared(mut command: Command, folder: &Path, settings: &[(&str, &str)]) -> Command {
    command
        .current_dir(folder)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What the tests' own caller uses to find a database is nothing to it.
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("PG") || name.starts_with("DATABASE_"))
    {
        command.env_remove(name);
    }
    command.env("LISTEN", "127.0.0.1:0").envs(settings.iter().copied());
    command
}

/// A folder of one test's own, without a `.env`.
pub fn folder() -> PathBuf {
    let name = format!("process-{:016x}", u64::from_ne_bytes(random_bytes()));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs it to its end, with this on its standard input.
pub async fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("its input");
    // What reads no input may have ended before it was written.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.expect("it ends")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program's commands on a database.
pub struct CommandLine {
    folder: PathBuf,
    database: String,
}

impl CommandLine {
    pub fn on(database: &Database) -> Self {
        Self { folder: folder(), database: database.url().to_string() }
    }

    pub fn program(&self) -> Command {
        program(&self.folder, &[("DATABASE_URL", &self.database)])
    }

    /// Runs a command with this on its standard input.
    pub async fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.program();
        command.args(words);
        run(command, input).await
    }

    /// What a command says that does what it should.
    pub async fn does(&self, words: &[&str]) -> String {
        let output = self.run(words, "").await;
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command complains of that does nothing.
    pub async fn refuses(&self, words: &[&str]) -> String {
        let output = self.run(words, "").await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {told}");
        assert_eq!(text(&output.stdout), "", "{words:?}");
        told
    }
}

impl Drop for CommandLine {
    fn drop(&mut self) {
        // A test that fails has more to say than that something is left over.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A server that is a process of its own.
pub struct Server {
    pub child: Child,
    address: SocketAddr,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    pub async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::of(program(folder, settings)).await
    }

    /// What this command starts.
    pub async fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let output = Arc::default();
        keep(child.stdout.take().expect("its output"), &output);
        keep(child.stderr.take().expect("its log"), &output);
        let mut address = None;
        eventually("an address", async || {
            let ended = child.try_wait().expect("a state");
            assert_eq!(ended, None, "{}", text(&locked(&output)));
            address = text(&locked(&output)).lines().find_map(address_in);
            address.is_some()
        })
        .await;
        Self { child, address: address.expect("an address"), output }
    }

    /// Everything that it has written so far, to standard output and standard error.
    pub fn output(&self) -> String {
        text(&locked(&self.output))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are, as it said at its start.
    pub fn metrics_address(&self) -> SocketAddr {
        let output = self.output();
        let told = output.split_once("/metrics").and_then(|(before, _)| before.rsplit_once("http://"));
        told.and_then(|(_, address)| address.parse().ok()).unwrap_or_else(|| panic!("no metrics in {output}"))
    }

    pub async fn send(&self, request: Request) -> Response {
        request.send(self.address).await
    }

    pub fn pid(&self) -> i32 {
        self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid()).expect("a pid");
        kill_process(pid, signal).expect("a signal that arrives");
    }

    /// As an operator or a service manager does.
    pub async fn terminate(mut self) -> std::process::ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().await.expect("it ends")
    }
}

/// Where it says that it listens: to people, or to machines.
fn address_in(line: &str) -> Option<SocketAddr> {
    let told = line.split_once(" listens on ").map(|(_, address)| address);
    let logged = || line.split_once(r#""address":""#)?.1.split('"').next();
    // As other services say it.
    let example = || line.strip_prefix("listening on http://");
    told.or_else(logged).or_else(example)?.parse().ok()
}

/// Reads on, so that it can go on writing.
fn keep(mut from: impl AsyncRead + Unpin + Send + 'static, output: &Arc<Mutex<Vec<u8>>>) {
    let output = Arc::clone(output);
    tokio::spawn(async move {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            locked(&output).extend(&bytes[..length]);
        }
    });
}

fn locked(output: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}
