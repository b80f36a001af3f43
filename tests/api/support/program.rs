//! The program itself, as an operator runs it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use dualauth::tokens::random_bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::http::{Request, Response};

pub fn program(folder: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dualauth"));
    command
        .current_dir(folder)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.env_remove("DATABASE_URL").env("LISTEN", "127.0.0.1:0").envs(settings.iter().copied());
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

/// A server that is a process of its own.
pub struct Server {
    pub child: Child,
    address: std::net::SocketAddr,
}

impl Server {
    pub async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = program(folder, settings).stderr(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = lines.next_line().await.expect("output").expect("a line");
        let address = first.rsplit(' ').next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in {first:?}"));
        // Read on, so that it can go on writing.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address }
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.address
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
