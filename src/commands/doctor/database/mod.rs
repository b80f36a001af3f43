//! The database: whether it answers, as what it should be, and lets the service do what it has to.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgListener};

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::random_bytes;
use crate::database::{
    self, Connections, DirectUrl, Endpoints, OWN_CONNECTIONS, OpenError, Pooling, Pools, Schema, SchemaError,
    answer, rights,
};
use dualauth_postgres::PrivatePostgres;

/// The oldest that will do.
const LEAST_VERSION: i32 = 13;

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What two clocks may differ by before somebody notices, and before tokens of one node are refused on another.
const NOTICEABLE: chrono::Duration = chrono::Duration::seconds(1);
const HARMFUL: chrono::Duration = chrono::Duration::seconds(5);

/// What it found, and the database, if what is in it can be looked at.
pub(super) async fn check(config: &Config, clock: &Clock) -> (Vec<Finding>, Option<Pools>) {
    let url = match locate(config).await {
        Ok(url) => url,
        Err(finding) => return (vec![finding], None),
    };
    let direct = if config.database_url.is_some() { &config.database_direct_url } else { &DirectUrl::Usual };
    let ways = match find(&url, direct).await {
        Ok(ways) => ways,
        Err(finding) => return (vec![finding], None),
    };
    let pools = Pools::new(ways.clone(), config.database_max_connections);
    let (mut findings, is_ready) = match inspect(&pools, ways.options(), config, clock).await {
        Ok(looked) => looked,
        Err(error) => (vec![Finding::skipped("the database", format!("It gives no answer: {error}"))], false),
    };
    findings.push(pooling(&ways));
    findings.push(match ways.advice() {
        Some(advice) => Finding::warning("Notifications don't arrive.", advice),
        None => notifications(&pools).await,
    });
    (findings, is_ready.then_some(pools))
}

async fn locate(config: &Config) -> Result<SecretString, Finding> {
    if let Some(url) = &config.database_url {
        return Ok(url.clone());
    }
    let running = PrivatePostgres::running(&config.data_folder).await;
    running.map(SecretString::from).ok_or_else(|| {
        Finding::skipped(
            "the database: DATABASE_URL is not set, so the service runs a Postgres of its own, which does not run now",
            "Look again while the service runs.",
        )
    })
}

async fn find(url: &SecretString, direct: &DirectUrl) -> Result<Endpoints, Finding> {
    let outcome = tokio::time::timeout(PATIENCE, Endpoints::find(url, direct, database::COMMAND)).await;
    let error = match outcome {
        Ok(Ok(ways)) => return Ok(ways),
        Ok(Err(OpenError::Connect(error))) => error,
        // It says what to do.
        Ok(Err(error)) => return Err(Finding::problem("The service does not start.", error.to_string())),
        Err(_) => sqlx::Error::PoolTimedOut,
    };
    let ways = Endpoints::direct_to(url, database::COMMAND);
    let place = ways.map_or_else(|error| error.to_string(), |ways| place(ways.options()));
    let code = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
    let (what, advice) = match (code.as_deref(), &error) {
        (Some("28P01" | "28000"), _) => (
            format!("Postgres at {place} does not let this user in: {error}"),
            "Correct the user or the password in DATABASE_URL.",
        ),
        (Some("3D000"), _) => (
            format!("Postgres at {place} has no such database: {error}"),
            "Create it (`createdb`), or correct its name in DATABASE_URL.",
        ),
        (Some("53300"), _) => (
            format!("Postgres at {place} has no connection left: {error}"),
            "Raise max_connections, or close what holds them.",
        ),
        (Some("08P01"), _) => (
            format!("What answers at {place} refuses how the service connects: {error}"),
            "A pooler, perhaps, and a parameter of the URL that it does not pass on (options, print_line): leave that out.",
        ),
        (_, sqlx::Error::Tls(_)) => (
            format!("No TLS with {place}: {error}"),
            "Check sslmode and sslrootcert in DATABASE_URL against what the server has.",
        ),
        (_, sqlx::Error::PoolTimedOut) => (
            format!("Postgres at {place} says nothing for {} s.", PATIENCE.as_secs()),
            "Check the address and the firewall.",
        ),
        _ => (
            format!("Postgres at {place} can't be reached: {error}"),
            "Check DATABASE_URL, and whether Postgres runs there.",
        ),
    };
    Err(Finding::problem(what, advice))
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

fn is_remote(options: &PgConnectOptions) -> bool {
    // As a URL writes it, an IPv6 address has brackets.
    let host = options.get_host().trim_matches(['[', ']']);
    let is_local = host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    options.get_socket().is_none() && !host.starts_with('/') && !is_local
}

/// What Postgres says of itself.
struct Facts {
    version: i32,
    is_superuser: bool,
    is_read_only: bool,
    has_tls: bool,
    may_lose: bool,
    may_forget: bool,
    connections: i64,
    used: i64,
    statement_timeout: String,
    role: String,
    encoding: String,
}

async fn inspect(
    pools: &Pools,
    options: &PgConnectOptions,
    config: &Config,
    clock: &Clock,
) -> Result<(Vec<Finding>, bool), database::DatabaseError> {
    let requests = &pools.requests;
    let facts = facts(requests).await?;
    let mut findings = vec![version(&facts)];
    findings.push(of_clock(difference(requests, clock).await?));
    findings.extend(of_facts(&facts, is_remote(options), config.database_url.is_none()));
    findings.push(room(facts.connections, facts.used, config.database_max_connections));
    let looking = pools.on_one_backend(async |backend| look_at_schema(backend).await);
    let ([schema, rights], is_ready) = answer(looking).await?;
    findings.extend([schema, rights]);
    Ok((findings, is_ready))
}

/// Whether there is a pooler that has to be known of.
fn pooling(ways: &Endpoints) -> Finding {
    Finding::ok(match ways.pooling() {
        Pooling::Session => "each connection has a backend of Postgres to itself",
        Pooling::Transaction => {
            "DATABASE_URL leads to a pooler in transaction mode: each statement has a transaction round it"
        }
    })
}

async fn facts(requests: &Connections) -> Result<Facts, database::DatabaseError> {
    let query = sqlx::query_as!(
        Facts,
        r#"select current_setting('server_version_num')::int / 10000 as "version!", r.rolsuper as "is_superuser!",
                  pg_is_in_recovery() or current_setting('transaction_read_only')::bool as "is_read_only!",
                  coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as "has_tls!",
                  not (current_setting('fsync')::bool and current_setting('full_page_writes')::bool) as "may_lose!",
                  current_setting('synchronous_commit') = 'off' as "may_forget!",
                  least(current_setting('max_connections')::int
                          - current_setting('superuser_reserved_connections')::int,
                        nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1))::bigint as "connections!",
                  (select coalesce(sum(numbackends), 0) from pg_stat_database)::bigint as "used!",
                  current_setting('statement_timeout') as "statement_timeout!",
                  current_user::text as "role!",
                  current_setting('server_encoding') as "encoding!"
           from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()"#
    );
    answer(query.fetch_one(requests)).await
}

fn version(facts: &Facts) -> Finding {
    match facts.version {
        version if version < LEAST_VERSION => Finding::problem(
            format!("Postgres {version} is too old."),
            format!("The service needs {LEAST_VERSION} or later."),
        ),
        version => Finding::ok(format!("Postgres {version} answers")),
    }
}

fn of_facts(facts: &Facts, is_remote: bool, is_private: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.is_read_only {
        findings.push(Finding::problem(
            "Postgres is read-only: a standby, perhaps.",
            "Have DATABASE_URL name the primary (with several hosts: target_session_attrs=read-write).",
        ));
    }
    if facts.encoding != "UTF8" {
        findings.push(Finding::problem(
            format!("The database's encoding is {}, and not every name fits into it.", facts.encoding),
            "Create the database with ENCODING 'UTF8'.",
        ));
    }
    if is_remote && !facts.has_tls {
        findings.push(Finding::warning(
            "Postgres is on another machine, and the connection is not encrypted: hashes and sealed keys can be read on their way.",
            "Have Postgres speak TLS, and add sslmode=verify-full to DATABASE_URL.",
        ));
    }
    if facts.may_lose {
        findings.push(Finding::problem(
            "fsync or full_page_writes is off: a crash of Postgres' machine may damage the database.",
            "Turn both on in postgresql.conf.",
        ));
    }
    if facts.may_forget {
        findings.push(Finding::warning(
            "synchronous_commit is off: a crash may undo what was acknowledged last, a logout say.",
            "Turn it on, for this role at least: alter role … set synchronous_commit = on.",
        ));
    }
    if facts.is_superuser && !is_private {
        findings.push(Finding::warning(
            "The service connects as a superuser, who may do anything to every database there.",
            "Give it a role of its own, which owns its database.",
        ));
    }
    if facts.statement_timeout != "5s" {
        findings.push(Finding::warning(
            "The time limits that the service sets do not hold: statements may run for ever.",
            format!(
                "A pooler, perhaps. They hold for the role: alter role \"{role}\" set statement_timeout = '5s'; alter role \
                 \"{role}\" set lock_timeout = '2s'; alter role \"{role}\" set idle_in_transaction_session_timeout = '5s';",
                role = facts.role
            ),
        ));
    }
    findings
}

fn room(connections: i64, used: i64, for_requests: u32) -> Finding {
    let (node, free) = (i64::from(for_requests) + i64::from(OWN_CONNECTIONS), connections - used);
    let what = format!(
        "Postgres allows {connections} connections, {used} are used, and each node takes up to {node}"
    );
    let advice = "Raise max_connections, or the role's or the database's own limit.";
    match connections {
        _ if connections < node => Finding::problem(what, advice),
        _ if free < node => Finding::warning(what, advice),
        _ => Finding::ok(what),
    }
}

/// How far Postgres' clock is ahead of ours.
async fn difference(
    requests: &Connections,
    clock: &Clock,
) -> Result<chrono::Duration, database::DatabaseError> {
    let (before, began) = (clock.now(), Instant::now());
    let query = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#);
    let there: DateTime<Utc> = answer(query.fetch_one(requests)).await?;
    // It read its clock half way, as far as anybody can tell.
    let here = before + began.elapsed() / 2;
    Ok(there - here)
}

fn of_clock(difference: chrono::Duration) -> Finding {
    let seconds = difference.abs().as_seconds_f64();
    let what = match difference < chrono::Duration::zero() {
        true => format!("Postgres' clock is {seconds:.1} s behind this machine's"),
        false => format!("Postgres' clock is {seconds:.1} s ahead of this machine's"),
    };
    let advice =
        "Let both set their clocks by NTP (chrony, systemd-timesyncd): tokens and logins are dated by them.";
    match difference.abs() {
        off if off > HARMFUL => Finding::problem(what, advice),
        off if off > NOTICEABLE => Finding::warning(what, advice),
        _ => Finding::ok("this machine's clock and Postgres' agree"),
    }
}

/// What is to be said of the schema and of rights, and whether what is in it can be looked at.
async fn look_at_schema(backend: &mut PgConnection) -> Result<([Finding; 2], bool), sqlx::Error> {
    let schema = Schema::read(backend).await;
    let is_ready = matches!(schema, Ok(Schema::Ready { .. }));
    Ok(([of_schema(&schema, backend).await?, rights(backend, is_ready).await?], is_ready))
}

async fn of_schema(
    schema: &Result<Schema, SchemaError>,
    backend: &mut PgConnection,
) -> Result<Finding, sqlx::Error> {
    let schema = match schema {
        Ok(schema) => schema,
        Err(error) => return Ok(unusable(error)),
    };
    let (what, advice) = match schema {
        Schema::Ready { later: 0 } => return Ok(Finding::ok("the schema is up to date")),
        Schema::Ready { later } => {
            return Ok(Finding::ok(format!(
                "the schema is a later version's, and this one can use it (migrations that it does not know: {later})"
            )));
        }
        Schema::Pending(count) => (
            format!("Migrations that have not run yet: {count}."),
            "They run when the service starts, or with `dualauth migrate`.",
        ),
        Schema::Elsewhere(schema) => (
            format!("The tables are in the schema {schema}, where versions of before have made them."),
            "Stop every node of an older version: the next start moves them to the schema dualauth.",
        ),
    };
    let missing = rights::to_migrate(backend, schema).await?;
    Ok(match missing.is_empty() {
        true => Finding::warning(what, advice),
        false => Finding::problem(
            format!("{what} This role may not run them."),
            format!("Run `dualauth migrate` as a role that may, or: {missing};"),
        ),
    })
}

fn unusable(error: &SchemaError) -> Finding {
    match error {
        SchemaError::MayNot(missing) => {
            Finding::problem("Which migrations have run can't be read.", format!("As its owner: {missing};"))
        }
        error => Finding::problem(
            format!("The schema can't be used: {error}."),
            "Nothing is downgraded, and nothing was changed.",
        ),
    }
}

/// What the role may not do that the service has to.
async fn rights(backend: &mut PgConnection, is_ready: bool) -> Result<Finding, sqlx::Error> {
    let missing = rights::to_serve(backend).await?;
    Ok(match missing.is_empty() {
        true if is_ready => Finding::ok("the role has the rights that it needs"),
        true => Finding::skipped("rights on tables", "Not all of them are there yet."),
        false => {
            Finding::problem("The role lacks rights.", format!("As the owner of the tables: {missing};"))
        }
    })
}

/// Whether what Postgres notifies of arrives: by one connection, what another one said.
async fn notifications(pools: &Pools) -> Finding {
    let Some(listening) = pools.listening() else {
        return Finding::skipped(
            "whether notifications arrive",
            "DATABASE_DIRECT_URL is none: what other nodes revoke is known at the next look, within STALENESS_BOUND.",
        );
    };
    // Nobody else listens to this one.
    let channel = format!("dualauth_doctor_{:016x}", u64::from_ne_bytes(random_bytes()));
    let round_trip = async {
        let mut listener = PgListener::connect_with(&listening).await?;
        listener.listen(&channel).await?;
        sqlx::query!("select pg_notify($1, '')", channel).execute(&pools.requests).await?;
        listener.recv().await.map(drop)
    };
    match tokio::time::timeout(PATIENCE, round_trip).await {
        Ok(Ok(())) => Finding::ok("notifications arrive"),
        Ok(Err(error)) => Finding::skipped("whether notifications arrive", error.to_string()),
        Err(_) => Finding::warning(
            "Notifications don't arrive: what one node revokes another one hears of when it looks, a quarter of \
             STALENESS_BOUND later at worst, and not in milliseconds.",
            "A pooler in transaction mode drops LISTEN: set DATABASE_DIRECT_URL to the address of Postgres itself.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn good() -> Facts {
        Facts {
            version: 15,
            is_superuser: false,
            is_read_only: false,
            has_tls: true,
            may_lose: false,
            may_forget: false,
            connections: 97,
            used: 6,
            statement_timeout: "5s".to_owned(),
            role: "auth".to_owned(),
            encoding: "UTF8".to_owned(),
        }
    }

    fn found(facts: &Facts, is_remote: bool) -> Vec<Level> {
        let findings = of_facts(facts, is_remote, false).into_iter().map(|finding| finding.level);
        findings.filter(|level| *level != Level::Ok).collect()
    }

    #[test]
    fn a_good_database_is_well() {
        assert_eq!(found(&good(), true), []);
        assert_eq!(found(&Facts { has_tls: false, ..good() }, false), []);
        assert_eq!(version(&good()).level, Level::Ok);
    }

    #[test]
    fn each_mistake_is_found() {
        use Level::{Problem, Warning};
        for (level, facts) in [
            (Problem, Facts { is_read_only: true, ..good() }),
            (Problem, Facts { encoding: "SQL_ASCII".to_owned(), ..good() }),
            (Problem, Facts { may_lose: true, ..good() }),
            (Warning, Facts { has_tls: false, ..good() }),
            (Warning, Facts { may_forget: true, ..good() }),
            (Warning, Facts { is_superuser: true, ..good() }),
            (Warning, Facts { statement_timeout: "0".to_owned(), ..good() }),
        ] {
            assert_eq!(found(&facts, true), [level]);
        }
        assert_eq!(
            [room(10, 0, 10), room(20, 10, 10), room(97, 6, 10)].map(|it| it.level),
            [Problem, Warning, Level::Ok]
        );
        assert_eq!(version(&Facts { version: 12, ..good() }).level, Problem);
        assert!(
            of_facts(&Facts { is_superuser: true, ..good() }, false, true)
                .iter()
                .all(|it| it.level == Level::Ok)
        );
    }

    #[test]
    fn clocks_that_differ_are_found_either_way() {
        for (millis, level) in [
            (0, Level::Ok),
            (999, Level::Ok),
            (1_500, Level::Warning),
            (4_900, Level::Warning),
            (5_100, Level::Problem),
            (3_600_000, Level::Problem),
        ] {
            for difference in [millis, -millis].map(chrono::Duration::milliseconds) {
                assert_eq!(of_clock(difference).level, level, "{difference}");
            }
        }
    }

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
