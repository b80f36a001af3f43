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

mod message;
mod seal;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::Clock;
use crate::crypto::{AppSecret, MacKey};

pub use self::message::{Language, Mail, MailedCode, Message, SignInMethod};
use self::seal::ContentSealer;

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

/// The mails of a node.
#[derive(Debug)]
pub struct Mails {
    is_on: bool,
    sealer: ContentSealer,
    addresses: MacKey,
    clock: Clock,
    queued: Notify,
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
    /// Mails sealed under this secret.
    pub fn new(is_on: bool, secret: &AppSecret, clock: Clock) -> Self {
        Self {
            is_on,
            sealer: ContentSealer::new(secret),
            addresses: MacKey::derive(secret, "mail address"),
            clock,
            queued: Notify::new(),
        }
    }

    /// Whether mails can be sent. If not, routes that need one are 503 `unavailable`.
    pub fn is_on(&self) -> bool {
        self.is_on
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
        self.is_on.then(|| self.seal(&mail))
    }

    /// The key of the address in `mail_quotas`, whatever its letter case: a MAC of 32 bytes.
    pub fn address_mac(&self, address: &str) -> Vec<u8> {
        self.addresses.sign(address.to_ascii_lowercase().as_bytes()).to_vec()
    }

    /// Has this node look for mails at once. To be called after the commit.
    pub fn wake_up(&self) {
        self.queued.notify_one();
    }
}
