//! Hands mails to an SMTP server (RFC 5321), one at a time over one connection.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Host;

use crate::config::{SmtpConfig, SmtpSecurity};
use crate::machine_roots::{RootsError, machine_roots};

use super::transport::DeliveryError;

/// Time limit for a connection with TLS and authentication.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Statuses that mean: not without authentication, whatever the mail (RFC 4954, section 6).
const NOT_AUTHENTICATED: [u16; 4] = [530, 534, 535, 538];

/// The server is about to close the connection, whatever the mail (RFC 5321, section 3.8).
const CLOSING: u16 = 421;

/// Why no client can be made from the settings.
#[derive(Debug, thiserror::Error)]
pub enum SmtpSetupError {
    /// The trusted certificates of this machine can't be read.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// TLS can't be set up.
    #[error("TLS to the mail server can't be set up: {0}")]
    Tls(#[from] SmtpError),
}

/// A client of one server.
pub(super) struct SmtpClient {
    config: SmtpConfig,
    tls: TlsParameters,
    /// How this machine calls itself.
    name: ClientId,
    /// The open connection, if any.
    connection: Mutex<Option<AsyncSmtpConnection>>,
}

impl SmtpClient {
    /// `name` is this service's host.
    pub(super) fn new(config: SmtpConfig, name: Host) -> Result<Self, SmtpSetupError> {
        let tls = match config.security {
            // Never used, so no certificate is needed.
            SmtpSecurity::Unprotected => tls_parameters(&config.host).build()?,
            SmtpSecurity::Tls | SmtpSecurity::StartTls => {
                let roots = Certificate::from_pem(&machine_roots()?)?;
                tls_parameters(&config.host).add_root_certificate(roots).build()?
            }
        };
        let name = match name {
            Host::Domain(name) => ClientId::Domain(name),
            Host::Ipv4(address) => ClientId::Ipv4(address),
            Host::Ipv6(address) => ClientId::Ipv6(address),
        };
        Ok(Self { config, tls, name, connection: Mutex::new(None) })
    }

    /// Connects and authenticates, unless there is a connection that works.
    pub(super) async fn connect(&self) -> Result<(), DeliveryError> {
        let mut connection = self.connection.lock().await;
        let connecting = async {
            if let Some(open) = connection.as_mut()
                && open.test_connected().await
            {
                return Ok(());
            }
            *connection = None;
            *connection = Some(self.new_connection().await?);
            Ok(())
        };
        timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(timed_out()))
    }

    async fn new_connection(&self) -> Result<AsyncSmtpConnection, DeliveryError> {
        let server = (host_name(&self.config.host), self.config.port);
        let implicit = (self.config.security == SmtpSecurity::Tls).then(|| self.tls.clone());
        let connecting =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIMEOUT), &self.name, implicit, None);
        let mut connection = connecting.await.map_err(unreachable)?;
        if self.config.security == SmtpSecurity::StartTls {
            // Fails when it is not offered: somebody in between may have left it out.
            connection.starttls(self.tls.clone(), &self.name).await.map_err(unreachable)?;
        }
        if let Some(credentials) = &self.config.credentials {
            let password = credentials.password.expose_secret().to_owned();
            let credentials = Credentials::new(credentials.username.clone(), password);
            let outcome = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            outcome.map_err(|error| DeliveryError::Unauthenticated(error.to_string()))?;
        }
        Ok(connection)
    }

    /// Hands over one mail within this time, and returns the server's answer. [`Self::connect`] comes first.
    pub(super) async fn send(
        &self,
        envelope: &Envelope,
        mail: &[u8],
        limit: Duration,
    ) -> Result<String, DeliveryError> {
        let mut held = self.connection.lock().await;
        // Taken out: a connection that a mail was not handed over by, or only half, is not used again.
        let Some(mut connection) = held.take() else {
            return Err(DeliveryError::Unreachable("there is no connection".to_owned()));
        };
        let answer = match timeout(limit, connection.send(envelope, mail)).await {
            Ok(answer) => answer.map_err(of_mail)?,
            Err(_) => return Err(DeliveryError::Interrupted("the server took too long".to_owned())),
        };
        *held = Some(connection);
        Ok(text(&answer))
    }

    /// Closes the connection, if there is one.
    pub(super) async fn disconnect(&self) {
        if let Some(mut connection) = self.connection.lock().await.take() {
            let _ = timeout(CONNECT_TIMEOUT, connection.quit()).await;
        }
    }
}

fn tls_parameters(host: &Host) -> TlsParametersBuilder {
    TlsParameters::builder(host_name(host)).certificate_store(CertificateStore::None)
}

/// Without the brackets of an IPv6 address in a URL.
fn host_name(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

/// The error of a connection on which no mail was begun yet.
fn unreachable(error: SmtpError) -> DeliveryError {
    DeliveryError::Unreachable(error.to_string())
}

fn timed_out() -> DeliveryError {
    DeliveryError::Unreachable("the server took too long to answer".to_owned())
}

/// The error of a connection on which a mail was begun.
fn of_mail(error: SmtpError) -> DeliveryError {
    let status = error.status().map(u16::from);
    let answer = error.to_string();
    match status {
        Some(status) if NOT_AUTHENTICATED.contains(&status) => DeliveryError::Unauthenticated(answer),
        Some(CLOSING) => DeliveryError::Unreachable(answer),
        Some(status) if error.is_permanent() => DeliveryError::Refused { status: Some(status), answer },
        Some(_) => DeliveryError::Deferred(answer),
        None => DeliveryError::Interrupted(answer),
    }
}

fn text(answer: &Response) -> String {
    let lines: Vec<_> = answer.message().collect();
    format!("{} {}", answer.code(), lines.join(" "))
}
