//! Parsers of single values: durations, rate limits, networks, domains.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::RateLimit;

/// Maximum duration: ten years, so that computed dates stay in range.
const MAX_TTL: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// The prefix of an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2).
const IPV4_IN_IPV6_BITS: u8 = 96;

/// Whether the domain can be registered, by the public suffix list.
pub(super) fn is_below_public_suffix(domain: &str) -> bool {
    domain.contains('.') && psl::domain_str(domain).is_some()
}

/// Normalizes a network: an IPv4-mapped one becomes IPv4, and host bits are cleared.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network: IpNet =
        network.map_err(|_| format!("addresses or networks such as 10.0.0.0/8, not {text:?}"))?;
    let bits = network.prefix_len().checked_sub(IPV4_IN_IPV6_BITS);
    let plain = match (network.addr().to_canonical(), bits) {
        (IpAddr::V4(address), Some(bits)) if network.addr().is_ipv6() => {
            IpNet::new(address.into(), bits).ok()
        }
        _ => None,
    };
    Ok(plain.unwrap_or(network).trunc())
}

/// Parses a number and a period, such as `60/1m`.
pub(super) fn rate_limit(text: &str) -> Option<RateLimit> {
    let (count, per) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
    Some(RateLimit { count, per: duration(per.trim())? })
}

/// Parses a duration such as `30s`, `15m`, `24h` or `14d`: more than zero, and at most ten years.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let only_digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let duration = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
    (only_digits && !duration.is_zero() && duration <= MAX_TTL).then_some(duration)
}

/// Parses a client id (RFC 6749, appendix A.1).
pub(super) fn client_id(text: &str) -> Option<String> {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')).then(|| text.to_owned())
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::property_testing::{check, near_misses};

    const UNITS: [(&str, u128); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

    /// Parses digits and a unit, independently of the code under test.
    fn expected(text: &str) -> Option<Duration> {
        let (unit, seconds) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
        let digits =
            text.strip_suffix(unit).filter(|digits| digits.chars().all(|digit| digit.is_ascii_digit()))?;
        let seconds = digits.parse::<u128>().ok()?.checked_mul(seconds)?;
        (1..=3650 * 86_400).contains(&seconds).then(|| Duration::from_secs(seconds as u64))
    }

    #[test]
    fn a_time_is_digits_and_a_unit_between_a_second_and_ten_years() {
        let time = || {
            select(UNITS.to_vec()).prop_flat_map(|(unit, seconds)| {
                let most = 3650 * 86_400 / seconds;
                let number = prop_oneof![0..=2_u128, most - 1..=most + 1, any::<u64>().prop_map(u128::from)];
                let digits = prop_oneof![
                    number.prop_map(|number| number.to_string()),
                    "[+-]?0?[0-9]{1,5}",
                    "[0-9]{1,30}"
                ];
                digits.prop_map(move |digits| format!("{digits}{unit}"))
            })
        };
        let texts = prop_oneof![time(), near_misses(time()).prop_map(|(_, other)| other), any::<String>()];
        check(texts, |text| {
            prop_assert_eq!(duration(&text), expected(&text));
            Ok(())
        });
    }
}
