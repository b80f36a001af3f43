//! `health`: a readiness check without an HTTP client, for containers.

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

/// For connecting and the answer together. The service itself answers within some two seconds.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The maximum size of a response, in bytes.
const MAX_RESPONSE: u64 = 64 * 1024;

const PATH: &str = "/health/ready";

#[derive(Args)]
pub(super) struct HealthArgs {
    /// The service's URL (http). Default: the address in LISTEN, the only setting that is read
    #[arg(long, value_name = "URL", value_parser = http_url)]
    url: Option<Url>,
}

fn http_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" => Ok(url),
        _ => {
            Err("expected http://…: the service itself has no TLS. `dualauth doctor --url` checks it through a proxy"
                .to_owned())
        }
    }
}

/// Prints nothing if the service is ready.
///
/// # Errors
/// Why it is not, in one line.
pub(super) async fn run(health: HealthArgs) -> Result<(), Failure> {
    let server = match &health.url {
        Some(url) => Server::of_url(url),
        None => Server::of(&Config::listen_from_env().map_err(|error| error.lines().join("; "))?)?,
    };
    let address = server.address();
    match timeout(TIME_LIMIT, server.get()).await {
        Ok(Ok(response)) => check(&response).map_err(|why| format!("{address}: {why}").into()),
        Ok(Err(error)) => Err(format!("{address}: no answer: {error}").into()),
        Err(_) => Err(format!("{address}: no answer in {} s", TIME_LIMIT.as_secs()).into()),
    }
}

/// The address of a server.
enum Server {
    /// Alternatives of `host:port`, and the path to request.
    Tcp {
        authorities: Vec<String>,
        path: String,
    },
    Unix(PathBuf),
}

impl Server {
    /// The path of the URL is kept.
    fn of_url(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
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
            return Err(
                "LISTEN has port 0, which the system replaces by a free one: give the URL with --url".into(),
            );
        }
        let authorities = hosts.into_iter().map(|host| SocketAddr::new(host, port).to_string()).collect();
        Ok(Self::Tcp { authorities, path: PATH.to_owned() })
    }

    /// For a person to read.
    fn address(&self) -> String {
        match self {
            Self::Tcp { authorities, .. } => authorities.join(" or "),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    async fn get(&self) -> io::Result<Response> {
        let (authorities, path) = match self {
            Self::Unix(socket) => return get(UnixStream::connect(socket).await?, "localhost", PATH).await,
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

struct Response {
    status: u16,
    body: Value,
}

/// Uses HTTP/1.0, which has no chunks: the body ends with the connection.
async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> io::Result<Response> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("not an HTTP response"))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(Response { status, body: serde_json::from_str(body).unwrap_or_default() })
}

/// # Errors
/// Why the service is not ready.
fn check(Response { status, body }: &Response) -> Result<(), String> {
    let checks = body["checks"].as_object();
    match (status, checks) {
        (200, Some(_)) if body["status"] == "ok" => Ok(()),
        (503, Some(checks)) => {
            let failing = checks.iter().filter(|(_, state)| *state != "ok");
            let failing = failing.map(|(part, state)| format!("{part} {}", state.as_str().unwrap_or("down")));
            Err(format!("not ready: {}", failing.collect::<Vec<_>>().join(", ")))
        }
        (status, _) => {
            Err(format!("not ready: status {status}, and not a response of dualauth's /health/ready"))
        }
    }
}
