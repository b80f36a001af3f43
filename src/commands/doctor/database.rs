//! The database: whether it answers, as what it should be, and lets the service do what it has to.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{Connection, PgConnection};

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::database::private::PrivatePostgres;
use crate::database::rights;
use crate::database::{self, CONNECTIONS, Pools, Schema, SchemaError, answer};
use crate::tokens::random_bytes;

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
    let Ok(options) = database::options(&url, database::COMMAND) else {
        let finding =
            Finding::problem("DATABASE_URL can't be read.", "See .env.example for how it is written.");
        return (vec![finding], None);
    };
    let is_private = config.database_url.is_none();
    let pools = Pools::new(options);
    let options = pools.requests.connect_options();
    let mut connection = match connect(&options).await {
        Ok(connection) => connection,
        Err(finding) => return (vec![finding], None),
    };
    let (mut findings, is_ready) = match look(&mut connection, &options, is_private, clock).await {
        Ok(looked) => looked,
        Err(error) => (vec![Finding::skipped("the database", format!("It gives no answer: {error}"))], false),
    };
    findings.push(notifications(&options, &mut connection).await);
    let _ = connection.close().await;
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

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Finding> {
    let outcome = tokio::time::timeout(PATIENCE, PgConnection::connect_with(options)).await;
    let error = match outcome {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => error,
        Err(_) => sqlx::Error::PoolTimedOut,
    };
    let place = place(options);
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
            "A pooler, perhaps: let it pass the startup parameter `options`, or connect to Postgres itself.",
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
    encoding: String,
}

async fn look(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    is_private: bool,
    clock: &Clock,
) -> Result<(Vec<Finding>, bool), database::DatabaseError> {
    let facts = facts(connection).await?;
    let mut findings = vec![version(&facts)];
    findings.push(of_clock(difference(connection, clock).await?));
    findings.extend(of_facts(&facts, is_remote(options), is_private));
    let schema = Schema::look(connection).await;
    let is_ready = matches!(schema, Ok(Schema::Ready { .. }));
    findings.push(of_schema(&schema, connection).await?);
    findings.push(rights(connection, is_ready).await?);
    Ok((findings, is_ready))
}

async fn facts(connection: &mut PgConnection) -> Result<Facts, database::DatabaseError> {
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
                  current_setting('server_encoding') as "encoding!"
           from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()"#
    );
    answer(query.fetch_one(connection)).await
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
            "What the service asks for when it connects does not arrive: statements may run for ever.",
            "A pooler, perhaps: let it pass the startup parameter `options`, or connect to Postgres itself.",
        ));
    }
    findings.push(room(facts.connections, facts.used));
    findings
}

fn room(connections: i64, used: i64) -> Finding {
    let (node, free) = (i64::from(CONNECTIONS), connections - used);
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
    connection: &mut PgConnection,
    clock: &Clock,
) -> Result<chrono::Duration, database::DatabaseError> {
    let (before, began) = (clock.now(), Instant::now());
    let query = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#);
    let there: DateTime<Utc> = answer(query.fetch_one(connection)).await?;
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

async fn of_schema(
    schema: &Result<Schema, SchemaError>,
    connection: &mut PgConnection,
) -> Result<Finding, database::DatabaseError> {
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
    let missing = answer(rights::to_migrate(connection, schema)).await?;
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
async fn rights(connection: &mut PgConnection, is_ready: bool) -> Result<Finding, database::DatabaseError> {
    let missing = answer(rights::to_serve(connection)).await?;
    Ok(match missing.is_empty() {
        true if is_ready => Finding::ok("the role has the rights that it needs"),
        true => Finding::skipped("rights on tables", "Not all of them are there yet."),
        false => {
            Finding::problem("The role lacks rights.", format!("As the owner of the tables: {missing};"))
        }
    })
}

/// Whether what Postgres notifies of arrives: by one connection, what another one said.
async fn notifications(options: &PgConnectOptions, connection: &mut PgConnection) -> Finding {
    // Nobody else listens to this one.
    let channel = format!("dualauth_doctor_{:016x}", u64::from_ne_bytes(random_bytes()));
    let round_trip = async {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&channel).await?;
        sqlx::query!("select pg_notify($1, '')", channel).execute(connection).await?;
        listener.recv().await.map(drop)
    };
    match tokio::time::timeout(PATIENCE, round_trip).await {
        Ok(Ok(())) => Finding::ok("notifications arrive"),
        Ok(Err(error)) => Finding::skipped("whether notifications arrive", error.to_string()),
        Err(_) => Finding::warning(
            "Notifications don't arrive: what one node revokes another one hears of when it looks, a quarter of \
             STALENESS_BOUND later at worst, and not in milliseconds.",
            "A pooler in transaction mode drops LISTEN: connect to Postgres itself, or pool by session.",
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
            (Problem, Facts { connections: 10, used: 0, ..good() }),
            (Warning, Facts { connections: 20, used: 10, ..good() }),
            (Warning, Facts { has_tls: false, ..good() }),
            (Warning, Facts { may_forget: true, ..good() }),
            (Warning, Facts { is_superuser: true, ..good() }),
            (Warning, Facts { statement_timeout: "0".to_owned(), ..good() }),
        ] {
            assert_eq!(found(&facts, true), [level]);
        }
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
