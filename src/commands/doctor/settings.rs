//! Doctor: checks of the settings themselves.

use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::{Finding, origins};
use crate::config::{Config, JwtRevocation, UnknownSetting, UnknownSettingReason, is_loopback};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The minimum parameters of Argon2id in OWASP's Password PostgresStorage Cheat Sheet: memory in KiB, and iterations.
const OWASP: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// The shortest plausible prefix of a proxy network, as in 10.0.0.0/8 and fd00::/8.
const MIN_PREFIX_LENGTH: u8 = 8;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = likely_mistakes(config);
    if findings.is_empty() {
        findings.push(Finding::ok("every setting is known"));
    }
    findings.extend(scheme(config));
    findings.push(cookie_names(config));
    findings.extend(proxies(config));
    findings.extend(origins::check(config));
    findings.extend(lifetimes(config));
    findings.push(passwords(config));
    findings
}

/// Unknown settings, and settings that do not have the intended effect.
pub(super) fn likely_mistakes(config: &Config) -> Vec<Finding> {
    let unknown = config.unknown.iter().map(|UnknownSetting { name, why }| {
        let advice = match why {
            UnknownSettingReason::Meant(meant) => format!("Did you mean {meant}?"),
            UnknownSettingReason::Prefix => "It has no effect: no setting begins with DUALAUTH_.".to_owned(),
            UnknownSettingReason::InFile => "It is in .env, but has no effect.".to_owned(),
            UnknownSettingReason::OpenTelemetry => {
                "OpenTelemetry defines it, but it is not supported here.".to_owned()
            }
            UnknownSettingReason::NotBoolean => {
                return Finding::warning(
                    format!("{name} is neither true nor false."),
                    "It counts as false, as OpenTelemetry specifies.",
                );
            }
        };
        Finding::warning(format!("{name} is not a known setting."), advice)
    });
    unknown.chain(unusable_url(config)).collect()
}

/// A listening address beyond the local host without PUBLIC_URL: the derived URL would be wrong for clients.
fn unusable_url(config: &Config) -> Option<Finding> {
    let is_local = config.listen.is_local();
    (config.public_url.is_none() && !is_local).then(|| {
        Finding::problem(
            format!("PUBLIC_URL is not set, but LISTEN={} accepts connections from other machines.", config.listen),
            "Set PUBLIC_URL to the URL that clients use, such as https://auth.example.com: links, the tokens' issuer, and the \
             allowed origin are derived from it.",
        )
    })
}

/// Checks that PUBLIC_URL is https.
fn scheme(config: &Config) -> Option<Finding> {
    let Some(url) = &config.public_url else {
        let local = config.listen.is_local();
        return local.then(|| Finding::ok("PUBLIC_URL is not set: clients are on this machine"));
    };
    Some(match url.scheme() {
        "https" => Finding::ok("PUBLIC_URL is https: cookies are Secure"),
        _ if is_this_machine(url) => Finding::ok("PUBLIC_URL is http, on this machine only"),
        _ => Finding::problem(
            format!(
                "PUBLIC_URL={url} is http: passwords and tokens can be read in transit, and cookies are not Secure."
            ),
            "Let a proxy terminate TLS, and set PUBLIC_URL to its https URL (see docs/proxies for \
             configurations).",
        ),
    })
}

pub(super) fn is_this_machine(url: &Url) -> bool {
    url.host().is_some_and(|host| is_loopback(&host))
}

/// Reports which other services may see or overwrite the cookies.
fn cookie_names(config: &Config) -> Finding {
    let is_https = config.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    let prefix = &config.cookie_name_prefix;
    Finding::ok(match &config.cookie_domain {
        _ if !prefix.is_empty() => {
            format!("cookies are distinguished from those of other services by COOKIE_NAME_PREFIX={prefix}")
        }
        Some(domain) => format!(
            "cookies are sent to every service below {domain}; another dualauth there needs its own COOKIE_NAME_PREFIX"
        ),
        None if is_https => "cookies are sent to this host only".to_owned(),
        None => "cookies are sent to every port of this host; if another service there has a cookie `sessionid`, set \
                 COOKIE_NAME_PREFIX"
            .to_owned(),
    })
}

/// Checks TRUSTED_PROXIES, whose `X-Forwarded-For` is trusted.
fn proxies(config: &Config) -> Vec<Finding> {
    let is_https = config.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    if config.trusted_proxies.is_empty() {
        return match is_https {
            // The service itself does not terminate TLS, so there must be a proxy.
            true => vec![Finding::problem(
                "PUBLIC_URL is https, so there is a proxy, but TRUSTED_PROXIES is not set: every client appears to have \
                 the proxy's address, and rate limits count them all as one.",
                "Set TRUSTED_PROXIES to the proxy's address, such as 127.0.0.1, or to its network.",
            )],
            false => Vec::new(),
        };
    }
    let wide = |network: &&IpNet| network.prefix_len() < MIN_PREFIX_LENGTH;
    let wide: Vec<_> = config.trusted_proxies.iter().filter(wide).map(IpNet::to_string).collect();
    if wide.is_empty() {
        return vec![Finding::ok("TRUSTED_PROXIES names the proxies that report client addresses")];
    }
    vec![Finding::problem(
        format!(
            "TRUSTED_PROXIES={} trusts nearly every address: any client can forge its own.",
            wide.join(",")
        ),
        "Name the proxies' own addresses or network.",
    )]
}

/// Checks that the lifetimes are consistent with each other.
fn lifetimes(config: &Config) -> Vec<Finding> {
    let (times, login_memory) = (&config.lifetimes, &config.login_memory);
    let is_off = login_memory.jwt_revocation == JwtRevocation::Off;
    let odd = [
        (
            times.session.idle > times.session.absolute || times.remember.idle > times.remember.absolute,
            "The idle limit is longer than the login's lifetime, so it has no effect.",
            "Set SESSION_IDLE_TTL below SESSION_TTL, and REMEMBER_IDLE_TTL below REMEMBER_TTL.",
        ),
        (
            times.access_token >= times.session.idle,
            "ACCESS_TOKEN_TTL is not below SESSION_IDLE_TTL: the login expires before the client has a reason to refresh.",
            "Set ACCESS_TOKEN_TTL to half of it or less.",
        ),
        (
            is_off && times.access_token > HOUR,
            "JWT_REVOCATION=off, and ACCESS_TOKEN_TTL is more than an hour: a stolen token stays valid for that long, \
             and can't be revoked.",
            "Set JWT_REVOCATION=feed, or a lifetime of minutes.",
        ),
        (
            is_off && times.access_token <= HOUR,
            "JWT_REVOCATION=off: after a logout, or when a user is disabled, access tokens stay valid until they expire.",
            "Set JWT_REVOCATION=feed. off is meant for comparisons only.",
        ),
        (
            times.refresh_grace > 5 * MINUTE,
            "REFRESH_GRACE is more than five minutes: a stolen refresh token that is used within it goes unnoticed.",
            "A few seconds are enough for concurrent tabs.",
        ),
        (
            login_memory.staleness_bound > MINUTE,
            "STALENESS_BOUND is more than a minute: that is how long a revoked credential may be accepted on another node.",
            "A bound of one second costs only four small queries per second on each node.",
        ),
    ];
    let odd = odd.into_iter().filter(|(is_odd, ..)| *is_odd);
    let mut findings: Vec<_> = odd.map(|(_, what, advice)| Finding::warning(what, advice)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("lifetimes are consistent"));
    }
    findings
}

fn passwords(config: &Config) -> Finding {
    let argon2 = &config.passwords.argon2;
    let (memory, iterations) = (argon2.m_cost(), argon2.t_cost());
    match OWASP.iter().any(|(least, times)| memory >= *least && iterations >= *times) {
        true => Finding::ok(format!("password hashes use {memory} KiB and {iterations} iterations")),
        false => Finding::problem(
            format!(
                "ARGON2_MEMORY_KIB={memory} and ARGON2_ITERATIONS={iterations} are below OWASP's minimum: \
                 stolen hashes are cheap to crack."
            ),
            "Leave them unset (19456 and 2), or set higher values.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Config {
        let value =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        Config::from_vars(value).expect("they are right")
    }

    /// The levels of all findings but `Ok`.
    fn found(settings: &[(&str, &str)]) -> Vec<Level> {
        let findings = check(&config(settings)).into_iter().map(|finding| finding.level);
        findings.filter(|level| *level != Level::Ok).collect()
    }

    #[test]
    fn the_defaults_and_what_the_documentation_says_are_well() {
        assert_eq!(found(&[]), []);
        assert_eq!(
            found(&[("PUBLIC_URL", "http://localhost:3000"), ("ALLOWED_ORIGINS", "http://localhost:5173")]),
            []
        );
        let usual = [
            ("PUBLIC_URL", "https://auth.example.com"),
            ("TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1, ::1, fd00::/8"),
            ("LISTEN", "0.0.0.0:8080"),
            ("ALLOWED_ORIGINS", "https://app.example.com"),
            ("COOKIE_DOMAIN", "example.com"),
        ];
        assert_eq!(found(&usual), []);
    }

    #[test]
    fn each_mistake_is_found() {
        use Level::{Problem, Warning};
        let proxied = [("PUBLIC_URL", "https://auth.example.com"), ("TRUSTED_PROXIES", "127.0.0.1")];
        for (level, settings) in [
            (Problem, &[("LISTEN", "0.0.0.0:8080")][..]),
            (Problem, &[("LISTEN", "[::]:8080")]),
            (Problem, &[("LISTEN", ":8080")]),
            (Problem, &[("PUBLIC_URL", "http://auth.example.com")]),
            (Problem, &[("PUBLIC_URL", "http://192.0.2.1")]),
            (Problem, &[("PUBLIC_URL", "http://localhost.example.com")]),
            (Problem, &[("PUBLIC_URL", "https://auth.example.com")]),
            (Problem, &[proxied[0], ("TRUSTED_PROXIES", "0.0.0.0/0")]),
            (Problem, &[proxied[0], ("TRUSTED_PROXIES", "127.0.0.1, ::/0")]),
            (Warning, &[("SESSION_TTL", "10m"), ("SESSION_IDLE_TTL", "20m")]),
            (Warning, &[("REMEMBER_IDLE_TTL", "100d")]),
            (Warning, &[("ACCESS_TOKEN_TTL", "30m")]),
            (Warning, &[("JWT_REVOCATION", "off")]),
            (Warning, &[("JWT_REVOCATION", "off"), ("ACCESS_TOKEN_TTL", "2h"), ("SESSION_IDLE_TTL", "5h")]),
            (Warning, &[("REFRESH_GRACE", "10m")]),
            (Warning, &[("STALENESS_BOUND", "2m")]),
            (Problem, &[("ARGON2_MEMORY_KIB", "19455")]),
            (Problem, &[("ARGON2_ITERATIONS", "1")]),
        ] {
            assert_eq!(found(settings), [level], "{settings:?}");
        }
        // Two findings: the page can be modified in transit, and its scheme makes it another site.
        let insecure = [proxied[0], proxied[1], ("ALLOWED_ORIGINS", "http://app.example.com")];
        assert_eq!(found(&insecure), [Warning, Warning]);
    }

    #[test]
    fn what_is_no_setting_is_told_with_what_was_meant() {
        for (why, told) in [
            (UnknownSettingReason::Meant("SESSION_TTL".to_owned()), "SESSION_TTL"),
            (UnknownSettingReason::InFile, ".env"),
            (UnknownSettingReason::Prefix, "DUALAUTH_"),
            (UnknownSettingReason::OpenTelemetry, "OpenTelemetry"),
            (UnknownSettingReason::NotBoolean, "neither true nor false"),
        ] {
            let unknown = vec![UnknownSetting { name: "SESION_TTL".to_owned(), why }];
            let config = Config { unknown, ..config(&[]) };
            let mistakes = super::super::likely_mistakes(&config);
            assert!(
                mistakes.len() == 1 && mistakes[0].contains("SESION_TTL") && mistakes[0].contains(told),
                "{mistakes:?}"
            );
        }
    }

    #[test]
    fn other_costs_that_owasp_accepts_are_well() {
        for (memory, iterations) in [("47104", "1"), ("7168", "5"), ("65536", "3")] {
            assert_eq!(found(&[("ARGON2_MEMORY_KIB", memory), ("ARGON2_ITERATIONS", iterations)]), []);
        }
    }
}
