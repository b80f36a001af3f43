//! Where clients reach the service: what PUBLIC_URL says, or else follows from the address that it listens on.

use std::net::SocketAddr;

use crate::config::Config;
use crate::http::listener;

/// Where clients reach the service.
pub(super) struct Site {
    /// Without a slash at its end.
    pub(super) url: String,
    /// The path in it, or nothing.
    pub(super) base_path: String,
    pub(super) origins: Vec<String>,
    pub(super) is_https: bool,
}

impl Site {
    /// At this address, unless PUBLIC_URL says where. A Unix socket has none, and is never without PUBLIC_URL.
    pub(super) fn new(config: &Config, address: Option<SocketAddr>) -> Self {
        if let Some(url) = &config.public_url {
            let origin = url.origin().ascii_serialization();
            let base_path = config.base_path().to_owned();
            return Self {
                is_https: url.scheme() == "https",
                url: format!("{origin}{base_path}"),
                origins: vec![origin],
                base_path,
            };
        }
        // Not set: the names that a person at this machine may type.
        let address = address.unwrap_or(listener::LOCAL);
        let url = |host: &str| match address.port() {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        };
        let origins = ["localhost", "127.0.0.1", "[::1]"].map(url).to_vec();
        let is_everywhere = address.ip().to_canonical().is_unspecified();
        let url = if is_everywhere { url("localhost") } else { format!("http://{address}") };
        Self { url, base_path: String::new(), origins, is_https: false }
    }
}
