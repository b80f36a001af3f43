//! Mails: queued in Postgres by the statement that has a reason for one, sent by any node.
//!
//! The statement that asks writes the row itself:
//!
//! ```sql
//! mail as (insert into dualauth.mails (id, content, created_at, send_at, expires_at)
//!          select $1, $2, $3, $3, $4 where dualauth.mail_allowed($5, $3))
//! ```
//!
//! with what [`Mails::seal`] and [`Mails::address_mac`] give, and without the condition for a notice. After its commit,
//! [`Mails::wake_up`] has this node send it at once; without, a node finds it within seconds.

mod delivery;
mod folder;
mod list;
mod message;
mod queue;
mod render;
mod seal;
mod sender;
mod smtp;
mod templates;
mod transport;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::Clock;
use crate::crypto::{AppSecret, MacKey};

pub use self::delivery::{Delivery, MailSetupError};
pub use self::folder::{KeptMail, MailFolder};
pub use self::list::{WaitingMail, waiting};
pub use self::message::{Language, Mail, MailedCode, Message, SignInMethod};
use self::queue::QueuedMail;
use self::seal::ContentSealer;
pub use self::sender::MailSender;
pub use self::transport::DeliveryError;

/// How long a notice is tried.
const NOTICE_LIFETIME: chrono::Duration = chrono::Duration::hours(24);

/// The user who gets a mail.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The address of the account.
    pub address: String,
    /// Whether it was proved to be the user's.
    pub is_verified: bool,
    /// The language of the account.
    pub language: Language,
}

impl Recipient {
    /// With the columns of the user's row. A language that this version does not know is English.
    pub fn new(address: String, is_verified: bool, language: &str) -> Self {
        Self { address, is_verified, language: Language::of_tag(language).unwrap_or_default() }
    }
}

/// The mails of a node.
#[derive(Debug)]
pub struct Mails {
    delivery: Option<Delivery>,
    sealer: ContentSealer,
    addresses: MacKey,
    clock: Clock,
    queued: Notify,
    /// When the oldest mail in the queue was queued, at the last look.
    oldest: Mutex<Option<DateTime<Utc>>>,
}

/// The columns of a row of the queue; `send_at` is `created_at`.
#[derive(Debug)]
pub struct SealedMail {
    /// Its id.
    pub id: Uuid,
    /// Who gets what, sealed.
    pub content: Vec<u8>,
    /// Now.
    pub created_at: DateTime<Utc>,
    /// It is not sent after that.
    pub expires_at: DateTime<Utc>,
}

impl Mails {
    /// Mails sealed under this secret. `delivery`: how they are sent; `None`: they are off.
    pub fn new(delivery: Option<Delivery>, secret: &AppSecret, clock: Clock) -> Self {
        Self {
            delivery,
            sealer: ContentSealer::new(secret),
            addresses: MacKey::derive(secret, "mail address"),
            clock,
            queued: Notify::new(),
            oldest: Mutex::default(),
        }
    }

    /// Whether mails can be sent. If not, routes that need one are 503 `unavailable`.
    pub fn is_on(&self) -> bool {
        self.delivery.is_some()
    }

    /// Seals a mail for the queue.
    ///
    /// # Panics
    /// When the system's random number generator fails.
    pub fn seal(&self, mail: &Mail) -> SealedMail {
        let id = Uuid::now_v7();
        SealedMail {
            id,
            content: self.sealer.seal(id, mail),
            created_at: self.clock.now(),
            expires_at: mail.expires_at,
        }
    }

    /// Seals a notice, to be sent within a day. `None` when mails are off.
    pub fn seal_notice(&self, to: &Recipient, message: Message) -> Option<SealedMail> {
        let expires_at = self.clock.now() + NOTICE_LIFETIME;
        let mail = Mail { to: Some(to.address.clone()), language: to.language, message, expires_at };
        self.is_on().then(|| self.seal(&mail))
    }

    /// `None` when it was sealed under another secret, or by a version that knows more messages.
    fn open(&self, queued: &QueuedMail) -> Option<Mail> {
        self.sealer.open(queued.id, &queued.content)
    }

    /// The key of the address in `mail_quotas`, whatever its letter case: a MAC of 32 bytes.
    pub fn address_mac(&self, address: &str) -> Vec<u8> {
        self.addresses.sign(address.to_ascii_lowercase().as_bytes()).to_vec()
    }

    /// Has this node look for mails at once. To be called after the commit.
    pub fn wake_up(&self) {
        self.queued.notify_one();
    }

    /// The folder that mails are kept in, where they are not sent.
    pub fn folder(&self) -> Option<&MailFolder> {
        self.delivery.as_ref().and_then(Delivery::folder)
    }

    /// For how long the oldest mail in the queue has waited; zero when there is none.
    pub fn oldest_age(&self) -> Duration {
        let oldest = *self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        oldest.and_then(|oldest| (self.clock.now() - oldest).to_std().ok()).unwrap_or_default()
    }

    fn set_oldest(&self, oldest: Option<DateTime<Utc>>) {
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
    }
}
