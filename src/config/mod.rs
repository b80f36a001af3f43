//! The settings: the only code that reads the environment. Reports all invalid settings at once.

mod challenges;
mod dotenv;
mod jwt;
mod lifetimes;
mod listen;
mod mail;
mod opentelemetry;
mod origin;
mod parse;
mod passkeys;
mod passwords;
mod providers;
mod public_url;
mod reader;
mod return_to;
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

pub use self::challenges::{ChallengeConfig, RegistrationPolicy};
pub use self::jwt::{JwtAlgorithm, JwtConfig, KeyFile};
pub use self::lifetimes::{IdleAndAbsolute, Lifetimes};
pub use self::listen::Listen;
pub use self::mail::{MailConfig, SmtpConfig, SmtpCredentials, SmtpSecurity};
pub use self::passkeys::PasskeyConfig;
pub use self::passwords::PasswordConfig;
pub use self::providers::{AppleKey, ProviderConfig, ProviderCredential, ProviderKind};
pub use self::public_url::{OWN_PATHS, is_loopback};
pub use self::return_to::{ReturnToPattern, parse_return_to, serialized_origin};
use self::unknown_settings::GivenSettings;

/// All settings. `Debug` does not print their secrets.
#[derive(Clone, Debug)]
pub struct Config {
    /// `DATABASE_URL`; `None`: a private Postgres in [`Config::data_folder`].
    pub database_url: Option<SecretString>,
    /// `DATABASE_DIRECT_URL`: a connection that bypasses a pooler.
    pub database_direct_url: DirectUrl,
    /// `DATABASE_MAX_CONNECTIONS`: maximum number of connections for requests.
    pub database_max_connections: u32,
    /// The folder for data of this checkout, such as the private Postgres.
    pub data_folder: PathBuf,
    /// `LISTEN`.
    pub listen: Listen,
    /// `METRICS_LISTEN`: where `/metrics` is served; `None`: not at all.
    pub metrics_listen: Option<Listen>,
    /// `KEEP_ALIVE`: how long an idle connection stays open.
    pub keep_alive: Duration,
    /// `PUBLIC_URL`: where clients reach the service, optionally with a path, without a trailing slash. By default
    /// the listening address; required with a Unix socket.
    pub public_url: Option<Url>,
    /// `APP_SECRET`, with `APP_SECRET_PREVIOUS` if that is set; `None`: one is generated and stored in the database.
    pub app_secret: Option<AppSecret>,
    /// `ALLOWED_ORIGINS`: other origins whose pages may call the service, serialized (RFC 6454, section 6.2).
    pub allowed_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: networks whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// `COOKIE_DOMAIN`; `None`: cookies are sent to this host only.
    pub cookie_domain: Option<String>,
    /// `COOKIE_NAME_PREFIX`: prefix of cookie names, after `__Host-`; may be empty.
    pub cookie_name_prefix: String,
    /// Settings of access tokens and signing keys.
    pub jwt: JwtConfig,
    /// Lifetimes of logins and tokens.
    pub lifetimes: Lifetimes,
    /// Settings of a node's in-memory knowledge about logins.
    pub login_memory: SessionCacheAndRevocationConfig,
    /// Settings of passwords and their hashes.
    pub passwords: PasswordConfig,
    /// Rate limits per client network.
    pub limits: RateLimits,
    /// Settings of mails.
    pub mail: MailConfig,
    /// `STEP_UP_MAX_AGE`: how long a login counts as fresh after its last authentication.
    pub step_up_max_age: Duration,
    /// Settings of challenges and registration.
    pub challenges: ChallengeConfig,
    /// Settings of passkeys.
    pub passkeys: PasskeyConfig,
    /// The providers in `PROVIDERS`, in the order of the file.
    pub providers: Vec<ProviderConfig>,
    /// `RETURN_TO`: where a sign-in by a provider may return to, besides our own pages and those of `ALLOWED_ORIGINS`.
    pub return_to: Vec<ReturnToPattern>,
    /// `AUDIT_RETENTION`: how long audit events are kept.
    pub audit_retention: Duration,
    /// Settings of the log.
    pub log: LogConfig,
    /// Settings of trace export; `None`: spans are not exported.
    pub traces: Option<TracesConfig>,
    /// Variables that look like settings but are unknown.
    pub unknown: Vec<UnknownSetting>,
}

/// A variable that looks like a setting but is not read by anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSetting {
    /// Its name.
    pub name: String,
    /// Why it looks like a setting.
    pub why: UnknownSettingReason,
}

/// Why an unknown variable looks like a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownSettingReason {
    /// Its name resembles this setting's, or is another program's name for it.
    Meant(String),
    /// It has the prefix `DUALAUTH_`.
    Prefix,
    /// It is in `.env`, which is for settings only.
    InFile,
    /// It is an OpenTelemetry setting that is not supported.
    OpenTelemetry,
    /// It is a boolean OpenTelemetry setting whose value is neither `true` nor `false`.
    NotBoolean,
}

/// Settings of a node's in-memory knowledge about logins.
#[derive(Clone, Copy, Debug)]
pub struct SessionCacheAndRevocationConfig {
    /// `STALENESS_BOUND`: maximum age of the last poll of the revocation feed at which memory counts as fresh.
    pub staleness_bound: Duration,
    /// `SESSION_CACHE_SIZE`: maximum number of cached sessions.
    pub session_cache_size: usize,
    /// `SESSION_LOOKUP`.
    pub session_lookup: SessionLookup,
    /// `JWT_REVOCATION`.
    pub jwt_revocation: JwtRevocation,
    /// `JWT_WHEN_STALE`.
    pub jwt_when_stale: StaleTokenPolicy,
}

/// How the login of a session request is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLookup {
    /// In memory while that is fresh, otherwise in Postgres.
    Cached,
    /// Always in Postgres, as in textbooks.
    Always,
}

/// Whether access tokens can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtRevocation {
    /// Yes, by the revocation feed.
    Feed,
    /// No: they are valid until they expire, as in textbooks.
    Off,
}

/// How access tokens are treated while the revocation feed is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleTokenPolicy {
    /// They are still accepted.
    Serve,
    /// Requests are answered with 503.
    Refuse,
}

/// Rate limits per client network, for attempts that could guess a secret, or that cost the server more than the
/// client.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// `LOGIN_LIMIT`: failed authentications, at sign-in and at a change of password.
    pub login: RateLimit,
    /// `REGISTER_LIMIT`: registrations.
    pub register: RateLimit,
    /// `REFRESH_LIMIT`: renewals, in both modes; and, each counted apart, challenges for anybody's passkey and for
    /// providers.
    pub refresh: RateLimit,
    /// `MAIL_LIMIT`: challenges that send a mail.
    pub mail: RateLimit,
}

/// A limit: a burst of `count`, which is regained evenly within `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// At least 1.
    pub count: u32,
    /// The period.
    pub per: Duration,
}

/// Settings of the log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `LOG`: a filter of the tracing crate.
    pub filter: String,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
}

/// Settings of trace export.
#[derive(Clone, Debug)]
pub struct TracesConfig {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or derived from `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector's URL for
    /// spans, by OTLP over HTTP.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_HEADERS`: headers of each request to the collector,
    /// which may contain a credential.
    pub headers: Vec<(String, SecretString)>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`: the service's name and other attributes.
    pub resource: Vec<(String, String)>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// All invalid settings, each with what is expected.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// One line per setting.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid settings:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The path of `PUBLIC_URL`, such as `/auth`; empty when it has none.
    pub fn base_path(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| url.path().trim_end_matches('/'))
    }

    /// Reads `.env` in the working directory, and the environment, which has priority.
    ///
    /// # Errors
    /// All invalid settings, or an invalid `.env`.
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
                    // They are meant for another server, but sqlx would apply them to the private Postgres.
                    dotenv::clear_variable("PGOPTIONS");
                }
                if config.traces.is_some() {
                    unknown.extend(opentelemetry::ineffective(&values, &known));
                }
                Ok(Self { unknown, ..config })
            }
            read => {
                Err(ConfigError(read.err().into_iter().flat_map(|error| error.0).chain(refused).collect()))
            }
        }
    }

    /// Reads `LISTEN` alone: the other settings may be invalid. `.env` must have been read by [`Config::from_env`] before.
    ///
    /// # Errors
    /// `LISTEN` is invalid, or the file that `LISTEN_FILE` names can't be read.
    pub fn listen_from_env() -> Result<Listen, ConfigError> {
        reader::read_listen(|name| std::env::var(name).ok()).map_err(ConfigError)
    }

    /// Reads the settings from `vars`, and from the files that `NAME_FILE` names. An empty value counts as not set,
    /// but is an error where that would select another database or secret.
    ///
    /// # Errors
    /// All invalid settings.
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
            ("SMTP_URL", "smtps://me:hunter2@localhost"),
        ];
        let value =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        let printed = format!("{:?}", Config::from_vars(value).expect("they are right"));
        assert!(!printed.contains("thirty") && !printed.contains("hunter2"), "{printed}");
    }
}
