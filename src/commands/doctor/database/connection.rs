//! Doctor: where the database is, and why it can't be reached.

use std::net::IpAddr;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

use super::TIMEOUT;
use crate::commands::doctor::Finding;
use crate::config::Config;
use crate::database::{self, DirectUrl, OpenError, UsualAndDirectRoutes};
use dualauth_postgres::PrivatePostgres;

pub(super) async fn locate(config: &Config) -> Result<SecretString, Finding> {
    if let Some(url) = &config.database_url {
        return Ok(url.clone());
    }
    let running = PrivatePostgres::running(&config.data_folder).await;
    running.map(SecretString::from).ok_or_else(|| {
        Finding::skipped(
            "the database: DATABASE_URL is not set, so the service uses its private Postgres, which is not running",
            "Run doctor again while the service is running.",
        )
    })
}

pub(super) async fn find(url: &SecretString, direct: &DirectUrl) -> Result<UsualAndDirectRoutes, Finding> {
    let outcome =
        tokio::time::timeout(TIMEOUT, UsualAndDirectRoutes::find(url, direct, database::COMMAND)).await;
    let error = match outcome {
        Ok(Ok(routes)) => return Ok(routes),
        Ok(Err(OpenError::Connect(error))) => error,
        // The error's text contains the advice.
        Ok(Err(error)) => return Err(Finding::problem("The service does not start.", error.to_string())),
        Err(_) => sqlx::Error::PoolTimedOut,
    };
    let routes = UsualAndDirectRoutes::direct_to(url, database::COMMAND);
    let host = routes.map_or_else(|error| error.to_string(), |routes| describe_host(routes.options()));
    let code = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
    let (what, advice) = match (code.as_deref(), &error) {
        (Some("28P01" | "28000"), _) => (
            format!("Postgres at {host} does not let this user in: {error}"),
            "Correct the user or the password in DATABASE_URL.",
        ),
        (Some("3D000"), _) => (
            format!("Postgres at {host} has no such database: {error}"),
            "Create it (`createdb`), or correct its name in DATABASE_URL.",
        ),
        (Some("53300"), _) => (
            format!("Postgres at {host} has no connection left: {error}"),
            "Raise max_connections, or close other connections.",
        ),
        (Some("08P01"), _) => (
            format!("The server at {host} rejects the connection's parameters: {error}"),
            "It may be a pooler that does not support a parameter of the URL (for example `options`): remove that parameter.",
        ),
        (_, sqlx::Error::Tls(_)) => (
            format!("No TLS with {host}: {error}"),
            "Check sslmode and sslrootcert in DATABASE_URL against the server's configuration.",
        ),
        (_, sqlx::Error::PoolTimedOut) => (
            format!("No response from Postgres at {host} within {} s.", TIMEOUT.as_secs()),
            "Check the address and the firewall.",
        ),
        _ => (
            format!("Postgres at {host} can't be reached: {error}"),
            "Check DATABASE_URL, and whether Postgres runs there.",
        ),
    };
    Err(Finding::problem(what, advice))
}

fn describe_host(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

pub(super) fn is_remote(options: &PgConnectOptions) -> bool {
    // In a URL an IPv6 address has brackets.
    let host = options.get_host().trim_matches(['[', ']']);
    let is_local = host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    options.get_socket().is_none() && !host.starts_with('/') && !is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_another_machine_is_told_from_what_is_on_this_one() {
        for (url, remote) in [
            ("postgres://db.example.com/x", true),
            ("postgres://192.0.2.1/x", true),
            ("postgres://localhost/x", false),
            ("postgres://127.0.0.1/x", false),
            ("postgres://[::1]/x", false),
            ("postgres://x?host=/run/postgresql", false),
        ] {
            assert_eq!(is_remote(&url.parse().expect("a URL")), remote, "{url}");
        }
    }
}
