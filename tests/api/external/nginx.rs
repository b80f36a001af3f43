//! A real nginx with the configuration that is shipped, in front of a server under test and an app that tells what it
//! was sent.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use pem::Pem;
use rcgen::CertifiedKey;
use tokio::process::Child;

use super::{echo::ECHO, started};
use crate::support::{
    http::{Request, Response},
    program::folder,
    server::TestServer,
};

/// What lies in the folder for everybody, and in the protected one.
pub const PUBLIC_PAGE: &str = "<p>for everybody</p>";
pub const PRIVATE_PAGE: &str = "<p>for who is signed in</p>";

const CERTIFICATE: &str = "certificate.pem";

pub struct Nginx {
    /// Is killed with it.
    _process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    pub async fn in_front_of(server: &TestServer) -> Self {
        Self::listening(folder(), |nginx| shipped(nginx, "", "1.1", server.address())).await
    }

    /// As it speaks to what is behind it unless it is told otherwise.
    pub async fn of_old_http(server: &TestServer) -> Self {
        Self::listening(folder(), |nginx| shipped(nginx, "", "1.0", server.address())).await
    }

    /// With the server below `/auth/`, where this passes requests on to it.
    pub async fn at_a_path(server: &TestServer, pass: &str) -> Self {
        let shipped = |nginx| shipped_at_a_path(nginx, server.address(), pass);
        Self::listening(folder(), shipped).await
    }

    /// With a certificate that nobody knows.
    pub async fn over_tls(server: &TestServer) -> Self {
        let folder = folder();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        for (name, kind, der) in [
            (CERTIFICATE, "CERTIFICATE", cert.der().to_vec()),
            ("key.pem", "PRIVATE KEY", signing_key.serialize_der()),
        ] {
            fs::write(folder.join(name), pem::encode(&Pem::new(kind, der))).expect("a file");
        }
        let tls = format!(" ssl; ssl_certificate {CERTIFICATE}; ssl_certificate_key key.pem");
        Self::listening(folder, |nginx| shipped(nginx, &tls, "1.1", server.address())).await
    }

    async fn listening(folder: PathBuf, configuration: impl Fn(SocketAddr) -> String) -> Self {
        fs::create_dir_all(folder.join("public")).expect("a folder");
        fs::create_dir_all(folder.join("protected/private")).expect("a folder");
        fs::write(folder.join("public/index.html"), PUBLIC_PAGE).expect("a file");
        fs::write(folder.join("protected/private/index.html"), PRIVATE_PAGE).expect("a file");
        fs::write(folder.join("mime.types"), "types { text/html html; }").expect("a file");
        let start = |address| {
            fs::write(folder.join("nginx.conf"), configuration(address)).expect("a file");
            start(&folder)
        };
        // It writes its pid once it listens.
        let listens = async |_| folder.join("nginx.pid").exists();
        let Some((process, address)) = started::on_a_free_port(start, listens).await else {
            let log = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
            panic!("nginx did not start: {log}");
        };
        Self { _process: process, folder, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate's file, if it has one.
    pub fn certificate(&self) -> String {
        self.folder.join(CERTIFICATE).to_str().expect("UTF-8").to_owned()
    }

    pub async fn send(&self, request: Request) -> Response {
        request.send(self.address).await
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a configuration leaves as nginx was built, only root may write to.
const OWN_FOLDERS: &str = "http {\n access_log off; client_body_temp_path temp/body; proxy_temp_path temp/proxy; \
    fastcgi_temp_path temp/fastcgi; uwsgi_temp_path temp/uwsgi; scgi_temp_path temp/scgi;";

/// The configuration that is shipped, with its addresses and folders replaced, as its first lines ask for.
fn shipped(nginx: SocketAddr, how: &str, version: &str, dualauth: SocketAddr) -> String {
    let replacements = [
        ("http {", OWN_FOLDERS.to_owned()),
        ("listen 80;", format!("listen {nginx}{how};")),
        ("server 127.0.0.1:8080;", format!("server {dualauth};")),
        ("server 127.0.0.1:3000;", format!("server {};", *ECHO)),
        ("root /srv/", "root ".to_owned()),
        ("proxy_http_version 1.1;", format!("proxy_http_version {version};")),
    ];
    replaced(include_str!("../../../docs/proxies/nginx.conf"), &replacements)
}

/// The same for the one in which dualauth is below a path.
fn shipped_at_a_path(nginx: SocketAddr, dualauth: SocketAddr, pass: &str) -> String {
    let replacements = [
        ("http {", OWN_FOLDERS.to_owned()),
        ("listen 80;", format!("listen {nginx};")),
        ("server 127.0.0.1:8080;", format!("server {dualauth};")),
        ("/auth/ { proxy_pass http://dualauth; }", format!("/auth/ {{ {pass} }}")),
    ];
    replaced(include_str!("../../../docs/proxies/nginx-path.conf"), &replacements)
}

fn replaced(shipped: &str, replacements: &[(&str, String)]) -> String {
    replacements.iter().fold(shipped.to_owned(), |text, (theirs, ours)| {
        assert!(text.contains(theirs), "{theirs} is not in the configuration");
        text.replace(theirs, ours)
    })
}

/// One process, in the foreground, so that it ends when it is killed.
fn start(folder: &Path) -> Child {
    fs::create_dir_all(folder.join("temp")).expect("a folder");
    started::command("nginx", folder)
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "error.log"])
        .args(["-g", "daemon off; master_process off; pid nginx.pid;"])
        .spawn()
        .expect("nginx, which scripts/proxies installs")
}
