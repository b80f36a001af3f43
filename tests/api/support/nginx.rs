//! A real nginx with the configuration that is shipped, in front of a server under test and an app that tells what it
//! was sent.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    web::{self, Bytes},
};
use pem::Pem;
use rcgen::CertifiedKey;
use serde_json::json;
use tokio::process::{Child, Command};

use super::{cluster, eventually, http::Request, http::Response, program::folder, server::TestServer};

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
        Self::listening(server, folder(), "", "1.1").await
    }

    /// As it speaks to what is behind it unless it is told otherwise.
    pub async fn of_old_http(server: &TestServer) -> Self {
        Self::listening(server, folder(), "", "1.0").await
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
        Self::listening(server, folder, &tls, "1.1").await
    }

    async fn listening(server: &TestServer, folder: PathBuf, how: &str, version: &str) -> Self {
        fs::create_dir_all(folder.join("public")).expect("a folder");
        fs::create_dir_all(folder.join("protected/private")).expect("a folder");
        fs::write(folder.join("public/index.html"), PUBLIC_PAGE).expect("a file");
        fs::write(folder.join("protected/private/index.html"), PRIVATE_PAGE).expect("a file");
        fs::write(folder.join("mime.types"), "types { text/html html; }").expect("a file");
        for _ in 0..ATTEMPTS {
            let address = free_address();
            let configuration = shipped(address, how, version, server.address());
            fs::write(folder.join("nginx.conf"), configuration).expect("a file");
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

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// The configuration that is shipped, with its addresses and folders replaced, as its first lines ask for.
fn shipped(nginx: SocketAddr, how: &str, version: &str, dualauth: SocketAddr) -> String {
    // What it leaves as nginx was built, only root may write to.
    let own = "http {\n access_log off; client_body_temp_path temp/body; proxy_temp_path temp/proxy; \
               fastcgi_temp_path temp/fastcgi; uwsgi_temp_path temp/uwsgi; scgi_temp_path temp/scgi;";
    let replacements = [
        ("http {", own.to_owned()),
        ("listen 80;", format!("listen {nginx}{how};")),
        ("server 127.0.0.1:8080;", format!("server {dualauth};")),
        ("server 127.0.0.1:3000;", format!("server {};", *ECHO)),
        ("root /srv/", "root ".to_owned()),
        ("proxy_http_version 1.1;", format!("proxy_http_version {version};")),
    ];
    let shipped = include_str!("../../../docs/proxies/nginx.conf").to_owned();
    replacements.iter().fold(shipped, |text, (theirs, ours)| {
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
        .expect("nginx, which scripts/nginx installs")
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

/// An app that answers with what it was sent. One for all tests: it remembers nothing.
static ECHO: LazyLock<SocketAddr> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the app");
    let address = listener.local_addr().expect("its address");
    let _runtime = cluster::runtime().enter();
    let server = HttpServer::new(|| App::new().default_service(web::to(echo)))
        .workers(1)
        .disable_signals()
        .listen(listener)
        .expect("the app's port");
    cluster::runtime().spawn(server.run());
    address
});

async fn echo(request: HttpRequest, body: Bytes) -> HttpResponse {
    let headers = request.headers().iter();
    let headers: Vec<_> =
        headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect();
    HttpResponse::Ok().json(json!({
        "method": request.method().as_str(),
        "path": request.path(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}
