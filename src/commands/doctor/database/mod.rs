//! Doctor: checks of the database: reachability, server settings, schema, privileges, pooling, notifications.

mod connection;
mod privileges;
mod schema;
mod server;

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgListener};

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::random_bytes;
use crate::database::{
    self, DirectUrl, Pooling, RequestAndBackgroundPools, SchemaState, UsualAndDirectRoutes, answer,
};

/// The time limit of each step.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks the database. Returns the findings, and the pools if the schema is ready for further checks.
pub(super) async fn check(
    config: &Config,
    clock: &Clock,
) -> (Vec<Finding>, Option<RequestAndBackgroundPools>) {
    let url = match connection::locate(config).await {
        Ok(url) => url,
        Err(finding) => return (vec![finding], None),
    };
    let direct = if config.database_url.is_some() { &config.database_direct_url } else { &DirectUrl::Usual };
    let routes = match connection::find(&url, direct).await {
        Ok(routes) => routes,
        Err(finding) => return (vec![finding], None),
    };
    let pools = RequestAndBackgroundPools::new(routes.clone(), config.database_max_connections);
    let (mut findings, is_ready) = match inspect(&pools, routes.options(), config, clock).await {
        Ok(inspected) => inspected,
        Err(error) => (vec![Finding::skipped("the database", format!("It gives no answer: {error}"))], false),
    };
    findings.push(check_pooling(&routes));
    findings.push(match routes.advice() {
        Some(advice) => Finding::warning("Notifications don't arrive.", advice),
        None => check_notifications(&pools).await,
    });
    (findings, is_ready.then_some(pools))
}

async fn inspect(
    pools: &RequestAndBackgroundPools,
    options: &PgConnectOptions,
    config: &Config,
    clock: &Clock,
) -> Result<(Vec<Finding>, bool), database::DatabaseError> {
    let requests = &pools.requests;
    let properties = server::read_properties(requests).await?;
    let mut findings = vec![server::check_version(&properties)];
    findings.push(server::check_clock_skew(server::clock_skew(requests, clock).await?));
    findings.extend(server::check(
        &properties,
        connection::is_remote(options),
        config.database_url.is_none(),
    ));
    findings.push(server::check_connections(
        properties.connections,
        properties.used,
        config.database_max_connections,
    ));
    let checking = pools.on_one_backend(async |backend| check_schema_and_privileges(backend).await);
    let ([schema, privileges], is_ready) = answer(checking).await?;
    findings.extend([schema, privileges]);
    Ok((findings, is_ready))
}

/// Checks the schema and the privileges. The `bool` is `true` if the tables can be read by further checks.
async fn check_schema_and_privileges(
    backend: &mut PgConnection,
) -> Result<([Finding; 2], bool), sqlx::Error> {
    let schema = SchemaState::read(backend).await;
    let is_ready = matches!(schema, Ok(SchemaState::Ready { .. }));
    let schema = schema::check_schema(&schema, backend).await?;
    let privileges = privileges::check_privileges(backend, is_ready).await?;
    Ok(([schema, privileges], is_ready))
}

/// Reports a pooler in transaction mode.
fn check_pooling(routes: &UsualAndDirectRoutes) -> Finding {
    Finding::ok(match routes.pooling() {
        Pooling::Session => "each connection has its own Postgres backend",
        Pooling::Transaction => {
            "DATABASE_URL leads to a pooler in transaction mode: each statement is wrapped in a transaction"
        }
    })
}

/// Checks that a notification sent on one connection arrives on another.
async fn check_notifications(pools: &RequestAndBackgroundPools) -> Finding {
    let Some(listening) = pools.listening() else {
        return Finding::skipped(
            "whether notifications arrive",
            "DATABASE_DIRECT_URL=none: nodes learn of revocations only by polling, within STALENESS_BOUND.",
        );
    };
    // A random channel, so that nothing else is listening on it.
    let channel = format!("dualauth_doctor_{:016x}", u64::from_ne_bytes(random_bytes()));
    let round_trip = async {
        let mut listener = PgListener::connect_with(&listening).await?;
        listener.listen(&channel).await?;
        sqlx::query!("select pg_notify($1, '')", channel).execute(&pools.requests).await?;
        listener.recv().await.map(drop)
    };
    match tokio::time::timeout(TIMEOUT, round_trip).await {
        Ok(Ok(())) => Finding::ok("notifications arrive"),
        Ok(Err(error)) => Finding::skipped("whether notifications arrive", error.to_string()),
        Err(_) => Finding::warning(
            "Notifications don't arrive: nodes learn of each other's revocations only by polling, up to a quarter of \
             STALENESS_BOUND later instead of within milliseconds.",
            "A pooler in transaction mode drops LISTEN: set DATABASE_DIRECT_URL to the address of Postgres itself.",
        ),
    }
}
