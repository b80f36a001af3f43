//! Connection strings: URLs, and libpq's `key=value` form (Postgres documentation, section 34.1).

use std::io;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::{Url, form_urlencoded};

use crate::machine_roots::{RootsError, machine_roots};

/// Why a connection string is invalid. The messages contain no secrets.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Neither form.
    #[error(
        "expected a URL such as postgres://user:password@host:5432/database, or host=… port=… user=… password=… dbname=…"
    )]
    NoUrl,
    /// An unescaped character ends the user name or the password early.
    #[error(
        "a {0} in a user name or password must be written as %{code:02X} (percent-encoding; so must #, /, ?, @, : and %: \
         %23, %2F, %3F, %40, %3A, %25)",
        code = u32::from(*.0)
    )]
    NotEncoded(char),
    /// An unknown parameter.
    #[error("{name} is not a supported connection parameter: {advice}")]
    Unknown {
        /// Its name.
        name: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// An invalid value.
    #[error("{name}: expected {expected}")]
    Value {
        /// The parameter.
        name: String,
        /// The valid values.
        expected: &'static str,
    },
    /// A file that a parameter names can't be read.
    #[error("{name} can't be read: {error}")]
    File {
        /// The parameter and the file.
        name: String,
        /// The cause.
        error: io::Error,
    },
    /// The trusted certificates of this machine can't be read.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// sqlx rejects the options.
    #[error(transparent)]
    Options(#[from] sqlx::Error),
}

/// The servers of one database.
pub(super) struct ServerList {
    /// Options for each, in the order in which they are tried.
    pub(super) servers: Vec<PgConnectOptions>,
    /// Whether servers that reject writes are skipped (`target_session_attrs=read-write`).
    pub(super) wants_writable: bool,
}

/// The supported parameters, and the names that are used for them here.
const KNOWN: [(&str, &str); 19] = [
    ("host", "host"),
    ("hostaddr", "hostaddr"),
    ("port", "port"),
    ("dbname", "dbname"),
    ("user", "user"),
    ("password", "password"),
    ("sslmode", "sslmode"),
    ("ssl-mode", "sslmode"),
    ("sslrootcert", "sslrootcert"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("sslcert", "sslcert"),
    ("ssl-cert", "sslcert"),
    ("sslkey", "sslkey"),
    ("ssl-key", "sslkey"),
    ("statement-cache-capacity", "statement-cache-capacity"),
    ("application_name", "application_name"),
    ("options", "options"),
    ("target_session_attrs", "target_session_attrs"),
];

/// Parameters of other drivers, with advice on what to use instead.
const MEANT: [(&[&str], &str); 5] = [
    (
        &["schema", "search_path", "currentSchema", "current_schema"],
        "leave it out, all tables of the service are in the schema dualauth",
    ),
    (
        &["ssl", "tls", "requiressl"],
        "write sslmode=require, or sslmode=verify-full, which also verifies the host name",
    ),
    (
        &["pool_size", "max_connections", "connection_limit", "pool_max_conns", "max"],
        "set DATABASE_MAX_CONNECTIONS",
    ),
    (&["pgbouncer", "prepared_statements"], "leave it out, poolers are detected"),
    (
        &[
            "connect_timeout",
            "statement_timeout",
            "lock_timeout",
            "pool_timeout",
            "keepalives",
            "keepalives_idle",
        ],
        "leave it out, the service sets its own limits",
    ),
];

/// Names and values, in the order of the string.
type Parameters = Vec<(String, String)>;

/// Parses a connection string.
///
/// # Errors
/// See [`UrlError`].
pub(super) fn parse(text: &str) -> Result<ServerList, UrlError> {
    let given = match text.split_once("://") {
        Some(("postgres" | "postgresql", rest)) => of_url(rest)?,
        None if text.contains('=') => of_pairs(text)?,
        _ => return Err(UrlError::NoUrl),
    };
    let mut given = checked(given)?;
    let wants_writable = match take(&mut given, "target_session_attrs").as_deref() {
        None | Some("any") => false,
        Some("read-write" | "primary") => true,
        Some(_) => return Err(value("target_session_attrs", "any, read-write or primary")),
    };
    let servers = servers(&mut given)?.into_iter().map(|server| options(server, &given));
    Ok(ServerList { servers: servers.collect::<Result<_, _>>()?, wants_writable })
}

fn value(name: &str, expected: &'static str) -> UrlError {
    UrlError::Value { name: name.to_owned(), expected }
}

/// The part after `postgres://`.
fn of_url(rest: &str) -> Result<Parameters, UrlError> {
    if rest.contains('#') {
        return Err(UrlError::NotEncoded('#'));
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if path.contains('@') {
        return Err(UrlError::NotEncoded('/'));
    }
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let given = form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Parameters>();
    let is_cut_off =
        user.is_empty() && query.contains('@') && given.iter().any(|(name, _)| known(name).is_none());
    if is_cut_off {
        return Err(UrlError::NotEncoded('?'));
    }
    let mut parameters = Parameters::new();
    let (name, password) =
        user.split_once(':').map_or((user, None), |(name, password)| (name, Some(password)));
    let database = path.trim_start_matches('/');
    for (key, text) in [("user", Some(name)), ("password", password), ("dbname", Some(database))] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            parameters.push((key.to_owned(), decoded(key, text)?));
        }
    }
    parameters.extend(of_hosts(hosts)?);
    parameters.extend(given);
    Ok(parameters)
}

fn decoded(name: &str, text: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| value(name, "UTF-8"))
}

/// `host:port,host:port`, as a list of hosts and one of ports.
fn of_hosts(hosts: &str) -> Result<Parameters, UrlError> {
    if hosts.is_empty() {
        return Ok(Parameters::new());
    }
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = of_host(host)?;
        names.push(decoded("host", name)?);
        ports.push(port);
    }
    let mut parameters = vec![("host".to_owned(), names.join(","))];
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.push(("port".to_owned(), ports.join(",")));
    }
    Ok(parameters)
}

fn of_host(host: &str) -> Result<(&str, &str), UrlError> {
    let bracketed = host.strip_prefix('[').map(|rest| rest.split_once(']'));
    let (name, port) = match bracketed {
        Some(Some((address, rest))) if address.parse::<Ipv6Addr>().is_ok() => (address, rest),
        Some(_) => return Err(value("host", "an IPv6 address between the brackets")),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    match port.is_empty() || port.parse::<u16>().is_ok() {
        true => Ok((name, port)),
        false => Err(value("port", "a number; an IPv6 address is written in brackets: [::1]:5432")),
    }
}

/// libpq's `key = value` form. A value may be in single quotes, and a backslash escapes the next character.
fn of_pairs(text: &str) -> Result<Parameters, UrlError> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').ok_or(UrlError::NoUrl)?;
        let (value, after) = of_value(value.trim_start())?;
        parameters.push((name.trim().to_owned(), value));
        rest = after.trim_start();
    }
    Ok(parameters)
}

fn of_value(text: &str) -> Result<(String, &str), UrlError> {
    let (text, is_quoted) = text.strip_prefix('\'').map_or((text, false), |text| (text, true));
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            '\'' if is_quoted => return Ok((value, &text[at + 1..])),
            _ if letter.is_whitespace() && !is_quoted => return Ok((value, &text[at..])),
            _ => value.push(letter),
        }
    }
    if is_quoted { Err(UrlError::NoUrl) } else { Ok((value, "")) }
}

fn known(name: &str) -> Option<&str> {
    let option = name.strip_prefix("options[").and_then(|name| name.strip_suffix(']')).map(|_| name);
    option.or_else(|| KNOWN.iter().find(|(known, _)| *known == name).map(|(_, name)| *name))
}

/// Checks the names, and maps synonyms to one name.
fn checked(given: Parameters) -> Result<Parameters, UrlError> {
    let named = given.into_iter().map(|(name, value)| match known(&name) {
        Some(known) => Ok((known.to_owned(), value)),
        None => {
            let meant = MEANT.iter().find(|(names, _)| names.contains(&name.as_str()));
            Err(UrlError::Unknown { advice: meant.map_or("leave it out", |(_, advice)| advice), name })
        }
    });
    named.collect()
}

/// Removes a parameter. The last one counts if it was given repeatedly.
fn take(parameters: &mut Parameters, name: &str) -> Option<String> {
    let value = parameters.iter().rfind(|(other, _)| other == name).map(|(_, value)| value.clone());
    parameters.retain(|(other, _)| other != name);
    value
}

/// The parameters of each server. If no host is given, libpq's variables or the local socket apply.
fn servers(given: &mut Parameters) -> Result<Vec<Parameters>, UrlError> {
    let of = |given: &mut Parameters, name| -> Vec<String> {
        let list = take(given, name);
        list.iter().flat_map(|list| list.split(',').map(|item| item.trim().to_owned())).collect()
    };
    let (hosts, addresses, ports) = (of(given, "host"), of(given, "hostaddr"), of(given, "port"));
    let count = hosts.len().max(addresses.len()).max(1);
    let is_for_each = |list: &[String]| list.is_empty() || list.len() == count;
    if !is_for_each(&hosts) || !is_for_each(&addresses) {
        return Err(value("host and hostaddr", "as many of one as of the other"));
    }
    if !is_for_each(&ports) && ports.len() != 1 {
        return Err(value("port", "one, or one for each host"));
    }
    let nth = |list: &[String], place: usize| list.get(place).or(list.last()).cloned();
    let server = |place| {
        let parts = [("host", &hosts), ("hostaddr", &addresses), ("port", &ports)];
        let parts = parts.map(|(name, list)| nth(list, place).map(|value| (name.to_owned(), bare(value))));
        parts.into_iter().flatten().filter(|(_, value)| !value.is_empty()).collect()
    };
    Ok((0..count).map(server).collect())
}

/// An IPv6 address without the brackets of its URL form.
fn bare(host: String) -> String {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.map(str::to_owned).unwrap_or(host)
}

/// The options for sqlx, which also reads libpq's variables and password file.
fn options(server: Parameters, rest: &Parameters) -> Result<PgConnectOptions, UrlError> {
    let mut rest = rest.clone();
    let root = take(&mut rest, "sslrootcert");
    for file in ["sslcert", "sslkey"] {
        if let Some((_, path)) = rest.iter().find(|(name, _)| name == file) {
            check_file(file, path)?;
        }
    }
    let mut url = Url::parse("postgres:///").map_err(|error| sqlx::Error::Configuration(error.into()))?;
    url.query_pairs_mut().extend_pairs(server).extend_pairs(&rest);
    let options = PgConnectOptions::from_url(&url)?;
    let is_env_set = std::env::var_os("PGSSLROOTCERT").is_some();
    let verifies = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    match root.as_deref() {
        // As in libpq: when every public authority is trusted, the host name must be checked.
        Some("system") if rest.iter().all(|(name, _)| name != "sslmode") => {
            Ok(options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(machine_roots()?))
        }
        Some("system") if !matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) => {
            Err(value("sslmode", "verify-full beside sslrootcert=system"))
        }
        Some("system") => Ok(options.ssl_root_cert_from_pem(machine_roots()?)),
        Some(path) => check_file("sslrootcert", path).map(|()| options.ssl_root_cert(path)),
        None if verifies && !is_env_set => Ok(options.ssl_root_cert_from_pem(machine_roots()?)),
        None => Ok(options),
    }
}

/// Checks here that a file can be read, while the parameter's name is known for the error.
fn check_file(name: &str, path: &str) -> Result<(), UrlError> {
    let named = |error| UrlError::File { name: format!("{name}={path}"), error };
    std::fs::read(path).map(drop).map_err(named)
}

#[cfg(test)]
mod tests;
