//! Reads and checks each setting, and notes every one that is wrong.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::opentelemetry;
use super::source::Source;
use super::{
    Config, DirectoryConfig, JwtAlgorithm, JwtConfig, JwtRevocation, KeyFile, Lifetimes, Listen, LogConfig,
    LogFormat, PasswordConfig, RateLimit, RateLimits, SessionLookup, Span, TracesConfig, WhenStale, origin,
    public_url,
};
use crate::database::{DirectUrl, check_url};
use crate::tokens::{AppSecret, SecretBytes};

/// Where a private Postgres lives, below the working directory.
const DATA_FOLDER: &str = ".data";

/// The longest time that can be set: ten years, which keeps every date that is computed from it in bounds.
const MAX_TTL: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

const A_TIME: &str = "a time such as 30s, 15m, 24h or 14d, of 3650d at most";

/// The shortest time that a key may sign: twice as long as others remember the keys of `jwks.json`.
const MIN_ROTATION: Duration = Duration::from_secs(10 * 60);

const DEFAULT_LISTEN: Listen = Listen::Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080));

/// What an IPv4 address in IPv6's clothes has in front (RFC 4291, section 2.5.5.2).
const IPV4_IN_IPV6_BITS: u8 = 96;

/// Where a collector is, when it is not said (OTLP Exporter, "Configuration Options").
const DEFAULT_COLLECTOR: &str = "http://localhost:4318";

const DEFAULT_CLIENT_ID: &str = "dualauth";

/// Every setting, or what is wrong with them.
pub(super) fn read(vars: impl Fn(&str) -> Option<String>) -> Result<Config, Vec<String>> {
    let mut reader = Reader { source: Source::new(vars), errors: Vec::new() };
    let config = reader.config();
    if reader.errors.is_empty() { Ok(config) } else { Err(reader.errors) }
}

struct Reader<V> {
    source: Source<V>,
    errors: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    fn config(&mut self) -> Config {
        let config = Config {
            database_url: self.database_url("DATABASE_URL"),
            database_direct_url: self.direct_url(),
            database_max_connections: self.number("DATABASE_MAX_CONNECTIONS", 10, 1),
            data_folder: PathBuf::from(DATA_FOLDER),
            listen: self.parse("LISTEN", Listen::EXPECTED).unwrap_or(DEFAULT_LISTEN),
            metrics_listen: self.parse("METRICS_LISTEN", Listen::EXPECTED),
            keep_alive: self.duration("KEEP_ALIVE", "75s"),
            public_url: self.public_url(),
            app_secret: self.app_secret(),
            allowed_origins: self.list("ALLOWED_ORIGINS", origin::parse),
            trusted_proxies: self.list("TRUSTED_PROXIES", parse_network),
            cookie_domain: self.cookie_domain(),
            cookie_name_prefix: self.cookie_name_prefix(),
            jwt: self.jwt(),
            lifetimes: self.lifetimes(),
            directory: self.directory(),
            passwords: self.passwords(),
            limits: self.limits(),
            step_up_max_age: self.duration("STEP_UP_MAX_AGE", "10m"),
            audit_retention: self.duration("AUDIT_RETENTION", "365d"),
            log: self.log(),
            traces: self.traces(),
            unknown: Vec::new(),
        };
        self.check_cookie_domain(&config);
        if matches!(config.database_direct_url, DirectUrl::Url(_)) && config.database_url.is_none() {
            self.wrong("DATABASE_URL", "the database that DATABASE_DIRECT_URL is another way to");
        }
        if matches!(config.listen, Listen::Unix(_)) && config.public_url.is_none() {
            self.wrong("PUBLIC_URL", "what clients type, beside LISTEN=unix:…, which says nothing of that");
        }
        config
    }

    /// As it was given.
    fn value(&mut self, name: &str) -> Option<String> {
        self.source.value(name).unwrap_or_else(|error| {
            self.errors.push(error);
            None
        })
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.trim().to_owned())
    }

    fn wrong(&mut self, name: &str, expected: &str) {
        self.errors.push(format!("{name}: expected {expected}"));
    }

    /// `None` when it is not set, and when it is wrong, which is noted.
    fn read<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.wrong(name, expected);
        }
        parsed
    }

    fn parse<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        self.read(name, expected, |text| text.parse().ok())
    }

    fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let text = self.text(name).unwrap_or_default();
        let mut parsed = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match parse(item) {
                Ok(value) => parsed.push(value),
                Err(expected) => self.wrong(name, &expected),
            }
        }
        parsed
    }

    fn duration(&mut self, name: &str, default: &str) -> Duration {
        let given = self.read(name, A_TIME, parse_duration);
        given.or_else(|| parse_duration(default)).unwrap_or_default()
    }

    /// How long what a refresh replaced goes on being accepted: not at all, if that is wanted.
    fn grace(&mut self) -> Duration {
        let parse = |text: &str| if text == "0s" { Some(Duration::ZERO) } else { parse_duration(text) };
        let expected = "a time such as 30s or 1m, of 3650d at most, or 0s";
        self.read("REFRESH_GRACE", expected, parse).unwrap_or(Duration::from_secs(30))
    }

    fn number(&mut self, name: &str, default: u32, least: u32) -> u32 {
        let expected = format!("a whole number of {least} or more");
        self.read(name, &expected, |text| text.parse().ok().filter(|number| *number >= least))
            .unwrap_or(default)
    }

    /// One of some words; the first is the default.
    fn choice<T: Copy, const N: usize>(&mut self, name: &str, choices: [(&str, T); N]) -> T {
        let expected = choices.map(|(word, _)| word).join(" or ");
        let chosen = |text: &str| choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        self.read(name, &expected, chosen).unwrap_or(choices[0].1)
    }

    fn database_url(&mut self, name: &str) -> Option<SecretString> {
        let text = self.text(name)?;
        if let Err(error) = check_url(&text) {
            // It does not repeat the password.
            self.errors.push(format!("{name}: {error}"));
        }
        Some(text.into())
    }

    fn direct_url(&mut self) -> DirectUrl {
        let name = "DATABASE_DIRECT_URL";
        match self.text(name).as_deref() {
            None => DirectUrl::Usual,
            Some("none") => DirectUrl::None,
            Some(_) => self.database_url(name).map_or(DirectUrl::Usual, DirectUrl::Url),
        }
    }

    fn public_url(&mut self) -> Option<Url> {
        let parsed = public_url::parse(&self.text("PUBLIC_URL")?);
        parsed.map_err(|expected| self.wrong("PUBLIC_URL", &expected)).ok()
    }

    fn app_secret(&mut self) -> Option<AppSecret> {
        let previous = self.secret("APP_SECRET_PREVIOUS");
        match (self.secret("APP_SECRET"), previous) {
            (Some(secret), Some(previous)) => Some(secret.replacing(&previous)),
            (secret, None) => secret,
            (None, Some(_)) => {
                self.wrong("APP_SECRET", "the new secret, beside APP_SECRET_PREVIOUS");
                None
            }
        }
    }

    fn secret(&mut self, name: &str) -> Option<AppSecret> {
        // The value is not repeated in the error, nor is it trimmed: it is a secret.
        let value = self.value(name)?;
        let secret = AppSecret::new(value.into_bytes());
        if secret.is_none() {
            self.wrong(name, "32 bytes or more, such as the output of `openssl rand -base64 32`");
        }
        secret
    }

    fn cookie_domain(&mut self) -> Option<String> {
        let expected =
            "a domain such as example.com, and no public suffix such as co.uk: browsers refuse one";
        self.read("COOKIE_DOMAIN", expected, |text| {
            // A dot in front is ignored (RFC 6265, section 5.2.3).
            match Host::parse(text.strip_prefix('.').unwrap_or(text)) {
                Ok(Host::Domain(domain)) if is_below_public_suffix(&domain) => Some(domain.to_string()),
                _ => None,
            }
        })
    }

    /// Of characters that no program on the way encodes: others of a cookie's name (RFC 6265, section 4.1.1) some do.
    fn cookie_name_prefix(&mut self) -> String {
        let expected = "up to 32 ASCII letters, digits, and the characters _ . -, and no __ at the beginning, such as staging_";
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let parse = |text: &str| {
            let is_prefix = text.len() <= 32 && text.bytes().all(is_allowed) && !text.starts_with("__");
            is_prefix.then(|| text.to_owned())
        };
        self.read("COOKIE_NAME_PREFIX", expected, parse).unwrap_or_default()
    }

    fn check_cookie_domain(&mut self, config: &Config) {
        let Some(domain) = &config.cookie_domain else { return };
        let host = config.public_url.as_ref().and_then(Url::host_str).unwrap_or_default();
        if host != domain && !host.ends_with(&format!(".{domain}")) {
            self.wrong("COOKIE_DOMAIN", "PUBLIC_URL's host or a parent of it: browsers refuse any other");
        }
    }

    fn jwt(&mut self) -> JwtConfig {
        let config = JwtConfig {
            issuer: self.text("JWT_ISSUER"),
            audience: self.audience(),
            client_id: self
                .read("JWT_CLIENT_ID", "printable ASCII characters", client_id)
                .unwrap_or_else(|| DEFAULT_CLIENT_ID.to_owned()),
            algorithm: self.choice("JWT_ALGORITHM", JwtAlgorithm::ALL.map(|it| (it.as_str(), it))),
            key_file: self.key_file(),
            rotation: self.rotation(),
        };
        if config.key_file.is_some() && config.rotation.is_some() {
            self.wrong("KEY_ROTATION", "no value beside JWT_KEY_FILE: such keys change with the file");
        }
        config
    }

    /// Each of them once.
    fn audience(&mut self) -> Vec<String> {
        let name = "JWT_AUDIENCE";
        let mut audience = Vec::new();
        for item in self.list(name, |item| Ok(item.to_owned())) {
            if !audience.contains(&item) {
                audience.push(item);
            }
        }
        if audience.is_empty() && self.text(name).is_some() {
            self.wrong(name, "names with commas in between");
        }
        audience
    }

    fn key_file(&mut self) -> Option<KeyFile> {
        let path = PathBuf::from(self.text("JWT_KEY_FILE")?);
        match std::fs::read(&path) {
            Ok(bytes) => Some(KeyFile { path, bytes: SecretBytes::new(bytes) }),
            Err(error) => {
                self.errors.push(format!("JWT_KEY_FILE can't be read: {error}"));
                None
            }
        }
    }

    fn rotation(&mut self) -> Option<Duration> {
        let expected =
            "off, or a time such as 30d, between 10m and 3650d: others must have met a key before it signs";
        let parse = |text: &str| parse_duration(text).filter(|time| *time >= MIN_ROTATION).map(Some);
        self.read("KEY_ROTATION", expected, |text| if text == "off" { Some(None) } else { parse(text) })?
    }

    fn lifetimes(&mut self) -> Lifetimes {
        Lifetimes {
            session: Span {
                idle: self.duration("SESSION_IDLE_TTL", "30m"),
                absolute: self.duration("SESSION_TTL", "24h"),
            },
            remember: Span {
                idle: self.duration("REMEMBER_IDLE_TTL", "14d"),
                absolute: self.duration("REMEMBER_TTL", "90d"),
            },
            access_token: self.duration("ACCESS_TOKEN_TTL", "15m"),
            refresh_grace: self.grace(),
            last_seen: self.read("LAST_SEEN_INTERVAL", A_TIME, parse_duration),
        }
    }

    fn directory(&mut self) -> DirectoryConfig {
        let lookups = [("cached", SessionLookup::Cached), ("always", SessionLookup::Always)];
        let revocations = [("feed", JwtRevocation::Feed), ("off", JwtRevocation::Off)];
        let when_stale = [("serve", WhenStale::Serve), ("refuse", WhenStale::Refuse)];
        DirectoryConfig {
            staleness_bound: self.duration("STALENESS_BOUND", "1s"),
            session_cache_size: self.number("SESSION_CACHE_SIZE", 100_000, 1) as usize,
            session_lookup: self.choice("SESSION_LOOKUP", lookups),
            jwt_revocation: self.choice("JWT_REVOCATION", revocations),
            jwt_when_stale: self.choice("JWT_WHEN_STALE", when_stale),
        }
    }

    fn passwords(&mut self) -> PasswordConfig {
        let memory = self.number("ARGON2_MEMORY_KIB", 19_456, 8);
        let iterations = self.number("ARGON2_ITERATIONS", 2, 1);
        let parallelism = self.number("ARGON2_PARALLELISM", 1, 1);
        let argon2 = argon2::Params::new(memory, iterations, parallelism, None).unwrap_or_else(|error| {
            self.errors.push(format!("ARGON2_MEMORY_KIB, ARGON2_ITERATIONS, ARGON2_PARALLELISM: {error}"));
            argon2::Params::DEFAULT
        });
        if let Err(limits) = PasswordConfig::check_argon2(memory, iterations) {
            self.wrong("ARGON2_MEMORY_KIB, ARGON2_ITERATIONS", &format!("{limits} at most"));
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        PasswordConfig {
            min_length: self.number("PASSWORD_MIN_LENGTH", 15, 8) as usize,
            argon2,
            concurrency: self.number("HASH_CONCURRENCY", cores, 1) as usize,
        }
    }

    fn limits(&mut self) -> RateLimits {
        RateLimits {
            login: self.limit("LOGIN_LIMIT", 60),
            register: self.limit("REGISTER_LIMIT", 30),
            refresh: self.limit("REFRESH_LIMIT", 600),
        }
    }

    fn limit(&mut self, name: &str, a_minute: u32) -> RateLimit {
        let expected = "a number of one or more and a time, such as 60/1m";
        let default = RateLimit { count: a_minute, per: Duration::from_secs(60) };
        self.read(name, expected, parse_limit).unwrap_or(default)
    }

    fn log(&mut self) -> LogConfig {
        let filter = self.read("LOG", "a filter such as info or dualauth=debug,info", |text| {
            EnvFilter::try_new(text).ok().map(|_| text.to_owned())
        });
        let formats = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
        LogConfig {
            filter: filter.unwrap_or_else(|| "info".to_owned()),
            format: self.choice("LOG_FORMAT", formats),
        }
    }

    fn traces(&mut self) -> Option<TracesConfig> {
        // Anything else counts as false (OpenTelemetry's specification, "Boolean value").
        let is_off = self.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let errors_before = self.errors.len();
        let is_wanted = self.read("OTEL_TRACES_EXPORTER", "otlp or none", |text| match text {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        });
        // Asked for in any case, so that a name with a slip is known for what it is.
        let (endpoint, headers, resource) = (self.collector(), self.collector_headers(), self.resource());
        let protocol = self.first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if is_off || is_wanted == Some(false) {
            // Nor does what is not used stop the start.
            self.errors.truncate(errors_before);
            return None;
        }
        let endpoint = endpoint.or_else(|| is_wanted.and_then(|_| of_signal(DEFAULT_COLLECTOR)))?;
        if let Some((name, _)) = protocol.filter(|(_, protocol)| protocol != "http/protobuf") {
            self.wrong(name, "http/protobuf: nothing else is sent");
        }
        Some(TracesConfig { endpoint, headers, resource })
    }

    /// The first of these that is set.
    fn first<const N: usize>(&mut self, names: [&'static str; N]) -> Option<(&'static str, String)> {
        let values = names.map(|name| self.text(name).map(|value| (name, value)));
        values.into_iter().flatten().next()
    }

    /// The signal's own endpoint is taken as it is; to that of all signals, its path is added.
    fn collector(&mut self) -> Option<Url> {
        let expected = "the URL of a collector such as http://localhost:4318, without a user or a query";
        let own = self.read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", expected, parse_endpoint);
        let of_all = self.read("OTEL_EXPORTER_OTLP_ENDPOINT", expected, of_signal);
        own.or(of_all)
    }

    fn collector_headers(&mut self) -> Vec<(String, SecretString)> {
        let given = self.first(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]);
        let pairs = given.map_or_else(Vec::new, |(name, text)| self.pairs(name, &text));
        pairs.into_iter().map(|(name, value)| (name, value.into())).collect()
    }

    /// The name has a setting of its own, which wins.
    fn resource(&mut self) -> Vec<(String, String)> {
        const NAME: &str = "service.name";
        let text = self.text("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut resource = self.pairs("OTEL_RESOURCE_ATTRIBUTES", &text);
        let name = self.text("OTEL_SERVICE_NAME");
        if name.is_some() || resource.iter().all(|(other, _)| other != NAME) {
            resource.retain(|(other, _)| other != NAME);
            resource.push((NAME.to_owned(), name.unwrap_or_else(|| "dualauth".to_owned())));
        }
        resource
    }

    fn pairs(&mut self, name: &str, text: &str) -> Vec<(String, String)> {
        opentelemetry::pairs(text).unwrap_or_else(|| {
            self.wrong(name, "name=value pairs with commas in between, values percent-encoded");
            Vec::new()
        })
    }
}

/// Whether it can be somebody's, by the public suffix list.
fn is_below_public_suffix(domain: &str) -> bool {
    domain.contains('.') && psl::domain_str(domain).is_some()
}

fn of_signal(text: &str) -> Option<Url> {
    let mut url = parse_endpoint(text)?;
    url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
    Some(url)
}

fn parse_endpoint(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(public_url::is_plain)
}

/// As addresses are compared: an IPv4 network in IPv6's clothes is that IPv4 network, and bits behind the prefix say nothing.
fn parse_network(text: &str) -> Result<IpNet, String> {
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

fn parse_limit(text: &str) -> Option<RateLimit> {
    let (count, per) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
    Some(RateLimit { count, per: parse_duration(per.trim())? })
}

fn parse_duration(text: &str) -> Option<Duration> {
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

/// RFC 6749, appendix A.1.
fn client_id(text: &str) -> Option<String> {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
        let read = super::read(|name| {
            settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        });
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
            let directory = read(settings).expect("they are right").directory;
            (directory.session_lookup, directory.jwt_revocation, directory.jwt_when_stale)
        };
        let default = (SessionLookup::Cached, JwtRevocation::Feed, WhenStale::Serve);
        let usual = [("SESSION_LOOKUP", "cached"), ("JWT_REVOCATION", "feed"), ("JWT_WHEN_STALE", "serve")];
        assert_eq!((of(&[]), of(&usual)), (default, default));
        let textbook =
            [("SESSION_LOOKUP", "always"), ("JWT_REVOCATION", "off"), ("JWT_WHEN_STALE", "refuse")];
        assert_eq!(of(&textbook), (SessionLookup::Always, JwtRevocation::Off, WhenStale::Refuse));

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
        let error =
            read(&[("APP_SECRET", ""), ("DATABASE_URL", " ")]).expect_err("another database and secret");
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

    #[test]
    fn opentelemetry_s_own_settings_say_whether_and_where_spans_go() {
        let of = |settings: &[(&str, &str)]| {
            read(settings).map(|config| config.traces.map(|traces| traces.endpoint.to_string()))
        };
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/otlp/");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own:4318/in");
        let to = |url: &str| Ok(Some(url.to_owned()));
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[all]), to("http://all:4318/otlp/v1/traces"));
        assert_eq!(of(&[own]), to("http://own:4318/in"));
        assert_eq!(of(&[all, own]), to("http://own:4318/in"));
        assert_eq!(of(&[("OTEL_TRACES_EXPORTER", "otlp")]), to("http://localhost:4318/v1/traces"));
        for on in ["false", "False", "1", "yes", "no", "0", ""] {
            assert_eq!(of(&[all, ("OTEL_SDK_DISABLED", on)]), to("http://all:4318/otlp/v1/traces"), "{on}");
        }
        for off in
            [("OTEL_SDK_DISABLED", "true"), ("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")]
        {
            assert_eq!(of(&[all, own, off]), Ok(None), "{off:?}");
        }
        for wrong in [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_EXPORTER", "otlp,console"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ] {
            let error = of(&[all, wrong]).expect_err(wrong.1);
            assert!(error.contains(wrong.0) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_off_stops_nothing() {
        let of = |settings: &[(&str, &str)]| read(settings).map(|config| config.traces.is_some());
        for unusable in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "unix:/run/x"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_EXPORTER_OTLP_HEADERS_FILE", "/nowhere"),
            ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ] {
            for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
                assert_eq!(of(&[off, unusable]), Ok(false), "{off:?} {unusable:?}");
            }
            // Of which other errors are no part.
            let error = of(&[("OTEL_SDK_DISABLED", "true"), unusable, ("SESSION_TTL", "soon")]);
            let error = error.expect_err("a time");
            assert!(error.contains("SESSION_TTL") && !error.contains("OTEL"), "{error}");
        }
        assert_eq!(of(&[("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "zipkin")]), Ok(false));
        assert!(
            of(&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")]).is_err()
        );
    }

    #[test]
    fn the_service_is_called_what_is_said_last_of_its_name() {
        let of = |settings: &[(&str, &str)]| {
            let all = [&[("OTEL_TRACES_EXPORTER", "otlp")], settings].concat();
            let resource = read(&all).expect("they are right").traces.expect("they are on").resource;
            resource.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        };
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,team=b%2Cc");
        assert_eq!(of(&[]), "service.name=dualauth");
        assert_eq!(of(&[attributes]), "service.name=a,team=b,c");
        assert_eq!(of(&[attributes, ("OTEL_SERVICE_NAME", "d")]), "team=b,c,service.name=d");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::properties::{check, near_misses};

    const UNITS: [(&str, u128); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

    /// The same, without a limit of its own: digits and a unit.
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
            prop_assert_eq!(parse_duration(&text), expected(&text));
            Ok(())
        });
    }
}
