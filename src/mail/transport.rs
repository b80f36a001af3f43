//! Where mails go: to an SMTP server, or into files.

use std::time::Duration;

use super::folder::MailFolder;
use super::render::RenderedMail;
use super::smtp::SmtpClient;

/// Why a mail was not handed over. What a server answered may contain the address: it is for operators, and for no log.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The server can't be reached, does not prove who it is, or speaks no TLS. No mail is to blame.
    #[error("the mail server can't be reached: {0}")]
    Unreachable(String),
    /// The server refuses the user or the password, or wants one. No mail is to blame.
    #[error("the mail server does not accept the credentials of SMTP_URL: {0}")]
    Unauthenticated(String),
    /// The connection ended while the mail was handed over: nobody knows whether the server has it.
    #[error("the connection ended: {0}")]
    Interrupted(String),
    /// The server refuses this mail for now (4xx).
    #[error("the mail server refuses the mail for now: {0}")]
    Deferred(String),
    /// The server refuses this mail for good (5xx), or the address is none.
    #[error("the mail was refused: {answer}")]
    Refused {
        /// The status of the answer; `None`: the address is none.
        status: Option<u16>,
        /// The answer.
        answer: String,
    },
}

impl DeliveryError {
    /// Whether another mail would fare the same.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unauthenticated(_))
    }

    /// In one word, for metrics and the log.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Interrupted(_) => "interrupted",
            Self::Deferred(_) => "deferred",
            Self::Refused { .. } => "refused",
        }
    }
}

/// Where mails go.
pub(super) enum MailTransport {
    Smtp(Box<SmtpClient>),
    Folder(MailFolder),
}

impl MailTransport {
    /// Gets ready to hand over mails.
    pub(super) async fn connect(&self) -> Result<(), DeliveryError> {
        match self {
            Self::Smtp(client) => client.connect().await,
            Self::Folder(_) => Ok(()),
        }
    }

    /// Hands over one mail within this time, and returns what the server answered. [`Self::connect`] comes first.
    pub(super) async fn send(&self, mail: &RenderedMail, limit: Duration) -> Result<String, DeliveryError> {
        match self {
            Self::Smtp(client) => client.send(&mail.envelope, &mail.content, limit).await,
            Self::Folder(folder) => folder.keep(mail).map_err(|error| {
                DeliveryError::Unreachable(format!("the mail can't be written to its folder: {error}"))
            }),
        }
    }

    /// There is nothing more to hand over for now.
    pub(super) async fn disconnect(&self) {
        if let Self::Smtp(client) = self {
            client.disconnect().await;
        }
    }
}
