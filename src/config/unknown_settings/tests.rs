//! Tests of which names are taken for settings.

use super::*;

const KNOWN: [&str; 10] = [
    "APP_SECRET",
    "APP_SECRET_FILE",
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "JWT_KEY_FILE",
    "LISTEN",
    "LISTEN_FILE",
    "LOG",
    "SESSION_TTL",
    "SESSION_IDLE_TTL",
];

/// The unknown ones, each with its reason, and the number of errors.
fn found(given: &[(&str, &str)], in_file: &[&str]) -> (Vec<(String, UnknownSettingReason)>, usize) {
    let values = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let in_file: Vec<String> = in_file.iter().map(|name| (*name).to_owned()).collect();
    let known = KNOWN.map(str::to_owned).into_iter().collect();
    let given = GivenSettings { values: &values, in_file: &in_file, known: &known };
    let unknown = given.unknown();
    let refused = given.refused(&unknown).len();
    (unknown.into_iter().map(|setting| (setting.name, setting.why)).collect(), refused)
}

fn meant(name: &str, setting: &str) -> Vec<(String, UnknownSettingReason)> {
    vec![(name.to_owned(), UnknownSettingReason::Meant(setting.to_owned()))]
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
        // They say how to connect to a database, and none is selected.
        ("PGPORT", "DATABASE_URL"),
        ("DB_USER", "DATABASE_URL"),
    ] {
        assert_eq!(found(&[(slip, "1")], &[]), (meant(slip, setting), 0), "{slip}");
        // Empty values are ignored.
        assert_eq!(found(&[(slip, "")], &[]), (vec![], 0), "{slip}");
    }
    assert_eq!(
        found(&[("DUALAUTH_SHOES", "43")], &[]).0,
        [("DUALAUTH_SHOES".to_owned(), UnknownSettingReason::Prefix)]
    );
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
        "DATABASE_PRIVATE_URL",
        "DATABASE_URL_UNPOOLED",
        "DATABASE_CONNECTION_URL",
        "DATABASE",
        "NEON_DATABASE_URL",
        "HEROKU_POSTGRESQL_RED_URL",
        "POSTGRES_URL_NON_POOLING",
        "POSTGRES_PRISMA_URL",
        "RDS_HOSTNAME",
        "RDS_ENDPOINT",
        "DBNAME",
        "DB_CONNECTION_STRING",
        "PGBOUNCER_URL",
        "AZURE_POSTGRESQL_CONNECTIONSTRING",
        "ConnectionStrings__Database",
        "DATABASE_DSN_FILE_FILE",
        "DIRECT_URL",
        "DSN",
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
        "APP_SECRET_FILE_FILE",
        "APP_SECRET_NEW",
        "APP_SECRET_V2",
        "APP_SECRET_PRODUCTION",
        "JWT_SECRET_BASE64",
        "AUTH_JWT_SECRET",
        "ACCESS_TOKEN_SECRET",
        "JWT_REFRESH_SECRET",
        "SECRET_KEY_FILE_FILE",
        "TOKEN_SIGNING_KEY",
        "DJANGO_SECRET_KEY",
        "SECRET_KEY_BASE",
    ];
    for (setting, names) in [
        ("DATABASE_URL", &databases[..]),
        ("APP_SECRET", &secrets),
        (
            "JWT_KEY_FILE",
            &[
                "JWT_KEY",
                "JWT_PRIVATE_KEY",
                "JWT_KEYFILE",
                "JWT_KEY_FILE_FILE",
                "JWT_KEY_PEM",
                "JWT_KEY_BASE64",
                "AUTH_JWT_KEY",
                "JWT_KEY_FILE_NEW",
            ],
        ),
    ] {
        for name in names {
            let (unknown, refused) = found(&[(name, "1")], &[]);
            assert_eq!(refused, 1, "{name}");
            let UnknownSettingReason::Meant(meant) = &unknown[0].1 else { panic!("{name}: {unknown:?}") };
            assert!(meant.starts_with(setting), "{name}: {meant}");
            // Together with the setting itself, they are only reported.
            let own = [setting.to_owned(), format!("{setting}_FILE")];
            for own in own.iter().filter(|own| KNOWN.contains(&own.as_str())) {
                let (unknown, refused) = found(&[(name, "1"), (own, "1")], &[]);
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
        ("PG_VERSION", "1"),
        ("PGSSLMODE", "require"),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/bus"),
        ("REDIS_URL", "redis://localhost"),
        ("MONGODB_URI", "mongodb://localhost"),
        ("DATABASE_POOL_SIZE", "1"),
        ("AWS_SECRET_ACCESS_KEY", "1"),
        ("GITHUB_CLIENT_SECRET", "1"),
        ("STRIPE_SECRET_KEY", "1"),
        ("SLACK_SIGNING_SECRET", "1"),
        ("JWT_PUBLIC_KEY", "1"),
        ("API_KEY", "1"),
        ("SSL_KEY_FILE", "1"),
    ];
    assert_eq!(found(&others, &[]), (vec![], 0));
    assert_eq!(found(&[("LISTEN", "1")], &["APP_SECRET"]), (vec![], 0));
    assert_eq!(
        found(&[("SHOE_SIZE", "43")], &["SHOE_SIZE"]).0,
        [("SHOE_SIZE".to_owned(), UnknownSettingReason::InFile)]
    );
}

#[test]
fn the_url_of_a_postgres_names_a_database_whatever_it_is_called() {
    for name in ["STORE", "ACCOUNTS", "PRIMARY", "DATABASE_DIRECT_ULR", "sqlalchemy.url", "PGSTORE"] {
        for url in
            ["postgres://db/x", " PostgreSQL://db/x", "postgresql+asyncpg://db/x", "jdbc:postgresql://db/x"]
        {
            assert_eq!(found(&[(name, url)], &[]), (meant(name, "DATABASE_URL"), 1), "{name}={url}");
            assert_eq!(found(&[(name, url), ("DATABASE_URL", url)], &[]).1, 0, "{name}={url}");
        }
    }
    let others = [("STORE", "mysql://db/x"), ("HELP", "see postgres://db"), ("SCHEME", "postgres")];
    assert_eq!(found(&others, &[]), (vec![], 0));
}

#[test]
fn an_empty_value_says_nothing_wherever_it_is() {
    for name in ["PGHOST", "POSTGRES_URL", "SECRET_KEY", "JWT_KEY", "SESION_TTL", "DUALAUTH_SHOES", "SHOES"] {
        for value in ["", " \t"] {
            assert_eq!(found(&[(name, value)], &[]), (vec![], 0), "{name}");
            assert_eq!(found(&[(name, value)], &[name]), (vec![], 0), "{name} in .env");
        }
    }
}
