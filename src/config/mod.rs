//! The settings: the only reader of the environment, which reports every bad setting at once.

mod dotenv;
mod jwt;
mod lifetimes;
mod listen;
mod opentelemetry;
mod origin;
mod parse;
mod passwords;
mod public_url;
mod reader;
mod source;
mod unknown_settings;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::crypto::AppSecret;
use crate::database::DirectUrl;

pub use self::jwt::{JwtAlgorithm, JwtConfig, KeyFile};
pub use self::lifetimes::{IdleAndAbsolute, Lifetimes};
pub use self::listen::Listen;
pub use self::passwords::PasswordConfig;
pub use self::public_url::OWN_PATHS;
use self::unknown_settings::GivenSettings;

/// Everything that can be set. Secrets in it are not printed by `Debug`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`; none: a private Postgres below [`Config::data_folder`].
    pub database_url: Option<SecretString>,
    /// `DATABASE_DIRECT_URL`: a way past a pooler.
    pub database_direct_url: DirectUrl,
    /// `DATABASE_MAX_CONNECTIONS`: how many there are for requests at most.
    pub database_max_connections: u32,
    /// Where what belongs to this checkout is kept.
    pub data_folder: PathBuf,
    /// `LISTEN`.
    pub listen: Listen,
    /// `METRICS_LISTEN`: where `/metrics` is; none: nowhere.
    pub metrics_listen: Option<Listen>,
    /// `KEEP_ALIVE`: how long a connection without a request stays open.
    pub keep_alive: Duration,
    /// `PUBLIC_URL`: where clients reach the service, maybe with a path, which has no slash at its end; none: where it
    /// listens, and never beside a Unix socket.
    pub public_url: Option<Url>,
    /// `APP_SECRET`, with `APP_SECRET_PREVIOUS` if that is set; none: one is made and kept in the database.
    pub app_secret: Option<AppSecret>,
    /// `ALLOWED_ORIGINS`: other origins whose pages may call, in their serialised form (RFC 6454, section 6.2).
    pub allowed_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `COOKIE_DOMAIN`; none: cookies go back to this host alone.
    pub cookie_domain: Option<String>,
    /// `COOKIE_NAME_PREFIX`: what stands before the cookies' names, after `__Host-`; empty: nothing.
    pub cookie_name_prefix: String,
    /// What access tokens say.
    pub jwt: JwtConfig,
    /// How long logins and tokens live.
    pub lifetimes: Lifetimes,
    /// What a node remembers of logins, and when that will do.
    pub directory: DirectoryConfig,
    /// What passwords must be and what a hash costs.
    pub passwords: PasswordConfig,
    /// How often one network may try.
    pub limits: RateLimits,
    /// `STEP_UP_MAX_AGE`: how long after its last proof a login is fresh.
    pub step_up_max_age: Duration,
    /// `AUDIT_RETENTION`: how long events of the audit trail are kept.
    pub audit_retention: Duration,
    /// What is logged and how.
    pub log: LogConfig,
    /// Where spans go; none: nowhere.
    pub traces: Option<TracesConfig>,
    /// What looks like a setting and is none.
    pub unknown: Vec<UnknownSetting>,
}

/// A variable that looks like a setting and is none: nothing reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSetting {
    /// Its name.
    pub name: String,
    /// What it is taken for a setting by.
    pub why: UnknownReason,
}

/// What a variable that nothing reads is taken for a setting by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// It is called like this setting, or is what others call it.
    Meant(String),
    /// It begins with `DUALAUTH_`.
    Prefix,
    /// It stands in `.env`, where everything is a setting.
    InFile,
    /// It is OpenTelemetry's, and not followed here.
    OpenTelemetry,
    /// It is OpenTelemetry's, and what it is set to is neither `true` nor `false`.
    NotBoolean,
}

/// What a node remembers of logins, and when that will do.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryConfig {
    /// `STALENESS_BOUND`: how long ago the revocation feed may have been read for memory to be believed.
    pub staleness_bound: Duration,
    /// `SESSION_CACHE_SIZE`: how many sessions are remembered at most.
    pub session_cache_size: usize,
    /// `SESSION_LOOKUP`.
    pub session_lookup: SessionLookup,
    /// `JWT_REVOCATION`.
    pub jwt_revocation: JwtRevocation,
    /// `JWT_WHEN_STALE`.
    pub jwt_when_stale: WhenStale,
}

/// How a session's request finds its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLookup {
    /// In memory while that is fresh, else in Postgres.
    Cached,
    /// In Postgres, every time: what textbooks describe.
    Always,
}

/// Whether an access token can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtRevocation {
    /// By the revocation feed.
    Feed,
    /// It can't, and lives until it expires: what textbooks describe.
    Off,
}

/// What becomes of an access token while the revocation feed can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// It goes on being accepted.
    Serve,
    /// The answer is 503.
    Refuse,
}

/// How often one network may try what can be guessed, or costs us more than it costs a stranger.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// `LOGIN_LIMIT`: failures to prove who one is, at sign-in and when the password is changed.
    pub login: RateLimit,
    /// `REGISTER_LIMIT`: accounts asked for.
    pub register: RateLimit,
    /// `REFRESH_LIMIT`: renewals asked for, in both modes.
    pub refresh: RateLimit,
}

/// So many at once, and then as many in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many, at least one.
    pub count: u32,
    /// In what time.
    pub per: Duration,
}

/// What is logged and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `LOG`: a filter of the tracing crate.
    pub filter: String,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
}

/// Where spans go.
#[derive(Clone, Debug)]
pub struct TracesConfig {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or what follows from `OTEL_EXPORTER_OTLP_ENDPOINT`: where a collector takes
    /// spans, by OTLP over HTTP.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_HEADERS`: what it wants with each request. There may be a
    /// credential among it.
    pub headers: Vec<(String, SecretString)>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`: what the service is called there, and what else is known of it.
    pub resource: Vec<(String, String)>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Every setting that is wrong, each with what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// One line for each.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings are wrong:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The path of `PUBLIC_URL`, such as `/auth`; empty when it has none.
    pub fn base_path(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| url.path().trim_end_matches('/'))
    }

    /// Reads `.env` of the working directory, then the environment, which wins.
    ///
    /// # Errors
    /// Every bad setting, and a `.env` that can't be read.
    pub fn from_env() -> Result<Self, ConfigError> {
        let in_file = dotenv::load(Path::new(".env")).map_err(|line| ConfigError(vec![line]))?;
        let asked = RefCell::new(BTreeSet::new());
        let not_utf8 = RefCell::new(BTreeSet::new());
        let read = Self::from_vars(|name| {
            asked.borrow_mut().insert(name.to_owned());
            let value = std::env::var_os(name)?.into_string();
            value.map_err(|_| not_utf8.borrow_mut().insert(format!("{name}: expected UTF-8"))).ok()
        });
        let values = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        let (values, known) = (values.collect::<BTreeMap<_, _>>(), asked.into_inner());
        let given = GivenSettings { values: &values, in_file: &in_file, known: &known };
        let mut unknown = given.unknown();
        let refused: Vec<_> = not_utf8.into_inner().into_iter().chain(given.refused(&unknown)).collect();
        match read {
            Ok(config) if refused.is_empty() => {
                if config.database_url.is_none() {
                    // sqlx would send them to the private Postgres; they are meant for another.
                    dotenv::empty("PGOPTIONS");
                }
                if config.traces.is_some() {
                    unknown.extend(opentelemetry::unfollowed(&values, &known));
                }
                Ok(Self { unknown, ..config })
            }
            read => {
                Err(ConfigError(read.err().into_iter().flat_map(|error| error.0).chain(refused).collect()))
            }
        }
    }

    /// `LISTEN` alone, however wrong the other settings are. It does not read `.env`: [`Config::from_env`] has.
    ///
    /// # Errors
    /// It is written in none of the ways that it can be, or its file can't be read.
    pub fn listen_from_env() -> Result<Listen, ConfigError> {
        reader::read_listen(|name| std::env::var(name).ok()).map_err(ConfigError)
    }

    /// Reads the settings from `vars`, and from the files that `NAME_FILE` names. An empty value counts as not set, unless it
    /// would mean another database or secret.
    ///
    /// # Errors
    /// Every bad setting at once.
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        reader::read(vars).map_err(ConfigError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let settings = [
            ("APP_SECRET", "a secret of thirty-two bytes, at least"),
            ("DATABASE_URL", "postgres://me:hunter2@localhost/db"),
        ];
        let value =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        let printed = format!("{:?}", Config::from_vars(value).expect("they are right"));
        assert!(!printed.contains("thirty") && !printed.contains("hunter2"), "{printed}");
    }
}
