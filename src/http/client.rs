//! The client of a request: its address, which takes trusted proxies into account, and its user agent.

use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, USER_AGENT, X_FORWARDED_FOR};
use actix_web::{FromRequest, HttpRequest, web};
use ipnet::{IpNet, Ipv6Net};

use crate::audit::Actor;
use crate::error::Problem;

/// Maximum length of a user agent that is kept, in characters.
const MAX_USER_AGENT: usize = 512;

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

/// The client that sent a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its network address. An IPv4-mapped IPv6 address is converted to IPv4.
    pub address: IpAddr,
    /// Its `User-Agent`, cut to [`MAX_USER_AGENT`].
    pub user_agent: String,
}

/// Prefix length of the IPv6 network that one subscriber usually gets, and in which it can choose addresses at will.
const SUBSCRIBER_BITS: u8 = 64;

impl Client {
    /// The client of this request.
    pub fn of(request: &HttpRequest) -> Self {
        let nobody = TrustedProxies::default();
        let proxies = request.app_data::<web::Data<TrustedProxies>>().map_or(&nobody, |proxies| proxies);
        let agent = request.headers().get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        Self {
            address: address_of(request, proxies),
            user_agent: String::from_utf8_lossy(agent).chars().take(MAX_USER_AGENT).collect(),
        }
    }

    /// The actor for audit events of this client's requests.
    pub fn actor(&self) -> Actor {
        Actor::request(self.address, self.user_agent.clone())
    }

    /// The network that rate limits count as one client. `network_of` in the migrations does the same.
    pub fn network(&self) -> IpNet {
        match self.address {
            IpAddr::V4(_) => self.address.into(),
            IpAddr::V6(address) => Ipv6Net::new_assert(address, SUBSCRIBER_BITS).trunc().into(),
        }
    }
}

impl FromRequest for Client {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// The network address of a request's client.
pub fn address_of(request: &HttpRequest, proxies: &TrustedProxies) -> IpAddr {
    let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    address(peer, request.headers(), &proxies.0)
}

/// The peer's address, unless the peer is a trusted proxy: then the last hop in the header that is not one. Earlier
/// hops can be forged by the client.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut last = peer.to_canonical();
    if !is_trusted(&last) {
        return last;
    }
    let hops: Vec<&[u8]> = headers
        .get_all(X_FORWARDED_FOR)
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // Empty list elements are ignored (RFC 9110, section 5.6.1).
        .filter(|hop| !hop.is_empty())
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

/// Parses an address as proxies write it: optionally with a port, and IPv6 optionally in brackets.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let address = text.parse().ok().or_else(with_port).or_else(in_brackets);
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
    fn an_empty_element_of_the_list_is_none() {
        for forwarded in [
            &["203.0.113.9,"][..],
            &["203.0.113.9, ,\t,"],
            &[",203.0.113.9"],
            &["203.0.113.9,,10.0.0.2"],
            &["203.0.113.9", ""],
            &["203.0.113.9", ", "],
        ] {
            assert_eq!(seen("10.0.0.1", forwarded, &["10.0.0.0/8"]), "203.0.113.9", "{forwarded:?}");
        }
        assert_eq!(seen("10.0.0.1", &[","], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn an_address_is_read_as_proxies_write_it() {
        for (written, address) in [
            ("203.0.113.9", "203.0.113.9"),
            (" 203.0.113.9:4711\t", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8:0::1]:4711", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]", "203.0.113.9"),
        ] {
            assert_eq!(seen("10.0.0.1", &[written], &["10.0.0.0/8"]), address, "{written}");
        }
        for unreadable in
            ["unknown", "[203.0.113.9]", "[2001:db8::1", "2001:db8::1]", "[]", "203.0.113.9:", "_h"]
        {
            assert_eq!(seen("10.0.0.1", &[unreadable], &["10.0.0.0/8"]), "10.0.0.1", "{unreadable}");
        }
    }

    #[test]
    fn a_hop_that_can_t_be_read_ends_the_chain() {
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"], &["10.0.0.0/8"]), "10.0.0.2");
    }
}

#[cfg(test)]
mod properties {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::property_testing::{any_header_value, check, header_values};

    fn seen(peer: IpAddr, forwarded: &[Vec<u8>]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let name = HeaderName::from_static("x-forwarded-for");
            headers.append(name, HeaderValue::from_bytes(value).expect("a header value"));
        }
        address(
            peer,
            &headers,
            &["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network")),
        )
    }

    fn is_trusted(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.octets()[0] == 0xfd,
        }
    }

    fn proxy() -> impl Strategy<Value = IpAddr> {
        let v4 = any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c]));
        let v6 = any::<[u8; 15]>().prop_map(|rest| {
            let mut bytes = [0xfd; 16];
            bytes[1..].copy_from_slice(&rest);
            IpAddr::from(bytes)
        });
        prop_oneof![v4, v6]
    }

    fn stranger() -> impl Strategy<Value = IpAddr> {
        let canonical = any::<IpAddr>().prop_map(|address| address.to_canonical());
        canonical.prop_filter("a proxy", |address| !is_trusted(*address))
    }

    /// The address, or the same one as an IPv4-mapped IPv6 address.
    fn maybe_mapped(address: IpAddr, is_mapped: bool) -> IpAddr {
        match address {
            IpAddr::V4(address) if is_mapped => address.to_ipv6_mapped().into(),
            address => address,
        }
    }

    /// An address as proxies write it: IPv4-mapped or not, with or without port and brackets, with white space around
    /// it, and with empty list elements before and after it.
    fn written(address: IpAddr) -> impl Strategy<Value = Vec<u8>> {
        (
            "([ \t]{0,2},){0,2}[ \t]{0,2}",
            any::<bool>(),
            any::<bool>(),
            any::<Option<u16>>(),
            "[ \t]{0,2}(,[ \t]{0,2}){0,2}",
        )
            .prop_map(move |(before, is_mapped, is_in_brackets, port, after)| {
                let address = maybe_mapped(address, is_mapped);
                let text = match port {
                    Some(port) => SocketAddr::new(address, port).to_string(),
                    None if is_in_brackets && address.is_ipv6() => format!("[{address}]"),
                    None => address.to_string(),
                };
                format!("{before}{text}{after}").into_bytes()
            })
    }

    fn unreadable() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "unknown",
            "_hidden",
            "10.0.0",
            "10.0.0.0.1",
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.1:65536",
            "10.0.0.1/8",
            "[10.0.0.1]:80",
            "fd00:::1",
            "[fd00::1",
            "[fd00::1]:",
            "fd00::1]:80",
            "10.0.0.1 10.0.0.2",
        ];
        let foreign =
            any::<Ipv6Addr>().prop_map(|address| [address.to_string().as_bytes(), b"\xff"].concat());
        prop_oneof![3 => select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()), 1 => foreign]
    }

    /// Hops in this order, in one or more headers.
    fn in_headers(hops: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<Vec<u8>>> {
        vec(any::<bool>(), hops.len()).prop_map(move |breaks| {
            let mut values: Vec<Vec<u8>> = Vec::new();
            for (hop, is_new_header) in hops.iter().zip(breaks) {
                match values.last_mut() {
                    Some(value) if !is_new_header => value.extend([b",", hop.as_slice()].concat()),
                    _ => values.push(hop.clone()),
                }
            }
            values
        })
    }

    /// Any hops, then this hop, then these proxies.
    fn chain(hop: Vec<u8>, proxies: Vec<IpAddr>) -> impl Strategy<Value = Vec<Vec<u8>>> {
        let proxies: Vec<_> = proxies.into_iter().map(written).collect();
        let before = prop_oneof![any_header_value(), any::<IpAddr>().prop_flat_map(written)];
        (vec(before, 0..3), proxies)
            .prop_flat_map(move |(before, proxies)| in_headers([before, vec![hop.clone()], proxies].concat()))
    }

    #[test]
    fn whoever_is_no_proxy_is_the_client_whatever_it_forwards() {
        let forwarded = vec(prop_oneof![any_header_value(), proxy().prop_flat_map(written)], 0..3);
        check((stranger(), any::<bool>(), forwarded), |(peer, is_mapped, forwarded)| {
            prop_assert_eq!(seen(maybe_mapped(peer, is_mapped), &forwarded), peer);
            Ok(())
        });
    }

    #[test]
    fn behind_proxies_the_last_stranger_is_the_client_whatever_stands_before_it() {
        let sent = (stranger(), vec(proxy(), 0..4)).prop_flat_map(|(client, proxies)| {
            let forwarded = written(client).prop_flat_map(move |hop| chain(hop, proxies.clone()));
            (Just(client), forwarded)
        });
        check((proxy(), any::<bool>(), sent), |(peer, is_mapped, (client, forwarded))| {
            prop_assert_eq!(seen(maybe_mapped(peer, is_mapped), &forwarded), client);
            Ok(())
        });
    }

    #[test]
    fn behind_proxies_a_hop_that_can_t_be_read_leaves_the_proxy_that_wrote_it() {
        let sent = (unreadable(), vec(proxy(), 0..4))
            .prop_flat_map(|(hop, proxies)| (Just(proxies.first().copied()), chain(hop, proxies)));
        check((proxy(), sent), |(peer, (writer, forwarded))| {
            prop_assert_eq!(seen(peer, &forwarded), writer.unwrap_or(peer));
            Ok(())
        });
    }

    #[test]
    fn no_client_is_made_up() {
        let forwarded = header_values(Just("203.0.113.9, [2001:db8::1]:80, 10.0.0.2".to_owned()));
        check((proxy(), forwarded), |(peer, forwarded)| {
            let client = seen(peer, std::slice::from_ref(&forwarded));
            let text = String::from_utf8_lossy(&forwarded).into_owned();
            let is_client = |hop: &str| {
                let bracketed = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let plain = bracketed.unwrap_or(hop).parse::<IpAddr>().ok();
                let address = plain.or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()));
                address.is_some_and(|address| address.to_canonical() == client)
            };
            prop_assert!(client == peer || text.split(',').any(|hop| is_client(hop.trim())), "{}", client);
            Ok(())
        });
    }
}
