//! Doctor: checks that mails can be sent: templates, the mail server, and the address that they come from.

use url::Host;

use super::Finding;
use crate::app;
use crate::config::{Config, SmtpConfig, SmtpSecurity};
use crate::mail::{Delivery, DeliveryError};

const NOT_SENT: &str = "Until then mails wait in the queue, and expire there.";

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let delivery = match app::mail_delivery(config) {
        Ok(delivery) => delivery,
        Err(error) => {
            return vec![Finding::problem(error.to_string(), "The service does not start with this.")];
        }
    };
    match (delivery, &config.mail.smtp) {
        (None, _) => {
            vec![Finding::ok("mails are off, and routes that need one answer 503: SMTP_URL is not set")]
        }
        (Some(_), None) => {
            vec![Finding::ok("mails are written to .data/mail, not sent: SMTP_URL is not set")]
        }
        (Some(delivery), Some(smtp)) => {
            let mut findings = vec![server(&delivery, smtp).await, sender(&delivery)];
            findings.extend(links(config));
            findings
        }
    }
}

/// Connects and authenticates as for a mail, and sends none.
async fn server(delivery: &Delivery, smtp: &SmtpConfig) -> Finding {
    let SmtpConfig { host, port, security, credentials } = smtp;
    let outcome = delivery.connect().await;
    delivery.disconnect().await;
    match outcome {
        Ok(()) => {
            let tls = match security {
                SmtpSecurity::Tls => " over TLS",
                SmtpSecurity::StartTls => " over TLS (STARTTLS)",
                SmtpSecurity::Unprotected => " without TLS, on this machine",
            };
            let user = if credentials.is_some() { " and takes the credentials" } else { "" };
            Finding::ok(format!("the mail server {host}:{port} answers{tls}{user}"))
        }
        Err(error @ DeliveryError::Unauthenticated(_)) => Finding::problem(
            format!("{host}:{port}: {error}"),
            format!("Correct user and password in SMTP_URL. {NOT_SENT}"),
        ),
        Err(error) => Finding::problem(
            format!("{host}:{port}: {error}"),
            format!(
                "Is SMTP_URL right (smtps:// for TLS from the start, smtp:// for STARTTLS), and the server's certificate one that \
                 this machine trusts? {NOT_SENT}"
            ),
        ),
    }
}

/// Receivers check whether the server may send for the domain (SPF, DKIM, DMARC).
fn sender(delivery: &Delivery) -> Finding {
    let from = &delivery.from().email;
    let is_registered = matches!(Host::parse(from.domain()), Ok(Host::Domain(name))
        if name.contains('.') && psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known()));
    match is_registered {
        true => Finding::ok(format!("mails come from {from}")),
        false => Finding::warning(
            format!(
                "Mails come from {from}, whose domain nobody can have registered: most receivers refuse them."
            ),
            "Set MAIL_FROM to an address of a domain that the mail server may send for.",
        ),
    }
}

fn links(config: &Config) -> Option<Finding> {
    config.public_url.is_none().then(|| {
        Finding::warning(
            "SMTP_URL is set, but PUBLIC_URL is not: links in mails lead to the machine of whoever reads them.",
            "Set PUBLIC_URL to the URL that clients use.",
        )
    })
}
