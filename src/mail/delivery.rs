//! Renders a mail and hands it over.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lettre::Address;
use lettre::message::Mailbox;
use url::{Host, Url};
use uuid::Uuid;

use crate::config::{Config, is_loopback};

use super::Mail;
use super::folder::MailFolder;
use super::render::{MailRenderer, RenderError};
use super::smtp::{SmtpClient, SmtpSetupError};
use super::templates::{TemplateError, Templates};
use super::transport::{DeliveryError, MailTransport};

/// Why mails can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailSetupError {
    /// A template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The mail server can't be spoken to in the way that is set.
    #[error("SMTP_URL: {0}")]
    Smtp(#[from] SmtpSetupError),
    /// `MAIL_FROM` has no default: `PUBLIC_URL`'s host is none of a mail address.
    #[error("MAIL_FROM: expected an address, since PUBLIC_URL's host can't have one")]
    From,
}

/// Renders mails and hands them over.
pub struct Delivery {
    transport: MailTransport,
    renderer: MailRenderer,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

impl Delivery {
    /// To the server in `SMTP_URL`; without one into the folder `mail` of the private Postgres' folder, if only this machine
    /// reaches `public_url`. `None`: mails are off.
    ///
    /// # Errors
    /// When a template is wrong, or the settings don't go together.
    pub fn new(config: &Config, public_url: &str) -> Result<Option<Self>, MailSetupError> {
        let host = Url::parse(public_url).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        let host = host.unwrap_or_else(|| Host::Domain("localhost".to_owned()));
        // Wrong templates are told also when mails are off.
        let templates = Templates::load(config.mail.templates.as_deref())?;
        let from = match &config.mail.from {
            Some(from) => from.clone(),
            None => default_from(&host)?,
        };
        let renderer = MailRenderer::new(templates, from, public_url.to_owned(), host.to_string());
        renderer.check()?;
        let transport = match &config.mail.smtp {
            Some(smtp) => MailTransport::Smtp(Box::new(SmtpClient::new(smtp.clone(), host)?)),
            None if config.database_url.is_none() && is_loopback(&host) => {
                MailTransport::Folder(MailFolder::new(config.data_folder.join("mail")))
            }
            None => return Ok(None),
        };
        Ok(Some(Self { transport, renderer }))
    }

    /// Gets ready to hand over mails: a server is connected to.
    ///
    /// # Errors
    /// When that fails, whatever the mail.
    pub async fn connect(&self) -> Result<(), DeliveryError> {
        self.transport.connect().await
    }

    /// Hands over one mail within this time, and returns what the server answered. [`Self::connect`] comes first.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    pub async fn send(
        &self,
        id: Uuid,
        to: &str,
        mail: &Mail,
        now: DateTime<Utc>,
        limit: Duration,
    ) -> Result<String, DeliveryError> {
        let rendered = self.renderer.render(id, to, mail, now).map_err(|error| match error {
            RenderError::Address(error) => DeliveryError::Refused { status: None, answer: error.to_string() },
            // Templates are checked at the start, but not with every value: a later version of them may do.
            error => DeliveryError::Deferred(error.to_string()),
        })?;
        self.transport.send(&rendered, limit).await
    }

    /// There is nothing more to hand over for now.
    pub async fn disconnect(&self) {
        self.transport.disconnect().await;
    }

    /// The folder that mails are kept in, if they are not sent.
    pub fn folder(&self) -> Option<&MailFolder> {
        match &self.transport {
            MailTransport::Folder(folder) => Some(folder),
            MailTransport::Smtp(_) => None,
        }
    }

    /// The address that mails come from.
    pub fn from(&self) -> &Mailbox {
        self.renderer.from()
    }
}

fn default_from(host: &Host) -> Result<Mailbox, MailSetupError> {
    let domain = match host {
        Host::Domain(name) => name.clone(),
        host if is_loopback(host) => "localhost".to_owned(),
        // An address literal (RFC 5321, section 4.1.3).
        Host::Ipv4(address) => format!("[{address}]"),
        Host::Ipv6(address) => format!("[IPv6:{address}]"),
    };
    let address = Address::new("no-reply", domain).map_err(|_| MailSetupError::From)?;
    Ok(Mailbox::new(Some("dualauth".to_owned()), address))
}
