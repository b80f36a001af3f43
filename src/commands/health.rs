//! `health`: whether the service that runs here is ready, for whoever has no HTTP client at hand: a container, above all.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use url::Url;

use super::Failure;
use crate::config::{Config, Listen};

/// How long it may take in all: the service gives itself some two seconds.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may be, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

const READY: &str = "/health/ready";

#[derive(Args)]
pub(super) struct Health {
    /// Where to ask, by http. If it is not given, at the address of LISTEN: no other setting is needed
    #[arg(long, value_name = "URL", value_parser = http_url)]
    url: Option<Url>,
}

fn http_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" => Ok(url),
        _ => {
            Err("expected http://…: a node speaks no TLS, and `dualauth doctor --url` asks what is before it"
                .to_owned())
        }
    }
}

/// Asks, and says nothing if it is ready.
pub(super) async fn ask(health: Health) -> Result<(), Failure> {
    let server = match &health.url {
        Some(url) => Server::of_url(url),
        None => Server::of(&Config::listen_from_env().map_err(|error| error.lines().join("; "))?)?,
    };
    let place = server.place();
    match timeout(TIME_LIMIT, server.get()).await {
        Ok(Ok(answer)) => judge(&answer).map_err(|why| format!("{place}: {why}").into()),
        Ok(Err(error)) => Err(format!("{place}: no answer: {error}").into()),
        Err(_) => Err(format!("{place}: no answer in {} s", TIME_LIMIT.as_secs()).into()),
    }
}

/// Where a server can be asked.
enum Server {
    /// The addresses that may be its own, as `host:port`, and the path of what is asked for.
    Tcp {
        authorities: Vec<String>,
        path: String,
    },
    Unix(PathBuf),
}

impl Server {
    /// With the path below which it may be.
    fn of_url(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let path = format!("{}{READY}", url.path().trim_end_matches('/'));
        Self::Tcp { authorities: vec![authority], path }
    }

    fn of(listen: &Listen) -> Result<Self, Failure> {
        const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let (hosts, port) = match listen {
            Listen::Unix(path) => return Ok(Self::Unix(path.clone())),
            Listen::Everywhere(port) => (LOOPBACK.to_vec(), *port),
            Listen::Address(address) if address.ip().is_unspecified() => (LOOPBACK.to_vec(), address.port()),
            Listen::Address(address) => (vec![address.ip()], address.port()),
        };
        if port == 0 {
            return Err("LISTEN leaves the port to the system: say with --url where to ask".into());
        }
        let authorities = hosts.into_iter().map(|host| SocketAddr::new(host, port).to_string()).collect();
        Ok(Self::Tcp { authorities, path: READY.to_owned() })
    }

    /// For a person to read.
    fn place(&self) -> String {
        match self {
            Self::Tcp { authorities, .. } => authorities.join(" or "),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    async fn get(&self) -> io::Result<Answer> {
        let (authorities, path) = match self {
            Self::Unix(socket) => return get(UnixStream::connect(socket).await?, "localhost", READY).await,
            Self::Tcp { authorities, path } => (authorities, path),
        };
        let mut failed = io::Error::from(ErrorKind::NotFound);
        for authority in authorities {
            match TcpStream::connect(authority).await {
                Ok(stream) => return get(stream, authority, path).await,
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// What came back.
struct Answer {
    status: u16,
    body: Value,
}

/// By HTTP/1.0, which knows no chunks: the body ends with the connection.
async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, path: &str) -> io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("it is none of HTTP"))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or_default() })
}

/// Whether that says that it is ready.
///
/// # Errors
/// Why it is not, for a person to read.
fn judge(Answer { status, body }: &Answer) -> Result<(), String> {
    let checks = body["checks"].as_object();
    match (status, checks) {
        (200, Some(_)) if body["status"] == "ok" => Ok(()),
        (503, Some(checks)) => {
            let failing = checks.iter().filter(|(_, state)| *state != "ok");
            let failing = failing.map(|(part, state)| format!("{part} {}", state.as_str().unwrap_or("down")));
            Err(format!("not ready: {}", failing.collect::<Vec<_>>().join(", ")))
        }
        (status, _) => Err(format!("it answers {status}, and not as dualauth does")),
    }
}
