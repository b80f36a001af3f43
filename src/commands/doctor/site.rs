//! Doctor: probes the running service as clients reach it, through the proxy and over TLS.

use std::time::Duration;

use ureq::Agent;
use url::Url;

use super::Finding;
use crate::auth::CookiePolicy;
use crate::config::Config;
use crate::machine_roots::http_client_tls;
use crate::session::COOKIE;

/// The time limit of each step.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A route that answers with a `Set-Cookie` without credentials: with an invalid session it clears the cookie.
const LOGOUT: &str = "/session/logout";

/// A cookie value that looks like a session id, but is signed by no secret.
const INVALID_SESSION_ID: &str = "dus_none";

type Answer = ureq::http::Response<ureq::Body>;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Probes `url`, or else PUBLIC_URL, where the service need not be running.
pub(super) async fn check(url: Option<&Url>, config: &Config) -> Vec<Finding> {
    let Some(site) = url.or(config.public_url.as_ref()).cloned() else {
        return vec![Finding::skipped("the service as clients reach it", "Specify its address with --url.")];
    };
    let must_answer = url.is_some();
    let cookie = session_cookie(&site, config);
    let asked = tokio::task::spawn_blocking(move || probe(&site, &cookie, must_answer)).await;
    asked.unwrap_or_else(|error| vec![Finding::skipped("the service as clients reach it", error.to_string())])
}

/// The name of the session cookie of a service at `site` with these settings.
fn session_cookie(site: &Url, config: &Config) -> String {
    let policy = CookiePolicy {
        secure: site.scheme() == "https",
        domain: config.cookie_domain.clone(),
        name_prefix: config.cookie_name_prefix.clone(),
        base_path: base_path(site).to_owned(),
    };
    policy.name(COOKIE)
}

/// The base path of the service.
fn base_path(site: &Url) -> &str {
    site.path().trim_end_matches('/')
}

fn probe(site: &Url, cookie: &str, must_answer: bool) -> Vec<Finding> {
    let asked = HttpProbe::new(site).and_then(|client| Ok((client.get("/health/ready")?, client)));
    let (ready, client) = match asked {
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
    let mut findings = vec![check_health(site, &ready)];
    if site.scheme() == "https" && header(&ready, "strict-transport-security").is_none() {
        findings.push(Finding::warning(
            "There is no Strict-Transport-Security header: an attacker may downgrade a browser to http.",
            "Let the proxy send `Strict-Transport-Security: max-age=31536000`.",
        ));
    }
    findings.push(check_cookies(&client, site, cookie));
    findings
}

fn check_health(site: &Url, ready: &Answer) -> Finding {
    match ready.status().as_u16() {
        200 => Finding::ok(format!("the service at {site} is ready")),
        503 => {
            Finding::problem(format!("The service at {site} is not ready."), "See its log for the reason.")
        }
        // A proxy may expose /health/ only internally.
        404 => Finding::skipped(
            format!("whether the service at {site} is ready"),
            "The proxy does not expose /health/ready.",
        ),
        status => unexpected_status(site, "/health/ready", status),
    }
}

fn unexpected_status(site: &Url, path: &str, status: u16) -> Finding {
    Finding::problem(
        format!(
            "{}{path} answers {status}: this is not this service, or the proxy does not pass the request on.",
            site.as_str().trim_end_matches('/')
        ),
        "Let the proxy pass the service's paths on unchanged.",
    )
}

/// Checks that the service knows its public URL: it accepts that origin, and its cookies are Secure if it is https.
fn check_cookies(client: &HttpProbe, site: &Url, cookie: &str) -> Finding {
    let is_https = site.scheme() == "https";
    let origin = site.origin().ascii_serialization();
    let request = client.agent.post(client.url(LOGOUT)).header("Origin", &origin);
    let answer = match request.header("Cookie", format!("{cookie}={INVALID_SESSION_ID}")).send_empty() {
        Ok(answer) => answer,
        Err(error) => return Finding::skipped("cookies as clients get them", error.to_string()),
    };
    if answer.status() == 403 {
        return Finding::problem(
            format!(
                "The service does not take {origin} for its own origin, and refuses requests of its pages."
            ),
            "Set PUBLIC_URL of the running service to the URL that clients use.",
        );
    }
    if ![204, 401].contains(&answer.status().as_u16()) {
        return unexpected_status(site, LOGOUT, answer.status().as_u16());
    }
    match header(&answer, "set-cookie") {
        Some(cookie) if is_https && !cookie.to_ascii_lowercase().contains("; secure") => Finding::problem(
            "Cookies are not Secure, although clients use https.",
            "Set PUBLIC_URL of the running service to its https URL.",
        ),
        Some(_) => Finding::ok(format!("pages of {origin} are accepted, and get their cookies")),
        // The running service has another COOKIE_NAME_PREFIX than these settings.
        None => Finding::ok(format!("pages of {origin} are accepted")),
    }
}

/// An HTTP client for the service's paths.
struct HttpProbe {
    agent: Agent,
    site: Url,
}

impl HttpProbe {
    fn new(site: &Url) -> Result<Self, Failed> {
        let config = Agent::config_builder()
            .tls_config(http_client_tls()?)
            .user_agent("dualauth-doctor")
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            // The response of this very address: no HTTP proxy, no redirects.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .build();
        Ok(Self { agent: config.into(), site: site.clone() })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.site.as_str().trim_end_matches('/'))
    }

    fn get(&self, path: &str) -> Result<Answer, Failed> {
        Ok(self.agent.get(self.url(path)).call()?)
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}
