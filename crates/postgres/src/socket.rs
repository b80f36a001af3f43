//! The Unix socket of Postgres: its directory, its connection URL, and a readiness probe.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::UnixStream;

use super::cluster::{Cluster, short_hash};
use super::{DATABASE, PrivatePostgresError, ROLE, failed};

const PORT: u16 = 5432;
/// Characters to percent-encode in a query value: all but the unreserved ones (RFC 3986, section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The limit of a socket's path on macOS, in bytes. Linux allows four more.
const PATH_LIMIT: usize = 103;
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The directory of the socket: the cluster's own folder, which no other account may enter, or one under `/tmp` if that path
/// is too long, or contains a separator of libpq (comma) or of `postmaster.pid` (line break).
pub(super) fn directory(cluster: &Cluster) -> PathBuf {
    let fits = |path: &str| {
        path.len() + file_name().len() < PATH_LIMIT && !path.contains(|c: char| c == ',' || c.is_control())
    };
    if cluster.directory.to_str().is_some_and(fits) {
        return cluster.directory.clone();
    }
    PathBuf::from(format!("/tmp/dualauth-{}", short_hash(&cluster.directory)))
}

/// Creates the directory. Any account may have created one of this name under `/tmp`: an existing one is used only if its owner
/// is the account that runs Postgres and no other can enter it.
pub(super) fn make_directory(directory: &Path, cluster: &Cluster) -> Result<(), PrivatePostgresError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => cluster.account.chown(directory).map_err(failed("changing the owner of", directory))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("creating", directory)(error)),
    }
    let found = directory.symlink_metadata().map_err(failed("checking", directory))?;
    let is_ours = found.is_dir() && found.uid() == cluster.account.uid() && found.mode() & 0o077 == 0;
    if is_ours { Ok(()) } else { Err(PrivatePostgresError::ForeignSocketDirectory(directory.to_owned())) }
}

pub(super) fn settings(directory: &Path) -> [String; 3] {
    let quoted = directory.to_string_lossy().replace('"', r#""""#);
    ["listen_addresses=".to_owned(), format!("port={PORT}"), format!("unix_socket_directories=\"{quoted}\"")]
}

pub(super) fn url(directory: &Path) -> String {
    let directory = directory.to_string_lossy();
    let directory = utf8_percent_encode(&directory, QUERY);
    format!("postgres://{ROLE}@localhost:{PORT}/{DATABASE}?host={directory}&sslmode=disable")
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    NotReady,
}

pub(super) async fn probe(directory: &Path) -> Readiness {
    match tokio::time::timeout(RESPONSE_TIMEOUT, first_response(directory)).await {
        Ok(Ok(answer)) if is_starting_up(&answer) => Readiness::NotReady,
        Ok(Ok(_)) => Readiness::Ready,
        Ok(Err(_)) | Err(_) => Readiness::NotReady,
    }
}

/// SQLSTATE 57P03 (`cannot_connect_now`): starting up, in recovery or shutting down. So is an empty response.
fn is_starting_up(answer: &[u8]) -> bool {
    answer.is_empty() || answer.windows(6).any(|field| field == b"C57P03")
}

async fn first_response(directory: &Path) -> io::Result<Vec<u8>> {
    let stream = UnixStream::connect(directory.join(file_name())).await?;
    stream.writable().await?;
    stream.try_write(&startup_message())?;
    stream.readable().await?;
    let mut answer = vec![0; 1024];
    let length = stream.try_read(&mut answer)?;
    answer.truncate(length);
    // A Terminate message, so that Postgres logs no lost connection.
    let _ = stream.try_write(b"X\0\0\0\x04");
    Ok(answer)
}

fn startup_message() -> Vec<u8> {
    let parameters = format!("user\0{ROLE}\0database\0{DATABASE}\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap_or(u32::MAX);
    let mut message = length.to_be_bytes().to_vec();
    message.extend(0x0003_0000_u32.to_be_bytes());
    message.extend(parameters.bytes());
    message
}

fn file_name() -> String {
    format!(".s.PGSQL.{PORT}")
}
