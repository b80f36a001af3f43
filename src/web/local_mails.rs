//! `GET /playground/mails`: the mails that are kept in files instead of being sent, for trying things out on one machine.

use std::net::IpAddr;

use actix_web::http::header::{FORWARDED, HOST, HeaderMap, VIA};
use actix_web::http::uri::Authority;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use url::Host;
use utoipa::ToSchema;

use crate::config::is_loopback;
use crate::error::{Code, Problem};
use crate::mail::{KeptMail, MailFolder, Mails};

/// How many mails are shown.
const MOST: usize = 20;

/// The newest mails, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct LocalMailsBody {
    mails: Vec<LocalMail>,
}

/// A mail that was not sent.
#[derive(Serialize, ToSchema)]
pub(super) struct LocalMail {
    /// When it would have been sent.
    at: DateTime<Utc>,
    /// The address.
    to: String,
    /// The subject.
    subject: String,
    /// The plain text.
    text: String,
}

impl From<KeptMail> for LocalMail {
    fn from(KeptMail { at, to, subject, text }: KeptMail) -> Self {
        Self { at, to, subject, text }
    }
}

/// The newest mails that were not sent, for development.
///
/// Exists while mails are written to files: on the private Postgres, with a loopback `PUBLIC_URL` and without `SMTP_URL`. Only for clients
/// on the server's own machine that name it by a loopback host, and not through a proxy.
#[utoipa::path(operation_id = "local_mails", tag = "service", responses(
    (status = 200, description = "The newest mails, newest first.", body = LocalMailsBody),
    (status = 404, description = "not_found"),
))]
#[get("/playground/mails")]
pub(super) async fn local_mails(request: HttpRequest, mails: Data<Mails>) -> Result<HttpResponse, Problem> {
    let folder = folder_for(&request, &mails).cloned();
    let folder = folder.ok_or_else(|| Problem::new(Code::NotFound, "The playground has no such file."))?;
    let newest = web::block(move || folder.newest(MOST)).await.map_err(Problem::internal)?;
    let mails = newest.map_err(Problem::internal)?.into_iter().map(LocalMail::from).collect();
    Ok(HttpResponse::Ok().json(LocalMailsBody { mails }))
}

/// The folder with mails, if there is one and this client may read it.
pub(super) fn folder_for<'a>(request: &HttpRequest, mails: &'a Mails) -> Option<&'a MailFolder> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    mails.folder().filter(|_| is_local(peer, request.headers()))
}

/// Whether the request was made on this machine, by its own name, and was not passed on: a proxy on this machine would
/// make everybody local, and a name that leads here (DNS rebinding) every web page.
fn is_local(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let is_forwarded = headers
        .keys()
        .any(|name| *name == FORWARDED || *name == VIA || name.as_str().starts_with("x-forwarded-"));
    let mut hosts = headers.get_all(HOST);
    let host = hosts.next().and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let is_named_so = host.is_some_and(|host| {
        Host::parse(host.host()).is_ok_and(|host| is_loopback(&host)) && !host.as_str().contains('@')
    });
    peer.is_some_and(|peer| peer.to_canonical().is_loopback())
        && !is_forwarded
        && is_named_so
        && hosts.next().is_none()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn allows(peer: &str, headers: &[(&'static str, &str)]) -> bool {
        let mut request = TestRequest::default();
        for &(name, value) in headers {
            request = request.append_header((name, value));
        }
        is_local(peer.parse().ok(), request.to_http_request().headers())
    }

    #[test]
    fn a_client_on_this_machine_that_names_it_is_local() {
        for (peer, host) in [
            ("127.0.0.1", "127.0.0.1:8080"),
            ("127.0.0.1", "localhost"),
            ("127.0.0.2", "LOCALHOST:80"),
            ("::1", "[::1]:8080"),
            ("::ffff:127.0.0.1", "app.localhost:8080"),
        ] {
            assert!(allows(peer, &[("host", host)]), "{peer} {host}");
        }
    }

    #[test]
    fn another_peer_or_name_and_what_was_passed_on_are_not() {
        for (peer, host) in [
            ("192.0.2.1", "localhost"),
            ("::ffff:192.0.2.1", "localhost"),
            ("no address", "localhost"),
            ("127.0.0.1", "evil.example"),
            ("127.0.0.1", "localhost.evil.example"),
            ("127.0.0.1", "0.0.0.0"),
            ("127.0.0.1", "localhost@evil.example"),
            ("127.0.0.1", "evil.example@localhost"),
            ("127.0.0.1", ""),
        ] {
            assert!(!allows(peer, &[("host", host)]), "{peer} {host}");
        }
        assert!(!allows("127.0.0.1", &[]));
        assert!(!allows("127.0.0.1", &[("host", "localhost"), ("host", "evil.example")]));
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via"] {
            assert!(!allows("127.0.0.1", &[("host", "localhost"), (name, "")]), "{name}");
        }
    }
}
