//! Reads and validates each setting, and collects all errors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::parse;
use super::source::SettingValues;
use super::{
    ChallengeConfig, Config, IdleAndAbsolute, JwtAlgorithm, JwtConfig, JwtRevocation, KeyFile, Lifetimes,
    Listen, LogConfig, LogFormat, MailConfig, PasskeyConfig, PasswordConfig, RateLimit, RateLimits,
    ReturnToPattern, SessionCacheAndRevocationConfig, SessionLookup, StaleTokenPolicy, origin, providers,
    public_url,
};
use crate::crypto::{AppSecret, SecretBytes};
use crate::database::{DirectUrl, check_url};

/// The folder of the private Postgres, in the working directory.
const DATA_FOLDER: &str = ".data";

const A_TIME: &str = "a time such as 30s, 15m, 24h or 14d, of 3650d at most";

/// Minimum rotation period: twice as long as clients cache `jwks.json`.
const MIN_ROTATION: Duration = Duration::from_secs(10 * 60);

const DEFAULT_LISTEN: Listen = Listen::Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080));

const MINUTE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(60 * 60);

const DEFAULT_CLIENT_ID: &str = "dualauth";

/// All settings, or all errors.
pub(super) fn read(vars: impl Fn(&str) -> Option<String>) -> Result<Config, Vec<String>> {
    let mut reader = Reader::new(vars);
    let config = reader.config();
    if reader.errors.is_empty() { Ok(config) } else { Err(reader.errors) }
}

/// `LISTEN` alone, or its error.
pub(super) fn read_listen(vars: impl Fn(&str) -> Option<String>) -> Result<Listen, Vec<String>> {
    let mut reader = Reader::new(vars);
    let listen = reader.listen();
    if reader.errors.is_empty() { Ok(listen) } else { Err(reader.errors) }
}

/// Reads settings, and collects errors.
pub(super) struct Reader<V> {
    source: SettingValues<V>,
    pub(super) errors: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    fn new(vars: V) -> Self {
        Self { source: SettingValues::new(vars), errors: Vec::new() }
    }

    fn listen(&mut self) -> Listen {
        self.parse("LISTEN", Listen::EXPECTED).unwrap_or(DEFAULT_LISTEN)
    }

    fn config(&mut self) -> Config {
        let mail = MailConfig::read(self);
        let public_url = self.public_url();
        let config = Config {
            database_url: self.database_url("DATABASE_URL"),
            database_direct_url: self.direct_url(),
            database_max_connections: self.number("DATABASE_MAX_CONNECTIONS", 10, 1),
            data_folder: PathBuf::from(DATA_FOLDER),
            listen: self.listen(),
            metrics_listen: self.parse("METRICS_LISTEN", Listen::EXPECTED),
            keep_alive: self.duration("KEEP_ALIVE", "75s"),
            app_secret: self.app_secret(),
            allowed_origins: self.list("ALLOWED_ORIGINS", origin::parse),
            trusted_proxies: self.list("TRUSTED_PROXIES", parse::network),
            cookie_domain: self.cookie_domain(),
            cookie_name_prefix: self.cookie_name_prefix(),
            jwt: self.jwt(),
            lifetimes: self.lifetimes(),
            login_memory: self.login_memory(),
            passwords: self.passwords(),
            limits: self.limits(),
            step_up_max_age: self.duration("STEP_UP_MAX_AGE", "10m"),
            challenges: ChallengeConfig::read(self, &mail),
            mail,
            passkeys: PasskeyConfig::read(self, public_url.as_ref()),
            public_url,
            providers: providers::read(self),
            return_to: self.list("RETURN_TO", ReturnToPattern::parse),
            audit_retention: self.duration("AUDIT_RETENTION", "365d"),
            log: self.log(),
            traces: self.traces(),
            unknown: Vec::new(),
        };
        self.check_cookie_domain(&config);
        if matches!(config.database_direct_url, DirectUrl::Url(_)) && config.database_url.is_none() {
            self.push_error("DATABASE_URL", "the usual connection, since DATABASE_DIRECT_URL is set");
        }
        if matches!(config.listen, Listen::Unix(_)) && config.public_url.is_none() {
            self.push_error("PUBLIC_URL", "the URL that clients use, which LISTEN=unix:… does not tell");
        }
        config
    }

    /// The value as it was given.
    fn value(&mut self, name: &str) -> Option<String> {
        self.source.value(name).unwrap_or_else(|error| {
            self.errors.push(error);
            None
        })
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.trim().to_owned())
    }

    pub(super) fn push_error(&mut self, name: &str, expected: &str) {
        self.errors.push(format!("{name}: expected {expected}"));
    }

    /// `None` when it is not set, or is invalid, which adds an error.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.push_error(name, expected);
        }
        parsed
    }

    fn parse<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        self.read(name, expected, |text| text.parse().ok())
    }

    pub(super) fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let text = self.text(name).unwrap_or_default();
        let mut parsed = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match parse(item) {
                Ok(value) => parsed.push(value),
                Err(expected) => self.push_error(name, &expected),
            }
        }
        parsed
    }

    pub(super) fn duration(&mut self, name: &str, default: &str) -> Duration {
        let given = self.read(name, A_TIME, parse::duration);
        given.or_else(|| parse::duration(default)).unwrap_or_default()
    }

    /// `REFRESH_GRACE`, which may be zero.
    fn grace(&mut self) -> Duration {
        let parse = |text: &str| if text == "0s" { Some(Duration::ZERO) } else { parse::duration(text) };
        let expected = "a time such as 30s or 1m, of 3650d at most, or 0s";
        self.read("REFRESH_GRACE", expected, parse).unwrap_or(Duration::from_secs(30))
    }

    fn number(&mut self, name: &str, default: u32, least: u32) -> u32 {
        let expected = format!("a whole number of {least} or more");
        self.read(name, &expected, |text| text.parse().ok().filter(|number| *number >= least))
            .unwrap_or(default)
    }

    /// One of several words, by default the first.
    pub(super) fn choice<T: Copy, const N: usize>(&mut self, name: &str, choices: [(&str, T); N]) -> T {
        let expected = choices.map(|(word, _)| word).join(" or ");
        let chosen = |text: &str| choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        self.read(name, &expected, chosen).unwrap_or(choices[0].1)
    }

    fn database_url(&mut self, name: &str) -> Option<SecretString> {
        let text = self.text(name)?;
        if let Err(error) = check_url(&text) {
            // The error does not contain the password.
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
        parsed.map_err(|expected| self.push_error("PUBLIC_URL", &expected)).ok()
    }

    fn app_secret(&mut self) -> Option<AppSecret> {
        let previous = self.secret("APP_SECRET_PREVIOUS");
        match (self.secret("APP_SECRET"), previous) {
            (Some(secret), Some(previous)) => Some(secret.replacing(&previous)),
            (secret, None) => secret,
            (None, Some(_)) => {
                self.push_error("APP_SECRET", "the new secret, since APP_SECRET_PREVIOUS is set");
                None
            }
        }
    }

    fn secret(&mut self, name: &str) -> Option<AppSecret> {
        // Neither repeated in errors nor trimmed, since it is a secret.
        let value = self.value(name)?;
        let secret = AppSecret::new(value.into_bytes());
        if secret.is_none() {
            self.push_error(name, "32 bytes or more, such as the output of `openssl rand -base64 32`");
        }
        secret
    }

    fn cookie_domain(&mut self) -> Option<String> {
        let expected =
            "a domain such as example.com, and no public suffix such as co.uk: browsers refuse one";
        self.read("COOKIE_DOMAIN", expected, |text| {
            // A leading dot is ignored (RFC 6265, section 5.2.3).
            match Host::parse(text.strip_prefix('.').unwrap_or(text)) {
                Ok(Host::Domain(domain)) if parse::is_below_public_suffix(&domain) => {
                    Some(domain.to_string())
                }
                _ => None,
            }
        })
    }

    /// Allows only characters that no program encodes. Some programs encode others that a cookie's name may have (RFC
    /// 6265, section 4.1.1).
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
            self.push_error(
                "COOKIE_DOMAIN",
                "PUBLIC_URL's host or a parent of it: browsers refuse any other",
            );
        }
    }

    fn jwt(&mut self) -> JwtConfig {
        let config = JwtConfig {
            issuer: self.text("JWT_ISSUER"),
            audience: self.audience(),
            client_id: self
                .read("JWT_CLIENT_ID", "printable ASCII characters", parse::client_id)
                .unwrap_or_else(|| DEFAULT_CLIENT_ID.to_owned()),
            algorithm: self.choice("JWT_ALGORITHM", JwtAlgorithm::ALL.map(|it| (it.as_str(), it))),
            key_file: self.key_file(),
            rotation: self.rotation(),
        };
        if config.key_file.is_some() && config.rotation.is_some() {
            self.push_error(
                "KEY_ROTATION",
                "no value, since JWT_KEY_FILE is set: such keys are rotated by changing the file",
            );
        }
        config
    }

    /// Without duplicates.
    fn audience(&mut self) -> Vec<String> {
        let name = "JWT_AUDIENCE";
        let mut audience = Vec::new();
        for item in self.list(name, |item| Ok(item.to_owned())) {
            if !audience.contains(&item) {
                audience.push(item);
            }
        }
        if audience.is_empty() && self.text(name).is_some() {
            self.push_error(name, "comma-separated names");
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
        let expected = "off, or a time such as 30d, between 10m and 3650d: clients must have fetched a key before it signs";
        let parse = |text: &str| parse::duration(text).filter(|time| *time >= MIN_ROTATION).map(Some);
        self.read("KEY_ROTATION", expected, |text| if text == "off" { Some(None) } else { parse(text) })?
    }

    fn lifetimes(&mut self) -> Lifetimes {
        Lifetimes {
            session: IdleAndAbsolute {
                idle: self.duration("SESSION_IDLE_TTL", "30m"),
                absolute: self.duration("SESSION_TTL", "24h"),
            },
            remember: IdleAndAbsolute {
                idle: self.duration("REMEMBER_IDLE_TTL", "14d"),
                absolute: self.duration("REMEMBER_TTL", "90d"),
            },
            access_token: self.duration("ACCESS_TOKEN_TTL", "15m"),
            refresh_grace: self.grace(),
            last_seen: self.read("LAST_SEEN_INTERVAL", A_TIME, parse::duration),
        }
    }

    fn login_memory(&mut self) -> SessionCacheAndRevocationConfig {
        let lookups = [("cached", SessionLookup::Cached), ("always", SessionLookup::Always)];
        let revocations = [("feed", JwtRevocation::Feed), ("off", JwtRevocation::Off)];
        let when_stale = [("serve", StaleTokenPolicy::Serve), ("refuse", StaleTokenPolicy::Refuse)];
        SessionCacheAndRevocationConfig {
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
            self.push_error("ARGON2_MEMORY_KIB, ARGON2_ITERATIONS", &format!("{limits} at most"));
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
            login: self.limit("LOGIN_LIMIT", 60, MINUTE),
            register: self.limit("REGISTER_LIMIT", 30, MINUTE),
            refresh: self.limit("REFRESH_LIMIT", 600, MINUTE),
            mail: self.limit("MAIL_LIMIT", 20, HOUR),
        }
    }

    fn limit(&mut self, name: &str, count: u32, per: Duration) -> RateLimit {
        let expected = "a number of one or more and a time, such as 60/1m";
        self.read(name, expected, parse::rate_limit).unwrap_or(RateLimit { count, per })
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
}

#[cfg(test)]
mod tests;
