//! A real HAProxy with the configuration that is shipped, in front of a server under test and an app that tells what it
//! was sent.

use std::{fs, net::SocketAddr, path::PathBuf, process::Stdio};

use tokio::process::{Child, Command};

use super::{
    echo::{ECHO, free_address},
    eventually,
    http::{Request, Response},
    program::folder,
    server::TestServer,
};

/// How often a port may turn out to be somebody else's.
const ATTEMPTS: usize = 5;

pub struct Haproxy {
    /// Is killed with it.
    _process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Haproxy {
    pub async fn in_front_of(server: &TestServer) -> Self {
        let folder = folder();
        for _ in 0..ATTEMPTS {
            let address = free_address();
            fs::write(folder.join("haproxy.cfg"), shipped(address, server.address())).expect("a file");
            let mut process = start(&folder);
            if listens(&mut process, address).await {
                return Self { _process: process, folder, address };
            }
        }
        panic!("HAProxy did not start: haproxy -f {}", folder.join("haproxy.cfg").display());
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn send(&self, request: Request) -> Response {
        request.send(self.address).await
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The configuration that is shipped, with its addresses replaced, as its first lines ask for.
fn shipped(haproxy: SocketAddr, dualauth: SocketAddr) -> String {
    let lua = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/proxies/haproxy.lua");
    let replacements = [
        ("/etc/haproxy/haproxy.lua", lua.to_owned()),
        ("bind :80\n", format!("bind {haproxy}\n")),
        ("127.0.0.1:8080", dualauth.to_string()),
        ("127.0.0.1:3000", ECHO.to_string()),
    ];
    let shipped = include_str!("../../../docs/proxies/haproxy.cfg").to_owned();
    replacements.iter().fold(shipped, |text, (theirs, ours)| {
        assert!(text.contains(theirs), "{theirs} is not in the configuration");
        text.replace(theirs, ours)
    })
}

/// One process, in the foreground, so that it ends when it is killed.
fn start(folder: &std::path::Path) -> Child {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("haproxy")
        // Debian's is there, which not everybody has on the PATH.
        .env("PATH", format!("{path}:/usr/sbin"))
        .args(["-db", "-q", "-f", "haproxy.cfg"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("haproxy, which scripts/proxies installs")
}

/// Whether it got its port: it ends when it can't.
async fn listens(process: &mut Child, address: SocketAddr) -> bool {
    let mut ended = false;
    eventually("HAProxy listens, or ends", async || {
        ended = process.try_wait().expect("its state").is_some();
        ended || Request::get("/").attempt(address).await.is_ok_and(|response| response.status == 404)
    })
    .await;
    !ended
}
