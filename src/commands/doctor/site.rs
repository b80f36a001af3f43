//! The service as clients reach it: through the proxy, over TLS.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use url::Url;

use super::Finding;
use crate::auth::CookiePolicy;
use crate::config::Config;
use crate::http::tls::Tls;
use crate::session::COOKIE;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of an answer is read.
const MOST: u64 = 1024 * 1024;

/// Where a cookie is to be seen without anybody's password: a session that is none is signed out.
const LOGOUT: &str = "/session/logout";

/// A value of the right shape that no secret has signed.
const NO_SESSION: &str = "dus_none";

/// Asks at `url` or, when that is not given, at PUBLIC_URL, where the service need not run now.
pub(super) async fn check(url: Option<&Url>, config: &Config) -> Vec<Finding> {
    let Some(site) = url.or(config.public_url.as_ref()).cloned() else {
        return vec![Finding::skipped("the service as clients reach it", "Tell where with --url.")];
    };
    let must_answer = url.is_some();
    let cookie = session_cookie(&site, config);
    let asked = tokio::task::spawn_blocking(move || ask(&site, &cookie, must_answer)).await;
    asked.unwrap_or_else(|error| vec![Finding::skipped("the service as clients reach it", error.to_string())])
}

/// What the session cookie of a service there is called, if its settings are these.
fn session_cookie(site: &Url, config: &Config) -> String {
    let policy = CookiePolicy {
        secure: site.scheme() == "https",
        domain: config.cookie_domain.clone(),
        name_prefix: config.cookie_name_prefix.clone(),
        base_path: base_path(site).to_owned(),
    };
    policy.name(COOKIE)
}

/// The path below which clients reach it.
fn base_path(site: &Url) -> &str {
    site.path().trim_end_matches('/')
}

fn ask(site: &Url, cookie: &str, must_answer: bool) -> Vec<Finding> {
    let ready = match get(site, "/health/ready") {
        Ok(ready) => ready,
        Err(error) if must_answer => {
            let advice = "Check the address, the proxy, and whether the service runs.";
            return vec![Finding::problem(format!("Nothing answers at {site}: {error}"), advice)];
        }
        Err(error) => {
            return vec![Finding::skipped(
                format!("the service as clients reach it: nothing answers at {site}"),
                error.to_string(),
            )];
        }
    };
    let mut findings = vec![of_health(site, &ready)];
    if site.scheme() == "https" && ready.header("strict-transport-security").is_none() {
        findings.push(Finding::warning(
            "There is no Strict-Transport-Security: a browser may be talked into http once.",
            "Have the proxy send `Strict-Transport-Security: max-age=31536000`.",
        ));
    }
    findings.push(of_cookie(site, cookie));
    findings
}

fn of_health(site: &Url, ready: &Answer) -> Finding {
    match ready.status {
        200 => Finding::ok(format!("the service at {site} is ready")),
        503 => Finding::problem(format!("The service at {site} is not ready."), "Its log says why."),
        // A proxy may well keep /health/ for those inside.
        404 => Finding::skipped(format!("whether the service at {site} is ready"), "It is not told there."),
        status => of_another(site, "/health/ready", status),
    }
}

fn of_another(site: &Url, path: &str, status: u16) -> Finding {
    Finding::problem(
        format!(
            "{}{path} answers {status}: that is not this service, or the proxy is in its way.",
            site.as_str().trim_end_matches('/')
        ),
        "Have the proxy pass the service's own paths on as they are.",
    )
}

/// Whether the service knows where it is: pages from there may call, and cookies are Secure there.
fn of_cookie(site: &Url, cookie: &str) -> Finding {
    let is_https = site.scheme() == "https";
    let origin = site.origin().ascii_serialization();
    let headers = format!("Origin: {origin}\r\nCookie: {cookie}={NO_SESSION}\r\nContent-Length: 0\r\n");
    let answer = match exchange(site, "POST", LOGOUT, &headers) {
        Ok(answer) => answer,
        Err(error) => return Finding::skipped("cookies, as clients get them", error.to_string()),
    };
    if answer.status == 403 {
        return Finding::problem(
            format!("The service does not take {origin} for its own: pages from there may not call."),
            "Set PUBLIC_URL of the service that runs to what clients type.",
        );
    }
    if ![204, 401].contains(&answer.status) {
        return of_another(site, LOGOUT, answer.status);
    }
    match answer.header("set-cookie") {
        Some(cookie) if is_https && !cookie.to_ascii_lowercase().contains("; secure") => Finding::problem(
            "Cookies are not Secure, though clients come over https.",
            "Set PUBLIC_URL of the service that runs to https://….",
        ),
        Some(_) => Finding::ok(format!("pages of {origin} may call, and get their cookies")),
        // The service that runs has been told another name for it.
        None => Finding::ok(format!("pages of {origin} may call")),
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn get(site: &Url, path: &str) -> Result<Answer, Failed> {
    exchange(site, "GET", path, "")
}

fn exchange(site: &Url, method: &str, path: &str, headers: &str) -> Result<Answer, Failed> {
    let host = site.host_str().ok_or("it has no host")?;
    let port = site.port_or_known_default().ok_or("it has no port")?;
    let address =
        (host.trim_matches(['[', ']']), port).to_socket_addrs()?.next().ok_or("it has no address")?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let named = site.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let path = format!("{}{path}", base_path(site));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\nUser-Agent: dualauth-doctor\r\n{headers}\r\n"
    );
    match site.scheme() {
        "https" => speak(Tls::to(host)?.over(stream)?, &request),
        _ => speak(stream, &request),
    }
}

fn speak(mut stream: impl Read + Write, request: &str) -> Result<Answer, Failed> {
    stream.write_all(request.as_bytes())?;
    let mut read = Vec::new();
    // Who closes without a word at the end has said what there is to say.
    let outcome = stream.take(MOST).read_to_end(&mut read);
    match (parse(&String::from_utf8_lossy(&read)), outcome) {
        (Some(answer), _) => Ok(answer),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(_)) => Err("what it says is not HTTP".into()),
    }
}

fn parse(text: &str) -> Option<Answer> {
    let (head, _) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Some(Answer { status, headers: headers.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let answer =
            parse("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nX: a:b\r\n\r\n{}").expect("HTTP");
        assert_eq!(
            (answer.status, answer.header("retry-after"), answer.header("x")),
            (503, Some("2"), Some("a:b"))
        );
        for text in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 soon\r\n\r\n"] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
