//! Doctor: checks of the Postgres server: version, durability settings, TLS, limits and clock.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::commands::doctor::Finding;
use crate::database::{self, ConnectionPool, OWN_CONNECTIONS, answer};

/// The oldest supported major version.
const MIN_VERSION: i32 = 13;

/// Clock skew that is reported as a warning, and skew at which nodes refuse each other's tokens.
const NOTICEABLE: chrono::Duration = chrono::Duration::seconds(1);
const HARMFUL: chrono::Duration = chrono::Duration::seconds(5);

/// The server's version, settings and limits.
pub(super) struct ServerProperties {
    version: i32,
    is_superuser: bool,
    is_read_only: bool,
    has_tls: bool,
    may_lose: bool,
    may_forget: bool,
    pub(super) connections: i64,
    pub(super) used: i64,
    statement_timeout: String,
    role: String,
    encoding: String,
}

pub(super) async fn read_properties(
    requests: &ConnectionPool,
) -> Result<ServerProperties, database::DatabaseError> {
    let query = sqlx::query_as!(
        ServerProperties,
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

pub(super) fn check_version(server: &ServerProperties) -> Finding {
    match server.version {
        version if version < MIN_VERSION => Finding::problem(
            format!("Postgres {version} is too old."),
            format!("The service needs {MIN_VERSION} or later."),
        ),
        version => Finding::ok(format!("Postgres {version} answers")),
    }
}

pub(super) fn check(server: &ServerProperties, is_remote: bool, is_private: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if server.is_read_only {
        findings.push(Finding::problem(
            "Postgres is read-only; it may be a standby.",
            "Set DATABASE_URL to the primary (with several hosts: target_session_attrs=read-write).",
        ));
    }
    if server.encoding != "UTF8" {
        findings.push(Finding::problem(
            format!("The database's encoding is {}, which can't store every name.", server.encoding),
            "Create the database with ENCODING 'UTF8'.",
        ));
    }
    if is_remote && !server.has_tls {
        findings.push(Finding::warning(
            "Postgres is on another machine, and the connection is not encrypted: hashes and encrypted keys can be read in transit.",
            "Enable TLS in Postgres, and add sslmode=verify-full to DATABASE_URL.",
        ));
    }
    if server.may_lose {
        findings.push(Finding::problem(
            "fsync or full_page_writes is off: a crash of the database server may corrupt the database.",
            "Turn both on in postgresql.conf.",
        ));
    }
    if server.may_forget {
        findings.push(Finding::warning(
            "synchronous_commit is off: a crash may undo acknowledged changes, for example a logout.",
            "Turn it on, at least for this role: alter role … set synchronous_commit = on.",
        ));
    }
    if server.is_superuser && !is_private {
        findings.push(Finding::warning(
            "The service connects as a superuser, which has full access to every database of the server.",
            "Create a separate role for the service, which owns its database.",
        ));
    }
    if server.statement_timeout != "5s" {
        findings.push(Finding::warning(
            "The time limits that the service sets are not in effect: statements may run without limit.",
            format!(
                "A pooler may discard them. Set them on the role: alter role \"{role}\" set statement_timeout = '5s'; alter role \
                 \"{role}\" set lock_timeout = '2s'; alter role \"{role}\" set idle_in_transaction_session_timeout = '5s';",
                role = server.role
            ),
        ));
    }
    findings
}

pub(super) fn check_connections(connections: i64, used: i64, for_requests: u32) -> Finding {
    let (node, free) = (i64::from(for_requests) + i64::from(OWN_CONNECTIONS), connections - used);
    let what = format!(
        "Postgres allows {connections} connections, {used} are in use, and each node uses up to {node}"
    );
    let advice = "Raise max_connections, or the role's or the database's own limit.";
    match connections {
        _ if connections < node => Finding::problem(what, advice),
        _ if free < node => Finding::warning(what, advice),
        _ => Finding::ok(what),
    }
}

/// How far the clock of Postgres is ahead of this machine's.
pub(super) async fn clock_skew(
    requests: &ConnectionPool,
    clock: &Clock,
) -> Result<chrono::Duration, database::DatabaseError> {
    let (before, began) = (clock.now(), Instant::now());
    let query = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#);
    let there: DateTime<Utc> = answer(query.fetch_one(requests)).await?;
    // Assumes that Postgres read its clock halfway through the round trip.
    let here = before + began.elapsed() / 2;
    Ok(there - here)
}

pub(super) fn check_clock_skew(skew: chrono::Duration) -> Finding {
    let seconds = skew.abs().as_seconds_f64();
    let what = match skew < chrono::Duration::zero() {
        true => format!("the clock of Postgres is {seconds:.1} s behind this machine's"),
        false => format!("the clock of Postgres is {seconds:.1} s ahead of this machine's"),
    };
    let advice = "Synchronise both clocks by NTP (chrony, systemd-timesyncd): tokens, logins and the codes of authenticators depend on them.";
    match skew.abs() {
        off if off > HARMFUL => Finding::problem(what, advice),
        off if off > NOTICEABLE => Finding::warning(what, advice),
        _ => Finding::ok("this machine's clock and that of Postgres agree"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    fn good() -> ServerProperties {
        ServerProperties {
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

    fn found(server: &ServerProperties, is_remote: bool) -> Vec<Level> {
        let findings = check(server, is_remote, false).into_iter().map(|finding| finding.level);
        findings.filter(|level| *level != Level::Ok).collect()
    }

    #[test]
    fn a_good_database_is_well() {
        assert_eq!(found(&good(), true), []);
        assert_eq!(found(&ServerProperties { has_tls: false, ..good() }, false), []);
        assert_eq!(check_version(&good()).level, Level::Ok);
    }

    #[test]
    fn each_mistake_is_found() {
        use Level::{Problem, Warning};
        for (level, server) in [
            (Problem, ServerProperties { is_read_only: true, ..good() }),
            (Problem, ServerProperties { encoding: "SQL_ASCII".to_owned(), ..good() }),
            (Problem, ServerProperties { may_lose: true, ..good() }),
            (Warning, ServerProperties { has_tls: false, ..good() }),
            (Warning, ServerProperties { may_forget: true, ..good() }),
            (Warning, ServerProperties { is_superuser: true, ..good() }),
            (Warning, ServerProperties { statement_timeout: "0".to_owned(), ..good() }),
        ] {
            assert_eq!(found(&server, true), [level]);
        }
        assert_eq!(
            [check_connections(10, 0, 10), check_connections(20, 10, 10), check_connections(97, 6, 10)]
                .map(|it| it.level),
            [Problem, Warning, Level::Ok]
        );
        assert_eq!(check_version(&ServerProperties { version: 12, ..good() }).level, Problem);
        assert!(
            check(&ServerProperties { is_superuser: true, ..good() }, false, true)
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
                assert_eq!(check_clock_skew(difference).level, level, "{difference}");
            }
        }
    }
}
