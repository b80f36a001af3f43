//! Detects variables that look like settings but have no effect, such as misspelt ones.

use std::collections::{BTreeMap, BTreeSet};

use super::{UnknownSetting, UnknownSettingReason};

/// A prefix that other programs use for their settings' names.
const PREFIX: &str = "DUALAUTH_";

/// Words in names of database settings: `PGHOST`, `POSTGRES_URL`, `DB_NAME`, `HEROKU_POSTGRESQL_RED_URL`.
const DATABASES: [&str; 8] = ["PG", "PGBOUNCER", "POSTGRES", "POSTGRESQL", "PGSQL", "DB", "DATABASE", "RDS"];

/// Further words in names of settings that select a database.
const OF_A_DATABASE: [&str; 21] = [
    "URL",
    "URI",
    "DSN",
    "HOST",
    "HOSTADDR",
    "HOSTNAME",
    "SERVER",
    "ENDPOINT",
    "ADDR",
    "ADDRESS",
    "NAME",
    "SERVICE",
    "PASSWORD",
    "PASSWD",
    "PASS",
    "CONNECTION",
    "CONNECTIONSTRING",
    "CONNECTIONSTRINGS",
    "CONNINFO",
    "CONNSTR",
    "STRING",
];

/// Further words in names of settings that say how to connect to a database.
const OF_A_WAY_TO_IT: [&str; 5] = ["PORT", "USER", "USERNAME", "PASSFILE", "SERVICEFILE"];

/// Prefixes of Postgres URLs, which are recognised in variables of any name.
const SCHEMES: [&str; 4] = ["postgres:", "postgresql:", "postgresql+", "jdbc:postgresql:"];

/// Words for the owner of a secret. Only with one of them is a `KEY` a secret: not every `SERVER_KEY` is.
const OWNERS_OF_A_SECRET: [&str; 13] = [
    "APP",
    "APPLICATION",
    "AUTH",
    "NEXTAUTH",
    "SESSION",
    "COOKIE",
    "JWT",
    "TOKEN",
    "SIGNING",
    "ENCRYPTION",
    "MASTER",
    "DJANGO",
    "FLASK",
];

/// Other words that such a name may contain. With any other word it belongs to something else:
/// `AWS_SECRET_ACCESS_KEY`.
const OF_A_SECRET: [&str; 24] = [
    "SECRET", "KEY", "KEYS", "FILE", "PATH", "BASE", "BASE64", "B64", "HEX", "PEM", "RAW", "STRING", "VALUE",
    "NEW", "OLD", "CURRENT", "PREVIOUS", "PRIVATE", "ACCESS", "REFRESH", "BETTER", "SERVER", "RAILS",
    "LARAVEL",
];

/// Other programs' names for settings.
const ELSEWHERE: [(&str, &[&str]); 7] = [
    (
        "DATABASE_URL",
        &["DSN", "DIRECT_URL", "JDBC_URL", "SPRING_DATASOURCE_URL", "DATASOURCE_URL", "CONNECTION_STRING"],
    ),
    (
        "LISTEN",
        &[
            "PORT",
            "HOST",
            "BIND",
            "BIND_ADDR",
            "BIND_ADDRESS",
            "ADDR",
            "ADDRESS",
            "LISTEN_ADDR",
            "LISTEN_ADDRESS",
            "LISTEN_HOST",
            "LISTEN_PORT",
            "HTTP_PORT",
            "SERVER_HOST",
            "SERVER_PORT",
            "SERVER_ADDRESS",
        ],
    ),
    ("PUBLIC_URL", &["BASE_URL", "SITE_URL", "APP_URL", "ROOT_URL", "EXTERNAL_URL", "SERVER_URL"]),
    (
        "SMTP_URL",
        &[
            "SMTP_HOST",
            "SMTP_SERVER",
            "SMTP_DSN",
            "SMTP_URI",
            "MAIL_URL",
            "MAILER_DSN",
            "MAIL_HOST",
            "EMAIL_URL",
            "EMAIL_HOST",
        ],
    ),
    ("MAIL_FROM", &["SMTP_FROM", "EMAIL_FROM", "FROM_EMAIL", "MAIL_FROM_ADDRESS", "DEFAULT_FROM_EMAIL"]),
    ("LOG", &["LOG_LEVEL", "LOGLEVEL", "RUST_LOG"]),
    (
        "ALLOWED_ORIGINS",
        &["CORS_ORIGIN", "CORS_ORIGINS", "CORS_ALLOWED_ORIGINS", "CORS_ALLOW_ORIGIN", "CORS_ALLOW_ORIGINS"],
    ),
];

/// Settings whose misspelling must be an error, since another database or secret would be used.
const VITAL: [&str; 3] = ["DATABASE_URL", "APP_SECRET", "JWT_KEY_FILE"];

/// What is set.
pub(super) struct GivenSettings<'a> {
    /// The environment, including `.env`.
    pub(super) values: &'a BTreeMap<String, String>,
    /// The names in `.env`.
    pub(super) in_file: &'a [String],
    /// The names that the reader looked up, set or not.
    pub(super) known: &'a BTreeSet<String>,
}

impl GivenSettings<'_> {
    /// Variables that look like a setting or are in `.env`, and are not read.
    pub(super) fn unknown(&self) -> Vec<UnknownSetting> {
        let names: BTreeSet<&String> = self.values.keys().chain(self.in_file).collect();
        let unknown = names.into_iter().filter(|name| !self.known.contains(*name));
        let unknown = unknown.filter_map(|name| {
            self.unknown_reason(name).map(|why| UnknownSetting { name: name.clone(), why })
        });
        unknown.collect()
    }

    /// Errors for those whose misspelling would select another database or secret, with advice.
    pub(super) fn refused(&self, unknown: &[UnknownSetting]) -> Vec<String> {
        let vital = unknown.iter().filter_map(|UnknownSetting { name, why }| match why {
            UnknownSettingReason::Meant(meant) if VITAL.contains(&meant.as_str()) && !self.is_set(meant) => {
                Some((name, meant))
            }
            _ => None,
        });
        let vital = vital.filter(|(name, _)| !is_way(name) || is_postgres_url(self.value(name)));
        vital.map(|(name, meant)| refusal(name, meant)).collect()
    }

    fn is_set(&self, setting: &str) -> bool {
        let names = [setting.to_owned(), format!("{setting}_FILE")];
        names.iter().any(|name| self.known.contains(name) && self.values.contains_key(name))
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value.trim())
    }

    fn unknown_reason(&self, name: &str) -> Option<UnknownSettingReason> {
        let value = self.value(name);
        // Empty values are ignored, such as from `X: ${X}` in a docker compose file where X is not set.
        if value.is_empty() || is_service_link(name, value) {
            return None;
        }
        // Together with DATABASE_URL, they supply its missing parts.
        if is_libpq(name) && self.is_set("DATABASE_URL") {
            return None;
        }
        if is_postgres_url(value) {
            return Some(UnknownSettingReason::Meant("DATABASE_URL".to_owned()));
        }
        if let Some(meant) = self.likely_setting(name) {
            return Some(UnknownSettingReason::Meant(meant));
        }
        if name.to_ascii_uppercase().starts_with(PREFIX) {
            return Some(UnknownSettingReason::Prefix);
        }
        self.in_file.contains(&name.to_owned()).then_some(UnknownSettingReason::InFile)
    }

    /// The setting that was probably meant.
    fn likely_setting(&self, name: &str) -> Option<String> {
        let bare = without_prefix(name);
        let called = bare.trim_end_matches("_FILE");
        if is_database(called) || is_way(called) {
            return Some("DATABASE_URL".to_owned());
        }
        if let Some((meant, _)) = ELSEWHERE.iter().find(|(_, names)| names.contains(&called)) {
            return Some((*meant).to_owned());
        }
        if let Some(meant) = likely_secret_setting(called) {
            return Some(meant.to_owned());
        }
        let close = self.known.iter().filter_map(|setting| Some((typos(&bare, setting)?, setting)));
        let close = close.min().map(|(_, setting)| self.without_file(setting));
        // Such as APP_SECRET_V2.
        let own = || VITAL.into_iter().find(|setting| bare.starts_with(setting));
        close.or_else(own).map(str::to_owned)
    }

    /// The setting of which this is the `_FILE` variant.
    fn without_file<'a>(&self, name: &'a str) -> &'a str {
        name.strip_suffix("_FILE").filter(|setting| self.known.contains(*setting)).unwrap_or(name)
    }
}

fn refusal(name: &str, meant: &str) -> String {
    let (what, otherwise) = match meant {
        "DATABASE_URL" => ("a database", "a private Postgres is used"),
        _ => ("a secret", "one is generated and stored in the database"),
    };
    format!(
        "{name} looks like a setting for {what}, but has no effect. Set {meant}, or remove {name}: then {otherwise}"
    )
}

/// The name without a foreign prefix.
fn without_prefix(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix(PREFIX).unwrap_or(&name).to_owned()
}

/// Whether the name seems to select a database; `DATABASE` alone does.
fn is_database(name: &str) -> bool {
    let words = words(name);
    let is_about_one = words.iter().any(is_one_of(&DATABASES));
    is_about_one && (words.iter().any(is_one_of(&OF_A_DATABASE)) || words.iter().all(is_one_of(&DATABASES)))
}

/// Whether the name seems to say how to connect to a database, not which one.
fn is_way(name: &str) -> bool {
    let bare = without_prefix(name);
    let words = words(bare.trim_end_matches("_FILE"));
    words.iter().any(is_one_of(&DATABASES))
        && words.iter().any(is_one_of(&OF_A_WAY_TO_IT))
        && !words.iter().any(is_one_of(&OF_A_DATABASE))
}

/// The setting for a secret with this name.
fn likely_secret_setting(name: &str) -> Option<&'static str> {
    let words = words(name);
    let has = |word: &str| words.contains(&word);
    let (is_owner, is_other) = (is_one_of(&OWNERS_OF_A_SECRET), is_one_of(&OF_A_SECRET));
    if !words.iter().all(|word| is_owner(word) || is_other(word)) {
        return None;
    }
    if has("SECRET") {
        return Some("APP_SECRET");
    }
    let is_key = (has("KEY") || has("KEYS")) && words.iter().any(is_owner);
    is_key.then_some(if has("JWT") { "JWT_KEY_FILE" } else { "APP_SECRET" })
}

fn is_one_of(words: &[&str]) -> impl Fn(&&str) -> bool {
    move |word| words.contains(word)
}

/// The words of a name. `PGHOST` and `DBNAME` are split into two.
fn words(name: &str) -> Vec<&str> {
    let is_known = |word: &str| {
        [&DATABASES[..], &OF_A_DATABASE, &OF_A_WAY_TO_IT].iter().any(|words| words.contains(&word))
    };
    let parts = name.split(['_', '.']).filter(|word| !word.is_empty());
    let split = parts.flat_map(|word| {
        let first = DATABASES.into_iter().find(|first| word.strip_prefix(first).is_some_and(is_known));
        let (first, rest) = first.map_or((word, ""), |first| word.split_at(first.len()));
        [first, rest]
    });
    split.filter(|word| !word.is_empty()).collect()
}

fn is_postgres_url(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    value.contains("://") && SCHEMES.iter().any(|scheme| value.starts_with(scheme))
}

/// Whether it is one of libpq's variables (Postgres documentation, section 34.15).
fn is_libpq(name: &str) -> bool {
    name.starts_with("PG") && !name.contains('_')
}

/// Whether Kubernetes has set it: each container gets variables for all services.
fn is_service_link(name: &str, value: &str) -> bool {
    let port = name.split_once("_PORT").map(|(_, rest)| rest);
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || port.is_some_and(|rest| rest.starts_with('_') || value.contains("://"))
}

/// Number of typing errors that make this name of the setting's; `None` if there are too many.
fn typos(name: &str, setting: &str) -> Option<usize> {
    let allowed = typos_allowed(setting);
    // At least as many as they differ in length. Comparing every variable with every setting would be half of a start.
    if name.chars().count().abs_diff(setting.len()) > allowed {
        return None;
    }
    Some(strsim::osa_distance(name, setting)).filter(|typos| *typos <= allowed)
}

/// Number of typing errors with which a name is still recognised. Fewer in short names, where an error makes another
/// word: LOG and LANG.
fn typos_allowed(setting: &str) -> usize {
    (setting.len() / 5).min(3)
}

#[cfg(test)]
mod tests;
