//! Tests of valid values of each setting, and of errors for invalid ones.

use ipnet::IpNet;

use super::*;

fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
    let read =
        super::read(|name| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string()));
    read.map_err(|wrong| wrong.join("\n"))
}

#[test]
fn nothing_set_gives_the_defaults() {
    let config = read(&[]).expect("the defaults are valid");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.lifetimes.remember.absolute, Duration::from_secs(90 * 86_400));
    assert_eq!(config.passwords.argon2.m_cost(), 19_456);
}

#[test]
fn every_wrong_setting_is_reported_at_once_and_no_secret_is_repeated() {
    let error = read(&[
        ("LISTEN", "everywhere"),
        ("APP_SECRET", "hunter2"),
        ("DATABASE_URL", "mysql://root:hunter3@db"),
        ("SESSION_TTL", "1 day"),
        ("ALLOWED_ORIGINS", "*, https://ok.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, nginx"),
        ("ARGON2_ITERATIONS", "0"),
        ("COOKIE_DOMAIN", "elsewhere.example"),
        ("LOG_FORMAT", "xml"),
        ("JWT_ALGORITHM", "none"),
    ])
    .expect_err("all of them are wrong");
    for name in [
        "LISTEN",
        "APP_SECRET",
        "DATABASE_URL",
        "SESSION_TTL",
        "ALLOWED_ORIGINS",
        "TRUSTED_PROXIES",
        "ARGON2_ITERATIONS",
        "COOKIE_DOMAIN",
        "LOG_FORMAT",
        "JWT_ALGORITHM",
    ] {
        assert!(error.contains(name), "{name} is missing in {error}");
    }
    assert!(!error.contains("hunter"), "{error}");
}

#[test]
fn a_limit_is_a_number_and_a_time() {
    let of = |text: &str| read(&[("LOGIN_LIMIT", text)]).map(|config| config.limits.login);
    let limit = |count, seconds| RateLimit { count, per: Duration::from_secs(seconds) };
    assert_eq!(of(""), Ok(limit(60, 60)));
    assert_eq!(of("5/10s"), Ok(limit(5, 10)));
    assert_eq!(of("1 / 24h"), Ok(limit(1, 86_400)));
    for wrong in ["0/1m", "5", "5/", "/1m", "5/minute", "-1/1m", "5/0s", "off"] {
        assert!(of(wrong).expect_err(wrong).contains("LOGIN_LIMIT"), "{wrong}");
    }
}

#[test]
fn the_grace_of_what_was_replaced_may_be_none() {
    let of = |text: &str| read(&[("REFRESH_GRACE", text)]).map(|config| config.lifetimes.refresh_grace);
    for (text, seconds) in [("", 30), ("0s", 0), ("2m", 120)] {
        assert_eq!(of(text), Ok(Duration::from_secs(seconds)));
    }
    for wrong in ["0", "0m", "none", "-1s", "3651d"] {
        assert!(of(wrong).expect_err(wrong).contains("REFRESH_GRACE"), "{wrong}");
    }
}

#[test]
fn a_cookie_name_prefix_is_short_and_plain() {
    let of = |text: &str| read(&[("COOKIE_NAME_PREFIX", text)]).map(|config| config.cookie_name_prefix);
    for good in ["", "staging_", "a", "_a", "Auth-2.", &"x".repeat(32)] {
        assert_eq!(of(good).as_deref(), Ok(good));
    }
    for wrong in ["__Host-", "__a", "a b", "a=", "a;", "ä", "a%", &"x".repeat(33)] {
        assert!(of(wrong).expect_err(wrong).contains("COOKIE_NAME_PREFIX"), "{wrong}");
    }
}

#[test]
fn a_variant_is_one_of_two_words() {
    let of = |settings: &[(&str, &str)]| {
        let login_memory = read(settings).expect("they are right").login_memory;
        (login_memory.session_lookup, login_memory.jwt_revocation, login_memory.jwt_when_stale)
    };
    let default = (SessionLookup::Cached, JwtRevocation::Feed, StaleTokenPolicy::Serve);
    let usual = [("SESSION_LOOKUP", "cached"), ("JWT_REVOCATION", "feed"), ("JWT_WHEN_STALE", "serve")];
    assert_eq!((of(&[]), of(&usual)), (default, default));
    let textbook = [("SESSION_LOOKUP", "always"), ("JWT_REVOCATION", "off"), ("JWT_WHEN_STALE", "refuse")];
    assert_eq!(of(&textbook), (SessionLookup::Always, JwtRevocation::Off, StaleTokenPolicy::Refuse));

    for (name, _) in usual {
        for word in ["sometimes", "Always", "true", "on", "none", "feed,off"] {
            let error = read(&[(name, word)]).expect_err("another word");
            assert!(error.contains(name), "{name}={word}: {error}");
        }
    }
}

#[test]
fn an_empty_setting_is_not_set_unless_it_would_mean_another_database_or_secret() {
    assert!(read(&[("SESSION_TTL", ""), ("PUBLIC_URL", " "), ("DATABASE_DIRECT_URL", "")]).is_ok());
    let error = read(&[("APP_SECRET", ""), ("DATABASE_URL", " ")]).expect_err("another database and secret");
    assert!(error.contains("APP_SECRET is empty") && error.contains("DATABASE_URL is empty"), "{error}");
}

#[test]
fn a_proxy_is_the_same_however_its_address_is_written() {
    let of = |text: &str| {
        let proxies = read(&[("TRUSTED_PROXIES", text)]).map(|config| config.trusted_proxies);
        proxies.map(|proxies| proxies.iter().map(IpNet::to_string).collect::<Vec<_>>().join(","))
    };
    for (text, read) in [
        ("127.0.0.1, ::1", "127.0.0.1/32,::1/128"),
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ("::FFFF:7f00:1", "127.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("fd00::1/8", "fd00::/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ] {
        assert_eq!(of(text), Ok(read.to_owned()), "{text}");
    }
    for wrong in ["*", "localhost", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.*"] {
        assert!(of(wrong).expect_err(wrong).contains("TRUSTED_PROXIES"), "{wrong}");
    }
}

#[test]
fn a_cookie_domain_may_have_a_dot_in_front() {
    let of = |domain: &str| {
        let url = ("PUBLIC_URL", "https://auth.example.com");
        read(&[url, ("COOKIE_DOMAIN", domain)]).map(|config| config.cookie_domain.unwrap_or_default())
    };
    for domain in ["example.com", ".example.com", ".Example.COM"] {
        assert_eq!(of(domain), Ok("example.com".to_owned()));
    }
    assert_eq!(of(".auth.example.com"), Ok("auth.example.com".to_owned()));
    for wrong in [
        "..example.com",
        ".",
        ".com",
        "*.example.com",
        "https://example.com",
        "example.com.",
        "192.0.2.1",
        "ample.com",
        "com",
    ] {
        assert!(of(wrong).expect_err(wrong).contains("COOKIE_DOMAIN"), "{wrong}");
    }
}

#[test]
fn a_cookie_domain_is_no_public_suffix() {
    let of = |host: &str, domain: &str| {
        let url = format!("https://{host}");
        read(&[("PUBLIC_URL", &url), ("COOKIE_DOMAIN", domain)])
            .map(|config| config.cookie_domain.unwrap_or_default())
    };
    for (host, wrong) in [
        ("auth.example.co.uk", "co.uk"),
        ("auth.example.co.uk", ".CO.UK"),
        ("me.github.io", "github.io"),
        ("me.xn--55qx5d.cn", "xn--55qx5d.cn"),
        ("me.公司.cn", "公司.cn"),
        ("a.b.kawasaki.jp", "b.kawasaki.jp"),
    ] {
        assert!(of(host, wrong).expect_err(wrong).contains("COOKIE_DOMAIN"), "{wrong}");
    }
    for (host, good) in [
        ("auth.example.co.uk", "example.co.uk"),
        ("me.github.io", "me.github.io"),
        ("auth.corp.internal", "corp.internal"),
        ("auth.me.公司.cn", "me.xn--55qx5d.cn"),
        ("a.city.kawasaki.jp", "city.kawasaki.jp"),
    ] {
        assert_eq!(of(host, good), Ok(good.to_owned()));
    }
}

#[test]
fn another_way_to_a_database_needs_the_database() {
    let direct = ("DATABASE_DIRECT_URL", "postgres://db:5432/x");
    assert!(read(&[direct]).expect_err("no database").contains("DATABASE_URL: expected"));
    assert!(read(&[direct, ("DATABASE_URL", "postgres://pooler:6432/x")]).is_ok());
    for none in ["none", "", " "] {
        assert!(read(&[("DATABASE_DIRECT_URL", none)]).is_ok(), "{none:?}");
    }
}

#[test]
fn several_audiences_have_commas_in_between() {
    let of = |text: &str| read(&[("JWT_AUDIENCE", text)]).map(|config| config.jwt.audience);
    assert_eq!(of(""), Ok(vec![]));
    assert_eq!(of("api"), Ok(vec!["api".to_owned()]));
    assert_eq!(
        of("api, https://web.example.com,"),
        Ok(vec!["api".to_owned(), "https://web.example.com".to_owned()])
    );
    assert_eq!(of("a, b,a,a"), Ok(vec!["a".to_owned(), "b".to_owned()]));
    for wrong in [",", " , ,"] {
        assert!(of(wrong).expect_err(wrong).contains("JWT_AUDIENCE"), "{wrong}");
    }
}

#[test]
fn a_unix_socket_does_not_say_what_clients_type() {
    let socket = ("LISTEN", "unix:/run/dualauth.sock");
    assert!(read(&[socket]).expect_err("no URL").contains("PUBLIC_URL"));
    assert!(read(&[socket, ("PUBLIC_URL", "https://auth.example.com")]).is_ok());
    let error = read(&[("LISTEN", "8080")]).expect_err("no address");
    assert!(error.contains("LISTEN") && error.contains(":8080 (every interface)"), "{error}");
}
