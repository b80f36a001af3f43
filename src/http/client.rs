//! Who is at the other end: the client's address, believed as far as a trusted proxy vouches for it, and its name.

use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, USER_AGENT};
use actix_web::{FromRequest, HttpRequest, web};
use ipnet::IpNet;

use crate::error::Problem;

/// What of a user agent is kept, in characters.
const MAX_USER_AGENT: usize = 512;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

/// The client that sent a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its network address; an IPv4 address in IPv6's clothes counts as the IPv4 address.
    pub address: IpAddr,
    /// What it says it is, cut to a sensible length.
    pub user_agent: String,
}

impl FromRequest for Client {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
        let proxies = request.app_data::<web::Data<TrustedProxies>>();
        let trusted = proxies.map_or(&[][..], |proxies| &proxies.0);
        let agent = request.headers().get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        ready(Ok(Self {
            address: address(peer, request.headers(), trusted),
            user_agent: String::from_utf8_lossy(agent).chars().take(MAX_USER_AGENT).collect(),
        }))
    }
}

/// The peer's, unless the peer is a trusted proxy: then the last hop that is not one. What stands before that in
/// the header may be anybody's invention.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut last = peer.to_canonical();
    let hops: Vec<&[u8]> = headers
        .get_all("x-forwarded-for")
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b','))
        .collect();
    for hop in hops.into_iter().rev() {
        if !is_trusted(&last) {
            break;
        }
        let Some(address) = parse_hop(hop) else { break };
        last = address;
    }
    last
}

/// An address, maybe with a port, as proxies write it.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let address = text
        .parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn seen(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().expect("a network")).collect();
        address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn nobody_is_believed_by_default() {
        assert_eq!(seen("192.0.2.1", &["203.0.113.9"], &[]), "192.0.2.1");
        assert_eq!(seen("::ffff:192.0.2.1", &[], &[]), "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_the_last_hop_that_is_none_of_them_counts() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(seen("::ffff:10.0.0.1", &["6.6.6.6", "203.0.113.9:4711"], &trusted), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:80"], &trusted), "2001:db8::1");
    }

    #[test]
    fn a_hop_that_can_t_be_read_ends_the_chain() {
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], &["10.0.0.0/8"]), "10.0.0.2");
    }
}
