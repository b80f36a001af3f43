//! A real pgbouncer of one test's own, in front of its database.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use dualauth::crypto::random_bytes;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::net::TcpStream;
use tokio::process::Child;
use url::Url;

use super::started;

/// Who runs it where root may not, and no socket's owner tells.
const NOBODY: u32 = 65_534;

pub struct PgBouncer {
    /// Is killed with it.
    _process: Child,
    folder: PathBuf,
    url: Url,
}

impl PgBouncer {
    /// As it comes: it pools by session, and passes on no parameter that it does not know.
    pub async fn by_default(database: &Url) -> Self {
        Self::with(database, "").await
    }

    /// In this mode, with few backends: who leaves something behind on one is found out soon.
    pub async fn in_mode(database: &Url, mode: &str) -> Self {
        Self::with(database, &format!("pool_mode = {mode}\ndefault_pool_size = 6\n")).await
    }

    /// With these lines of configuration.
    pub async fn with(database: &Url, configuration: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("pgbouncer-{:016x}", u64::from_ne_bytes(random_bytes())));
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("a folder for everybody");
        let start = |address: SocketAddr| {
            let text = format!(
                "[databases]\n* = {}\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
                 auth_type = any\nlogfile =\n{configuration}",
                server(database),
                address.ip(),
                address.port(),
            );
            fs::write(folder.join("pgbouncer.ini"), text).expect("a file");
            start(&folder, owner(database))
        };
        let listens = async |address| TcpStream::connect(address).await.is_ok();
        let Some((process, address)) = started::on_a_free_port(start, listens).await else {
            panic!("pgbouncer did not start: {}", fs::read_to_string(folder.join("log")).unwrap_or_default());
        };
        Self { _process: process, folder, url: url_at(database, address) }
    }

    /// The database, by way of it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.url.as_str().parse().expect("a URL");
        PgConnection::connect_with(&options.extra_float_digits(None)).await.expect("a connection")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn options(database: &Url) -> PgConnectOptions {
    database.as_str().parse().expect("a Postgres URL")
}

/// Where it connects to, and as whom.
fn server(database: &Url) -> String {
    let options = options(database);
    let host = options.get_socket().map_or(options.get_host().to_owned(), |path| path.display().to_string());
    let password = database.password().map(|password| format!(" password='{password}'")).unwrap_or_default();
    format!("host={host} port={} user={}{password}", options.get_port(), options.get_username())
}

/// The account that may enter the socket's directory.
fn owner(database: &Url) -> u32 {
    let socket = options(database).get_socket().and_then(|path| fs::metadata(path).ok());
    socket.map_or(NOBODY, |socket| socket.uid())
}

fn url_at(database: &Url, address: SocketAddr) -> Url {
    let mut url = database.clone();
    url.set_query(Some("sslmode=disable"));
    url.set_host(Some(&address.ip().to_string())).expect("a host");
    url.set_port(Some(address.port())).expect("a port");
    url
}

fn start(folder: &std::path::Path, owner: u32) -> Child {
    let log = File::create(folder.join("log")).expect("a log");
    let mut command = started::command("pgbouncer", folder);
    command.arg(folder.join("pgbouncer.ini"));
    command.stdout(log.try_clone().expect("a log")).stderr(log);
    // It refuses to run as root.
    if rustix::process::getuid().is_root() {
        command.uid(owner);
    }
    command.spawn().expect("pgbouncer, which scripts/pgbouncer installs")
}
