//! A real HAProxy with the configuration that is shipped, in front of a server under test and an app that tells what it
//! was sent.

use std::{fs, net::SocketAddr, path::PathBuf, process::Stdio};

use tokio::process::Child;

use super::{echo::ECHO, started};
use crate::support::{
    http::{Request, Response},
    program::folder,
    server::TestServer,
};

pub struct Haproxy {
    /// Is killed with it.
    _process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Haproxy {
    pub async fn in_front_of(server: &TestServer) -> Self {
        let folder = folder();
        let start = |address| {
            fs::write(folder.join("haproxy.cfg"), shipped(address, server.address())).expect("a file");
            start(&folder)
        };
        let listens = async |address| {
            Request::get("/").attempt(address).await.is_ok_and(|response| response.status == 404)
        };
        let Some((process, address)) = started::on_a_free_port(start, listens).await else {
            panic!("HAProxy did not start: haproxy -f {}", folder.join("haproxy.cfg").display());
        };
        Self { _process: process, folder, address }
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
    started::command("haproxy", folder)
        .args(["-db", "-q", "-f", "haproxy.cfg"])
        .stderr(Stdio::null())
        .spawn()
        .expect("haproxy, which scripts/proxies installs")
}
