//! The program itself, as an operator runs it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use dualauth::tokens::random_bytes;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

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
