//! Programs of others in the foreground, each on a port of its own.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
};

use tokio::process::{Child, Command};

use crate::support::eventually;

/// How often a port may turn out to be somebody else's.
const ATTEMPTS: usize = 5;

/// A port that nobody has. Some programs can't say which one they were given, so they are told.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// The program, in this folder, for as long as it is wanted.
pub fn command(program: &str, folder: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    // Debian's servers are there, which not everybody has on the PATH.
    command.env("PATH", format!("{path}:/usr/sbin")).current_dir(folder).kill_on_drop(true);
    command
}

/// Starts it at an address where it gets its port, and waits until it listens. It ends where it gets none: no process is given if
/// that goes on.
pub async fn on_a_free_port(
    start: impl Fn(SocketAddr) -> Child,
    listens: impl AsyncFn(SocketAddr) -> bool,
) -> Option<(Child, SocketAddr)> {
    for _ in 0..ATTEMPTS {
        let address = free_address();
        let (mut process, mut ended) = (start(address), false);
        eventually("a program listens, or ends", async || {
            ended = process.try_wait().expect("its state").is_some();
            ended || listens(address).await
        })
        .await;
        if !ended {
            return Some((process, address));
        }
    }
    None
}
