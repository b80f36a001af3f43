//! Tests of valid connection strings, and of errors for invalid ones.

use super::*;

/// The host or socket, and the port, of each server.
fn places(text: &str) -> Vec<(String, u16)> {
    let address = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let host = |it: &PgConnectOptions| {
        it.get_socket().map_or(it.get_host().to_owned(), |path| path.display().to_string())
    };
    address.servers.iter().map(|it| (host(it), it.get_port())).collect()
}

fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("{text} is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_host_is_a_name_an_address_or_a_socket() {
    for (text, host, port) in [
        ("postgres://me:pw@db.example.com:6000/app", "db.example.com", 6000),
        ("postgresql://db/app", "db", 5432),
        ("postgres://me@[::1]:5433/app", "::1", 5433),
        ("postgres://[2001:db8::7]/app", "2001:db8::7", 5432),
        ("postgres:///app?host=::1&port=7", "::1", 7),
        ("postgres:///app?hostaddr=192.0.2.1", "192.0.2.1", 5432),
        ("postgres://me@%2Frun%2Fpostgresql/app", "/run/postgresql", 5432),
        ("postgres://me@localhost:5432/app?host=%2Fvar%2Frun", "/var/run", 5432),
        ("host=db port=5433 dbname=app user=me", "db", 5433),
        ("host = '::1' dbname=app", "::1", 5432),
    ] {
        assert_eq!(places(text), [(host.to_owned(), port)], "{text}");
    }
}

#[test]
fn several_hosts_are_tried_in_their_order() {
    let expected =
        |ports: [u16; 2]| ["one", "two"].map(str::to_owned).into_iter().zip(ports).collect::<Vec<_>>();
    for (text, ports) in [
        ("postgres://me@one:1,two:2/app", [1, 2]),
        ("postgres://me@one,two/app", [5432, 5432]),
        ("postgres:///app?host=one,two&port=7", [7, 7]),
        ("host=one,two port=1,2", [1, 2]),
    ] {
        assert_eq!(places(text), expected(ports), "{text}");
    }
    for (attributes, wanted) in [("", false), ("any", false), ("read-write", true), ("primary", true)] {
        let text = format!("postgres://one,two/app?target_session_attrs={attributes}");
        let text = text.trim_end_matches("?target_session_attrs=");
        assert_eq!(parse(text).expect("an address").wants_writable, wanted);
    }
    assert!(refusal("host=one,two,three port=1,2").contains("port"));
    assert!(refusal("postgres://db/app?target_session_attrs=standby").contains("read-write"));
}

#[test]
fn what_a_password_has_to_be_written_as_is_said_and_the_password_is_not() {
    for (text, code) in [
        ("postgres://me:hun#ter@db/app", "%23"),
        ("postgres://me:hun/ter@db/app", "%2F"),
        ("postgres://me:hun?ter@db/app", "%3F"),
        ("postgres://me:12?hun=ter@db/app", "%3F"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(code) && !refusal.contains("hun") && !refusal.contains("ter@"), "{refusal}");
    }
    // An unescaped `@` is no error here: the host follows the last one.
    assert_eq!(places("postgres://me:hun@ter@db/app"), [("db".to_owned(), 5432)]);
    for text in
        ["postgres://me:p%23%2f%40@db/app", "host=db user=me password='p#/@ '", r"host=db password=p\ w"]
    {
        assert_eq!(places(text), [("db".to_owned(), 5432)], "{text}");
    }
}

#[test]
fn parameters_that_nothing_reads_are_refused_with_what_is_meant() {
    for (parameter, advice) in [
        ("schema=auth", "dualauth"),
        ("search_path=auth", "dualauth"),
        ("ssl=true", "sslmode=require"),
        ("pool_size=3", "DATABASE_MAX_CONNECTIONS"),
        ("sslmdoe=require", "leave it out"),
    ] {
        let refusal = refusal(&format!("postgres://db/app?{parameter}"));
        let name = parameter.split('=').next().expect("a name");
        assert!(refusal.contains(name) && refusal.contains(advice), "{refusal}");
    }
    for taken in ["sslmode=disable", "application_name=x", "options[jit]=off", "statement-cache-capacity=0"] {
        assert_eq!(places(&format!("postgres://db/app?{taken}")).len(), 1, "{taken}");
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    for name in ["sslrootcert", "sslcert", "sslkey"] {
        let refusal = refusal(&format!("postgres://db/app?sslmode=verify-full&{name}=/nowhere/ca.pem"));
        assert!(refusal.contains(name) && refusal.contains("/nowhere/ca.pem"), "{refusal}");
    }
}

#[test]
fn the_machines_authorities_are_for_who_checks_the_name() {
    let mode = |text: &str| parse(text).expect("an address").servers[0].get_ssl_mode();
    assert!(matches!(mode("postgres://db/app?sslrootcert=system"), PgSslMode::VerifyFull));
    assert!(refusal("postgres://db/app?sslmode=require&sslrootcert=system").contains("verify-full"));
}

#[test]
fn what_is_no_address_is_told_how_one_is_written() {
    for text in ["", "db", "mysql://root:pw@db/app", "http://db/app", "host='db", "host"] {
        assert!(refusal(text).contains("postgres://user:password@host:5432/database"), "{text}");
    }
    assert!(refusal("postgres://me@::1/app").contains("brackets"));
    assert!(refusal("postgres://me@db:port/app").contains("port"));
}
