//! What the settings alone tell.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use super::{Finding, origins};
use crate::config::{Config, JwtRevocation, UnknownReason, UnknownSetting};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What OWASP's Password Storage Cheat Sheet asks of argon2id at least: KiB of memory, and iterations.
const OWASP: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// The largest networks that somebody may mean by their proxies: 10.0.0.0/8, fd00::/8 and such.
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

/// Settings that do nothing, or not what they should.
pub(super) fn likely_mistakes(config: &Config) -> Vec<Finding> {
    let unknown = config.unknown.iter().map(|UnknownSetting { name, why }| {
        let advice = match why {
            UnknownReason::Meant(meant) => format!("Is {meant} meant?"),
            UnknownReason::Prefix => {
                "Nothing here reads it, and no setting begins with DUALAUTH_.".to_owned()
            }
            UnknownReason::InFile => "It is in .env, and nothing here reads it.".to_owned(),
            UnknownReason::OpenTelemetry => "OpenTelemetry has it, and it is not followed here.".to_owned(),
            UnknownReason::NotBoolean => {
                return Finding::warning(
                    format!("{name} is neither true nor false."),
                    "It counts as false, as OpenTelemetry has it.",
                );
            }
        };
        Finding::warning(format!("{name} is no setting."), advice)
    });
    unknown.chain(unusable_url(config)).collect()
}

/// Where clients are told that the service is, when nobody said it.
fn unusable_url(config: &Config) -> Option<Finding> {
    let is_local = config.listen.is_local();
    (config.public_url.is_none() && !is_local).then(|| {
        Finding::problem(
            format!("PUBLIC_URL is not set, and LISTEN={} is for more than this machine.", config.listen),
            "Set PUBLIC_URL to what clients type, such as https://auth.example.com: links, the tokens' issuer, and which \
             pages may call come from it.",
        )
    })
}

/// Whether what is sent can be read on its way.
fn scheme(config: &Config) -> Option<Finding> {
    let Some(url) = &config.public_url else {
        let local = config.listen.is_local();
        return local.then(|| Finding::ok("PUBLIC_URL is not set: clients are on this machine"));
    };
    Some(match url.scheme() {
        "https" => Finding::ok("PUBLIC_URL is https: cookies are Secure"),
        _ if is_this_machine(url) => Finding::ok("PUBLIC_URL is http, on this machine alone"),
        _ => Finding::problem(
            format!(
                "PUBLIC_URL={url} is http: passwords and tokens can be read on their way, and cookies are not Secure."
            ),
            "Have a proxy terminate TLS, and set PUBLIC_URL to what clients type then, https://… \
             (docs/proxies has configurations).",
        ),
    })
}

pub(super) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).to_canonical().is_loopback(),
        None => false,
    }
}

/// Whether another service may have cookies of the same names.
fn cookie_names(config: &Config) -> Finding {
    let is_https = config.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    let prefix = &config.cookie_name_prefix;
    Finding::ok(match &config.cookie_domain {
        _ if !prefix.is_empty() => {
            format!("cookies are told from those of other services by COOKIE_NAME_PREFIX={prefix}")
        }
        Some(domain) => format!(
            "cookies go to every service below {domain}; another dualauth there needs a COOKIE_NAME_PREFIX of its own"
        ),
        None if is_https => "cookies are this host's alone".to_owned(),
        None => "cookies go to every port of this host; where another service there has a cookie `sessionid`, set \
                 COOKIE_NAME_PREFIX"
            .to_owned(),
    })
}

/// Whose word is believed on where a client is.
fn proxies(config: &Config) -> Vec<Finding> {
    let is_https = config.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    if config.trusted_proxies.is_empty() {
        return match is_https {
            // Nobody else can have terminated TLS.
            true => vec![Finding::problem(
                "PUBLIC_URL is https, so there is a proxy, and TRUSTED_PROXIES is not set: every client seems to be \
                 at the proxy's address, and limits count them all as one.",
                "Set TRUSTED_PROXIES to the proxy's address, such as 127.0.0.1, or to its network.",
            )],
            false => Vec::new(),
        };
    }
    let wide = |network: &&IpNet| network.prefix_len() < MIN_PREFIX_LENGTH;
    let wide: Vec<_> = config.trusted_proxies.iter().filter(wide).map(IpNet::to_string).collect();
    if wide.is_empty() {
        return vec![Finding::ok("TRUSTED_PROXIES names those who tell where a client is")];
    }
    vec![Finding::problem(
        format!(
            "TRUSTED_PROXIES={} is nearly everybody: whoever calls can say that they are elsewhere.",
            wide.join(",")
        ),
        "Name the proxies' own addresses or network.",
    )]
}

/// Times that do not fit together.
fn lifetimes(config: &Config) -> Vec<Finding> {
    let (times, directory) = (&config.lifetimes, &config.directory);
    let is_off = directory.jwt_revocation == JwtRevocation::Off;
    let odd = [
        (
            times.session.idle > times.session.absolute || times.remember.idle > times.remember.absolute,
            "A login may be idle for longer than it lives: the idle limit does nothing.",
            "Let SESSION_IDLE_TTL be below SESSION_TTL, and REMEMBER_IDLE_TTL below REMEMBER_TTL.",
        ),
        (
            times.access_token >= times.session.idle,
            "ACCESS_TOKEN_TTL is not below SESSION_IDLE_TTL: the login is over before the client has a reason to refresh.",
            "Let ACCESS_TOKEN_TTL be half of it or less.",
        ),
        (
            is_off && times.access_token > HOUR,
            "JWT_REVOCATION=off, and ACCESS_TOKEN_TTL is more than an hour: a stolen token is good for that long, \
             whatever anybody does.",
            "Leave JWT_REVOCATION at feed, or let access tokens live for minutes.",
        ),
        (
            is_off && times.access_token <= HOUR,
            "JWT_REVOCATION=off: who signs out, or is disabled, has access tokens that go on until they run out.",
            "Leave it at feed. off is there to compare with.",
        ),
        (
            times.refresh_grace > 5 * MINUTE,
            "REFRESH_GRACE is more than five minutes: a stolen refresh token that is used within it goes unnoticed.",
            "Two tabs need seconds.",
        ),
        (
            directory.staleness_bound > MINUTE,
            "STALENESS_BOUND is more than a minute: that is how long a revoked credential may live on another node.",
            "A second costs four small queries a second on each node.",
        ),
    ];
    let odd = odd.into_iter().filter(|(is_odd, ..)| *is_odd);
    let mut findings: Vec<_> = odd.map(|(_, what, advice)| Finding::warning(what, advice)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("lifetimes fit together"));
    }
    findings
}

fn passwords(config: &Config) -> Finding {
    let argon2 = &config.passwords.argon2;
    let (memory, iterations) = (argon2.m_cost(), argon2.t_cost());
    match OWASP.iter().any(|(least, times)| memory >= *least && iterations >= *times) {
        true => Finding::ok(format!("a password hash takes {memory} KiB and {iterations} iterations")),
        false => Finding::problem(
            format!(
                "ARGON2_MEMORY_KIB={memory} and ARGON2_ITERATIONS={iterations} are below what OWASP asks for: \
                 passwords are cheap to guess for whoever gets hold of the hashes."
            ),
            "Leave them unset (19456 and 2), or set more.",
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

    /// The levels of what is not well.
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
        // It can be changed on its way, and by its scheme it is of another site.
        let insecure = [proxied[0], proxied[1], ("ALLOWED_ORIGINS", "http://app.example.com")];
        assert_eq!(found(&insecure), [Warning, Warning]);
    }

    #[test]
    fn what_is_no_setting_is_told_with_what_was_meant() {
        for (why, told) in [
            (UnknownReason::Meant("SESSION_TTL".to_owned()), "SESSION_TTL"),
            (UnknownReason::InFile, ".env"),
            (UnknownReason::Prefix, "DUALAUTH_"),
            (UnknownReason::OpenTelemetry, "OpenTelemetry"),
            (UnknownReason::NotBoolean, "neither true nor false"),
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
