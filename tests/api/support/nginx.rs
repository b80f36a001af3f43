//! A real nginx with the configuration that is shipped, in front of a server under test and an app that tells what it
//! was sent.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use pem::Pem;
use rcgen::CertifiedKey;
use tokio::process::{Child, Command};

use super::{
    echo::{ECHO, free_address},
    eventually,
    http::{Request, Response},
    program::folder,
    server::TestServer,
};

/// What lies in the folder for everybody, and in the protected one.
pub const PUBLIC_PAGE: &str = "<p>for everybody</p>";
pub const PRIVATE_PAGE: &str = "<p>for who is signed in</p>";

const CERTIFICATE: &str = "certificate.pem";

/// How often a port may turn out to be somebody else's.
const ATTEMPTS: usize = 5;

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
        for _ in 0..ATTEMPTS {
            let address = free_address();
            fs::write(folder.join("nginx.conf"), configuration(address)).expect("a file");
            let mut process = start(&folder);
            if listens(&mut process, &folder).await {
                return Self { _process: process, folder, address };
            }
        }
        let log = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        panic!("nginx did not start: {log}");
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
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("nginx")
        // Debian's is there, which not everybody has on the PATH.
        .env("PATH", format!("{path}:/usr/sbin"))
        .arg("-p")
        .arg(folder)
        .args(["-c", "nginx.conf", "-e", "error.log"])
        .args(["-g", "daemon off; master_process off; pid nginx.pid;"])
        .kill_on_drop(true)
        .spawn()
        .expect("nginx, which scripts/proxies installs")
}

/// Whether it got its port: it writes its pid once it listens, and ends when it can't.
async fn listens(process: &mut Child, folder: &Path) -> bool {
    let mut ended = false;
    eventually("nginx listens, or ends", async || {
        ended = process.try_wait().expect("its state").is_some();
        ended || folder.join("nginx.pid").exists()
    })
    .await;
    !ended
}
