//! The address on which a server listens, and its text format.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The address on which a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`. Port 0 lets the system choose one.
    Address(SocketAddr),
    /// `:8080`: all interfaces, by IPv6 and IPv4.
    Everywhere(u16),
    /// `unix:/run/dualauth.sock`.
    Unix(PathBuf),
}

impl Listen {
    /// The text format, for error messages.
    pub const EXPECTED: &str =
        "127.0.0.1:8080, localhost:8080, :8080 (every interface), unix:/run/dualauth.sock, or such";

    /// The address, with port 0 if that is set. `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Everywhere(port) => Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), *port)),
            Self::Unix(_) => None,
        }
    }

    /// Whether it is reachable only from this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Address(address) => address.ip().to_canonical().is_loopback(),
            Self::Everywhere(_) => false,
            Self::Unix(_) => true,
        }
    }
}

/// The text has none of the formats of [`Listen`].
#[derive(Debug, PartialEq, Eq)]
pub struct ListenError;

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(ListenError) };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenError)?;
        let port = port.parse().map_err(|_| ListenError)?;
        match host {
            "" | "*" => Ok(Self::Everywhere(port)),
            _ if host.eq_ignore_ascii_case("localhost") => {
                Ok(Self::Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
            }
            _ => Err(ListenError),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Everywhere(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_in_the_ways_that_people_write_it() {
        for (text, read, is_local) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("localhost:8080", "127.0.0.1:8080", true),
            ("LOCALHOST:0", "127.0.0.1:0", true),
            ("[::1]:8080", "[::1]:8080", true),
            ("0.0.0.0:8080", "0.0.0.0:8080", false),
            ("[::]:80", "[::]:80", false),
            (":8080", ":8080", false),
            ("*:8080", ":8080", false),
            ("unix:/run/a b.sock", "unix:/run/a b.sock", true),
            ("unix:///run/a.sock", "unix:///run/a.sock", true),
        ] {
            let listen: Listen = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((listen.to_string().as_str(), listen.is_local()), (read, is_local));
        }
        for text in [
            "",
            "8080",
            ":",
            "localhost",
            "127.0.0.1",
            "::1:8080:",
            ":65536",
            ":-1",
            ":+80x",
            "example.com:80",
            "http://127.0.0.1:80",
            "unix:",
            "unix:a.sock",
            "/run/a.sock",
            "localhost:http",
        ] {
            assert_eq!(text.parse::<Listen>(), Err(ListenError), "{text}");
        }
    }
}
