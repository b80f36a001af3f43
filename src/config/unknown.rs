//! Names that look like a setting and are none: nothing reads them, and whoever set them believes otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::{UnknownSetting, Why};

/// What others put before the names of their settings.
const PREFIX: &str = "DUALAUTH_";

/// What somebody who names a database elsewhere puts before and after: `PGHOST`, `POSTGRES_URL`, `DB_NAME`.
const DATABASES: [&str; 6] = ["PG", "PG_", "POSTGRES_", "POSTGRESQL_", "DB_", "DATABASE_"];
const OF_A_DATABASE: [&str; 17] = [
    "URL",
    "URI",
    "DSN",
    "HOST",
    "HOSTADDR",
    "HOSTNAME",
    "SERVER",
    "NAME",
    "DB",
    "DBNAME",
    "DATABASE",
    "SERVICE",
    "PASSWORD",
    "PASS",
    "CONNECTION",
    "CONNECTION_STRING",
    "CONNECTION_URL",
];

/// What says how to reach a database, and not which.
const OF_A_WAY_TO_IT: [&str; 5] = ["PORT", "USER", "USERNAME", "PASSFILE", "SERVICEFILE"];

/// What others call what is set here by another name.
const ELSEWHERE: [(&str, &[&str]); 7] = [
    (
        "DATABASE_URL",
        &[
            "SQLALCHEMY_DATABASE_URI",
            "SPRING_DATASOURCE_URL",
            "JDBC_DATABASE_URL",
            "JDBC_URL",
            "CONNECTION_STRING",
        ],
    ),
    (
        "APP_SECRET",
        &[
            "SECRET",
            "SECRET_KEY",
            "SECRET_KEY_BASE",
            "APP_KEY",
            "APP_SECRET_KEY",
            "AUTH_SECRET",
            "AUTH_SECRET_KEY",
            "NEXTAUTH_SECRET",
            "BETTER_AUTH_SECRET",
            "SESSION_SECRET",
            "SESSION_KEY",
            "COOKIE_SECRET",
            "COOKIE_KEY",
            "JWT_SECRET",
            "JWT_SECRET_KEY",
            "JWT_SIGNING_SECRET",
            "TOKEN_SECRET",
            "SIGNING_SECRET",
            "DJANGO_SECRET_KEY",
            "FLASK_SECRET_KEY",
            "ENCRYPTION_KEY",
            "MASTER_KEY",
        ],
    ),
    (
        "JWT_KEY_FILE",
        &["JWT_KEY", "JWT_PRIVATE_KEY", "JWT_SIGNING_KEY", "JWT_PRIVATE_KEY_PATH", "JWT_KEY_PATH"],
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
    ("LOG", &["LOG_LEVEL", "LOGLEVEL", "RUST_LOG"]),
    (
        "ALLOWED_ORIGINS",
        &["CORS_ORIGIN", "CORS_ORIGINS", "CORS_ALLOWED_ORIGINS", "CORS_ALLOW_ORIGIN", "CORS_ALLOW_ORIGINS"],
    ),
];

/// What must not be passed over, since another database or secret would be used instead.
const VITAL: [&str; 3] = ["DATABASE_URL", "APP_SECRET", "JWT_KEY_FILE"];

/// What is given.
pub(super) struct Given<'a> {
    /// The environment, that of `.env` included.
    pub(super) values: &'a BTreeMap<String, String>,
    /// The names in `.env`.
    pub(super) in_file: &'a [String],
    /// The names that were looked for, whether they were there or not.
    pub(super) known: &'a BTreeSet<String>,
}

impl Given<'_> {
    /// What looks like a setting, or stands in `.env`, and is read by nobody.
    pub(super) fn unknown(&self) -> Vec<UnknownSetting> {
        let names: BTreeSet<&String> = self.values.keys().chain(self.in_file).collect();
        let unknown = names.into_iter().filter(|name| !self.known.contains(*name));
        let unknown =
            unknown.filter_map(|name| self.why(name).map(|why| UnknownSetting { name: name.clone(), why }));
        unknown.collect()
    }

    /// Those of these in whose stead another database or secret would be used: what to do about each.
    pub(super) fn refused(&self, unknown: &[UnknownSetting]) -> Vec<String> {
        let vital = unknown.iter().filter_map(|UnknownSetting { name, why }| match why {
            Why::Meant(meant) if VITAL.contains(&meant.as_str()) && !self.is_set(meant) => {
                Some((name, meant))
            }
            _ => None,
        });
        vital.filter(|(name, _)| !is_way(name)).map(|(name, meant)| refusal(name, meant)).collect()
    }

    fn is_set(&self, setting: &str) -> bool {
        [setting.to_owned(), format!("{setting}_FILE")].iter().any(|name| self.values.contains_key(name))
    }

    fn why(&self, name: &str) -> Option<Why> {
        let value = self.values.get(name).map_or("", |value| value.trim());
        let is_in_file = self.in_file.contains(&name.to_owned());
        if value.is_empty() && !is_in_file || is_service_link(name, value) {
            return None;
        }
        // Beside DATABASE_URL they say what that leaves out.
        if is_libpq(name) && self.is_set("DATABASE_URL") {
            return None;
        }
        if let Some(meant) = self.meant(name) {
            return Some(Why::Meant(meant));
        }
        if name.to_ascii_uppercase().starts_with(PREFIX) {
            return Some(Why::Prefix);
        }
        is_in_file.then_some(Why::InFile)
    }

    /// The setting that somebody meant who wrote this.
    fn meant(&self, name: &str) -> Option<String> {
        let bare = bare(name);
        let called = bare.strip_suffix("_FILE").unwrap_or(&bare);
        if is_database(called) || is_way(called) {
            return Some("DATABASE_URL".to_owned());
        }
        if let Some((meant, _)) = ELSEWHERE.iter().find(|(_, names)| names.contains(&called)) {
            return Some((*meant).to_owned());
        }
        let close = self.known.iter().map(|setting| (strsim::osa_distance(&bare, setting), setting));
        let close = close.filter(|(distance, setting)| *distance <= slips_allowed(setting));
        close.min().map(|(_, setting)| self.without_file(setting).to_owned())
    }

    /// The setting that may also come from a file of this name.
    fn without_file<'a>(&self, name: &'a str) -> &'a str {
        name.strip_suffix("_FILE").filter(|setting| self.known.contains(*setting)).unwrap_or(name)
    }
}

fn refusal(name: &str, meant: &str) -> String {
    let (what, otherwise) = match meant {
        "DATABASE_URL" => ("a database", "a private Postgres is used"),
        _ => ("a secret", "one is made, and kept in the database"),
    };
    format!(
        "{name} seems to name {what}, and nothing here reads it. Set {meant}, or take {name} away: then {otherwise}"
    )
}

/// As it would be called here.
fn bare(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix(PREFIX).unwrap_or(&name).to_owned()
}

fn is_database(name: &str) -> bool {
    has_parts(name, &OF_A_DATABASE)
}

fn is_way(name: &str) -> bool {
    has_parts(&bare(name), &OF_A_WAY_TO_IT)
}

fn has_parts(name: &str, ends: &[&str]) -> bool {
    DATABASES.iter().any(|start| name.strip_prefix(start).is_some_and(|end| ends.contains(&end)))
}

/// Whether it is one of libpq's own variables (Postgres, section 34.15).
fn is_libpq(name: &str) -> bool {
    name.starts_with("PG") && !name.contains('_')
}

/// Whether Kubernetes has set it, which tells each container of every service by such names.
fn is_service_link(name: &str, value: &str) -> bool {
    let port = name.split_once("_PORT").map(|(_, rest)| rest);
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || port.is_some_and(|rest| rest.starts_with('_') || value.contains("://"))
}

/// How many slips leave a name recognisable. In a short one each makes another word: LOG and LANG.
fn slips_allowed(setting: &str) -> usize {
    (setting.len() / 5).min(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 9] = [
        "APP_SECRET",
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "JWT_KEY_FILE",
        "LISTEN",
        "LISTEN_FILE",
        "LOG",
        "SESSION_TTL",
        "SESSION_IDLE_TTL",
    ];

    /// What is unknown of these, each with what was meant, and how many of them are refused.
    fn found(given: &[(&str, &str)], in_file: &[&str]) -> (Vec<(String, Why)>, usize) {
        let values = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let in_file: Vec<String> = in_file.iter().map(|name| (*name).to_owned()).collect();
        let known = KNOWN.map(str::to_owned).into_iter().collect();
        let given = Given { values: &values, in_file: &in_file, known: &known };
        let unknown = given.unknown();
        let refused = given.refused(&unknown).len();
        (unknown.into_iter().map(|setting| (setting.name, setting.why)).collect(), refused)
    }

    fn meant(name: &str, setting: &str) -> Vec<(String, Why)> {
        vec![(name.to_owned(), Why::Meant(setting.to_owned()))]
    }

    #[test]
    fn a_slip_is_noticed_and_what_was_meant_is_said() {
        for (slip, setting) in [
            ("SESION_TTL", "SESSION_TTL"),
            ("SESSION_TLL", "SESSION_TTL"),
            ("session_ttl", "SESSION_TTL"),
            ("SESSION_IDEL_TTL", "SESSION_IDLE_TTL"),
            ("LISTNE", "LISTEN"),
            ("log", "LOG"),
            ("DUALAUTH_LOG", "LOG"),
            ("DUALAUTH_LISTEN", "LISTEN"),
            ("PORT", "LISTEN"),
            ("HOST", "LISTEN"),
            ("BIND", "LISTEN"),
            ("DUALAUTH_PORT", "LISTEN"),
            ("RUST_LOG", "LOG"),
            ("BASE_URL", "PUBLIC_URL"),
            // How to reach a database that nobody names.
            ("PGPORT", "DATABASE_URL"),
            ("DB_USER", "DATABASE_URL"),
        ] {
            assert_eq!(found(&[(slip, "1")], &[]), (meant(slip, setting), 0), "{slip}");
            // Empty, it says nothing.
            assert_eq!(found(&[(slip, "")], &[]), (vec![], 0), "{slip}");
        }
        assert_eq!(found(&[("DUALAUTH_SHOES", "43")], &[]).0, [("DUALAUTH_SHOES".to_owned(), Why::Prefix)]);
    }

    #[test]
    fn nothing_that_names_a_database_or_a_secret_is_passed_over() {
        let databases = [
            "PGHOST",
            "PGHOSTADDR",
            "PGDATABASE",
            "PGSERVICE",
            "PGPASSWORD",
            "PG_URL",
            "POSTGRES_URL",
            "POSTGRES_HOST",
            "POSTGRES_DB",
            "POSTGRES_PASSWORD_FILE",
            "POSTGRESQL_URL",
            "DB_URL",
            "DB_HOST",
            "DB_NAME",
            "DATABASE_URI",
            "DATABASE_DSN",
            "DATABASE_URLS",
            "DATABASEURL",
            "database_url",
            "DUALAUTH_DATABASE_URL",
            "DUALAUTH_PGHOST",
            "DUALAUTH_DATABASE_URL_FILE",
            "DATABSE_URL_FILE",
            "SQLALCHEMY_DATABASE_URI",
        ];
        let secrets = [
            "SECRET_KEY",
            "JWT_SECRET",
            "JWT_SECRET_FILE",
            "SESSION_SECRET",
            "AUTH_SECRET",
            "APP_SECRETS",
            "app_secret",
            "DUALAUTH_APP_SECRET",
            "DUALAUTH_SECRET_KEY",
        ];
        for (setting, names) in [
            ("DATABASE_URL", &databases[..]),
            ("APP_SECRET", &secrets),
            ("JWT_KEY_FILE", &["JWT_KEY", "JWT_PRIVATE_KEY", "JWT_KEYFILE"]),
        ] {
            for name in names {
                let (unknown, refused) = found(&[(name, "1")], &[]);
                assert_eq!(refused, 1, "{name}");
                let Why::Meant(meant) = &unknown[0].1 else { panic!("{name}: {unknown:?}") };
                assert!(meant.starts_with(setting), "{name}: {meant}");
                // With the setting itself they are named.
                for own in [setting.to_owned(), format!("{setting}_FILE")] {
                    let (unknown, refused) = found(&[(name, "1"), (&own, "1")], &[]);
                    let told = unknown.iter().any(|(told, _)| told == name);
                    assert_eq!((told, refused), (!is_libpq(name), 0), "{name} beside {own}");
                }
            }
        }
    }

    #[test]
    fn what_others_set_is_theirs_except_in_the_file() {
        let others = [
            ("PATH", "1"),
            ("LANG", "1"),
            ("LOGNAME", "1"),
            ("LISTEN_FDS", "1"),
            ("LISTEN_PID", "1"),
            ("PGDATA", "1"),
            ("PGOPTIONS", "1"),
            ("SESSION_MANAGER", "1"),
            ("TZ", "1"),
            ("HOSTNAME", "1"),
            ("DB_PORT", "tcp://10.0.0.1:5432"),
            ("DUALAUTH_SERVICE_HOST", "10.0.0.1"),
            ("DUALAUTH_PORT", "tcp://10.0.0.1:8080"),
            ("DUALAUTH_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("POSTGRES_SERVICE_PORT", "5432"),
            ("PG_DUMP", "1"),
        ];
        assert_eq!(found(&others, &[]), (vec![], 0));
        assert_eq!(found(&[("LISTEN", "1")], &["APP_SECRET"]), (vec![], 0));
        assert_eq!(found(&[("PATH", "1")], &["SHOE_SIZE"]).0, [("SHOE_SIZE".to_owned(), Why::InFile)]);
    }
}
