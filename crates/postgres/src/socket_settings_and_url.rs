//! The directory of Postgres' Unix socket, the settings that put the socket there, and the URL that connects through it.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::cluster_directory::{DataDirectory, short_hash};
use super::{DATABASE, PrivatePostgresError, ROLE, failed};

const PORT: u16 = 5432;
/// Characters to percent-encode in a query value: all but the unreserved ones (RFC 3986, section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The limit of a socket's path on macOS, in bytes. Linux allows four more.
const PATH_LIMIT: usize = 103;

/// The directory of the socket: the cluster's own folder, which no other account may enter, or one under `/tmp` if that path
/// is too long, or contains a separator of libpq (comma) or of `postmaster.pid` (line break).
pub(super) fn directory(data_directory: &DataDirectory) -> PathBuf {
    let fits = |path: &str| {
        path.len() + file_name().len() < PATH_LIMIT && !path.contains(|c: char| c == ',' || c.is_control())
    };
    if data_directory.path.to_str().is_some_and(fits) {
        return data_directory.path.clone();
    }
    PathBuf::from(format!("/tmp/dualauth-{}", short_hash(&data_directory.path)))
}

/// Creates the directory. Any account may have created one of this name under `/tmp`: an existing one is used only if its owner
/// is the account that runs Postgres and no other can enter it.
pub(super) fn make_directory(
    directory: &Path,
    data_directory: &DataDirectory,
) -> Result<(), PrivatePostgresError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {
            data_directory.account.chown(directory).map_err(failed("changing the owner of", directory))?
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("creating", directory)(error)),
    }
    let found = directory.symlink_metadata().map_err(failed("checking", directory))?;
    let is_ours = found.is_dir() && found.uid() == data_directory.account.uid() && found.mode() & 0o077 == 0;
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

pub(super) fn file_name() -> String {
    format!(".s.PGSQL.{PORT}")
}
