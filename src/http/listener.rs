//! Binds TCP ports and Unix sockets, and the streams of their connections.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::config::Listen;

/// Permissions of a Unix socket: its owner and group may connect.
const MODE: u32 = 0o660;

/// The client address of connections by a Unix socket: a process of this machine.
pub const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A bound listener.
#[derive(Debug)]
pub enum Listener {
    /// On a TCP port.
    Tcp(TcpListener),
    /// On a Unix socket.
    Unix(UnixListener),
}

/// The address of a listener.
#[derive(Debug)]
pub enum Address {
    /// The port may have been chosen by the system.
    Tcp(SocketAddr),
    /// The socket's file.
    Unix(SocketFile),
}

impl Address {
    /// The TCP address; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(file) => write!(f, "unix:{}", file.path.display()),
        }
    }
}

/// The file of a Unix socket. Deleted on drop, so that no client can connect any more and another server can listen
/// there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode, to tell the file from one that another server has bound there meanwhile.
    device_and_inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), device_and_inode: device_and_inode(path)? })
    }

    fn remove(&self) -> io::Result<()> {
        if device_and_inode(&self.path)? == self.device_and_inode {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, path = %self.path.display(), "removing the Unix socket failed");
        }
    }
}

fn device_and_inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = path.symlink_metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Binds the address.
///
/// # Errors
/// When the address is in use, or does not belong to this machine.
pub async fn bind(listen: &Listen) -> io::Result<(Listener, Address)> {
    match listen {
        Listen::Address(address) => bind_tcp(*address),
        Listen::Everywhere(port) => {
            // IPv6 also accepts IPv4, unless this machine has no IPv6.
            match bind_tcp((Ipv6Addr::UNSPECIFIED, *port).into()) {
                Err(error) if error.kind() != ErrorKind::AddrInUse => {
                    bind_tcp((Ipv4Addr::UNSPECIFIED, *port).into())
                }
                bound => bound,
            }
        }
        Listen::Unix(path) => {
            let (listener, file) = bind_unix(path).await?;
            Ok((Listener::Unix(listener), Address::Unix(file)))
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(Listener, Address)> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    Ok((Listener::Tcp(listener), Address::Tcp(address)))
}

/// Binds a Unix socket. A stale socket file, left behind by a killed server, is replaced.
async fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            remove_stale_socket(path, error).await?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let file = SocketFile::of(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(MODE))?;
    Ok((listener, file))
}

/// Deletes a stale socket file. Returns `in_use` if a server still listens at it.
async fn remove_stale_socket(path: &Path, in_use: io::Error) -> io::Result<()> {
    if !path.symlink_metadata()?.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "a file that is not a socket exists at this path",
        ));
    }
    let is_refused = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    if UnixStream::connect(path).await.is_err_and(is_refused) {
        std::fs::remove_file(path)
    } else {
        Err(in_use)
    }
}

/// A client's connection.
#[derive(Debug)]
pub enum Stream {
    /// By TCP.
    Tcp(TcpStream),
    /// By a Unix socket.
    Unix(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
