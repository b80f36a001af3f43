//! The service's public URL and origins: from PUBLIC_URL, or else derived from the listening address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use crate::config::Config;
use crate::http::listener;

/// The URL, base path and origins at which clients reach the service.
pub(super) struct PublicUrl {
    /// The public URL, without a trailing slash.
    pub(super) url: String,
    /// Where a browser opens the pages: that URL, or, if it is derived from an address of this machine, the machine's name. At an
    /// address browsers refuse passkeys (Web Authentication Level 3, section 5.1.2).
    pub(super) pages: String,
    /// The path of the public URL, without a trailing slash; may be empty.
    pub(super) base_path: String,
    /// Its own first.
    pub(super) origins: Vec<String>,
    pub(super) is_https: bool,
}

/// Names of this machine, each of which may be typed into a browser.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The addresses that `localhost` names as well.
const LOCAL_ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl PublicUrl {
    /// Derives it from `address` unless PUBLIC_URL is set. `address` is `None` for a Unix socket, for which the
    /// settings require PUBLIC_URL.
    pub(super) fn new(config: &Config, address: Option<SocketAddr>) -> Self {
        if let Some(url) = &config.public_url {
            let origin = url.origin().ascii_serialization();
            let base_path = config.base_path().to_owned();
            let public_url = format!("{origin}{base_path}");
            return Self {
                is_https: url.scheme() == "https",
                pages: public_url.clone(),
                url: public_url,
                origins: std::iter::once(origin).chain(other_names(url)).collect(),
                base_path,
            };
        }
        // Without PUBLIC_URL: the names of the local host.
        let address = address.unwrap_or(listener::LOCAL);
        let url = |host: &str| match address.port() {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        };
        let origins = LOCAL_HOSTS.map(url).to_vec();
        let is_everywhere = address.ip().to_canonical().is_unspecified();
        let by_name = url("localhost");
        let url = if is_everywhere { by_name.clone() } else { format!("http://{address}") };
        let has_name = is_everywhere || LOCAL_ADDRESSES.contains(&address.ip());
        let pages = if has_name { by_name } else { url.clone() };
        Self { url, pages, base_path: String::new(), origins, is_https: false }
    }

    /// Its host.
    pub(super) fn host(&self) -> String {
        let host = Url::parse(&self.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| "localhost".to_owned())
    }
}

/// The origins of the other names, if the URL has an address of this machine: its pages are opened by either.
fn other_names(url: &Url) -> impl Iterator<Item = String> {
    let names = if is_local_address(url) { &LOCAL_HOSTS[..] } else { &[] };
    let own = url.host_str().unwrap_or_default().to_owned();
    let url = url.clone();
    names.iter().filter(move |name| **name != own).filter_map(move |name| {
        let mut other = url.clone();
        other.set_host(Some(name)).ok()?;
        Some(other.origin().ascii_serialization())
    })
}

fn is_local_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => LOCAL_ADDRESSES.contains(&IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => LOCAL_ADDRESSES.contains(&IpAddr::V6(address)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(public_url: &str) -> PublicUrl {
        let config = Config::from_vars(|name| (name == "PUBLIC_URL").then(|| public_url.to_owned()));
        PublicUrl::new(&config.expect("settings"), None)
    }

    #[test]
    fn pages_are_opened_by_a_name_where_passkeys_work() {
        let config = Config::from_vars(|_| None).expect("settings");
        for (address, pages) in [
            ("127.0.0.1:8080", "http://localhost:8080"),
            ("[::1]:8080", "http://localhost:8080"),
            ("0.0.0.0:80", "http://localhost"),
            ("127.0.0.2:8080", "http://127.0.0.2:8080"),
            ("192.0.2.1:8080", "http://192.0.2.1:8080"),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(PublicUrl::new(&config, Some(address)).pages, pages);
        }
        for public_url in ["http://127.0.0.1:8080", "https://auth.example.com/x"] {
            assert_eq!(of(public_url).pages, public_url);
        }
    }

    #[test]
    fn a_local_address_is_reached_by_its_names_and_no_other_host_is() {
        let names = |port| LOCAL_HOSTS.map(|host| format!("http://{host}{port}")).to_vec();
        let sorted = |mut origins: Vec<String>| {
            origins.sort();
            origins
        };
        assert_eq!(sorted(of("http://127.0.0.1:8080").origins), sorted(names(":8080")));
        assert_eq!(sorted(of("http://[::1]").origins), sorted(names("")));
        for other in
            ["http://localhost:8080", "https://auth.example.com", "http://127.0.0.2", "http://10.0.0.1"]
        {
            assert_eq!(of(other).origins, [other]);
        }
    }
}
