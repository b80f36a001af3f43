//! The service's public URL and origins: from PUBLIC_URL, or else derived from the listening address.

use std::net::SocketAddr;

use url::Url;

use crate::config::Config;
use crate::http::listener;

/// The URL, base path and origins at which clients reach the service.
pub(super) struct PublicUrl {
    /// The public URL, without a trailing slash.
    pub(super) url: String,
    /// The path of the public URL, without a trailing slash; may be empty.
    pub(super) base_path: String,
    pub(super) origins: Vec<String>,
    pub(super) is_https: bool,
}

impl PublicUrl {
    /// Derives it from `address` unless PUBLIC_URL is set. `address` is `None` for a Unix socket, for which the
    /// settings require PUBLIC_URL.
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
        // Without PUBLIC_URL: the names of the local host.
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

    /// Its host.
    pub(super) fn host(&self) -> String {
        let host = Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| "localhost".to_owned())
    }
}
