//! Seals what a mail says, for the queue: its length tells nothing, and neither does who gets it.

use uuid::Uuid;

use crate::crypto::{AppSecret, Sealer, SecretBytes};

use super::Mail;

/// The length of a content is a multiple of this many bytes. All but the very longest have one.
const BLOCK: usize = 1024;

/// Seals and opens contents of mails.
#[derive(Debug)]
pub(super) struct ContentSealer(Sealer);

impl ContentSealer {
    pub(super) fn new(secret: &AppSecret) -> Self {
        Self(Sealer::derive(secret, "mail content"))
    }

    /// # Panics
    /// When the system's random number generator fails: nothing that this program does would be secure.
    #[expect(
        clippy::expect_used,
        reason = "a mail is plain data, and no secret can be made without randomness"
    )]
    pub(super) fn seal(&self, id: Uuid, mail: &Mail) -> Vec<u8> {
        let mut content = serde_json::to_vec(mail).expect("a mail is plain data");
        // JSON allows spaces at the end (RFC 8259, section 2).
        content.resize(content.len().next_multiple_of(BLOCK), b' ');
        self.0.seal(&id.to_string(), &SecretBytes::new(content)).expect("the random number generator works")
    }

    /// `None` when it was sealed under another secret, or by a version that knows more messages.
    pub(super) fn open(&self, id: Uuid, sealed: &[u8]) -> Option<Mail> {
        let content = self.0.unseal(&id.to_string(), sealed)?;
        serde_json::from_slice(content.secret.reveal()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Language, MailedCode, Message};
    use super::*;
    use crate::clock::Clock;

    fn mail(to: Option<String>, message: Message) -> Mail {
        Mail { to, language: Language::En, message, expires_at: Clock::system().now() }
    }

    fn code() -> Message {
        Message::SignInCode(MailedCode { challenge: Uuid::nil(), code: "12345678".to_owned() })
    }

    #[test]
    fn the_length_tells_neither_who_gets_it_nor_what_it_says() {
        let sealer = ContentSealer::new(&AppSecret::generate());
        let longest = format!("{}@{}.example", "a".repeat(64), "b".repeat(180));
        let mails = [
            mail(None, code()),
            mail(Some("a@b.example".to_owned()), code()),
            mail(Some(longest), code()),
            mail(Some("a@b.example".to_owned()), Message::AccountDisabled),
        ];
        let lengths = mails.map(|mail| sealer.seal(Uuid::nil(), &mail).len());
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    }

    #[test]
    fn it_opens_under_either_secret_of_a_rotation_and_under_its_own_id_alone() {
        let [old, new] = [(); 2].map(|()| AppSecret::generate());
        let id = Uuid::now_v7();
        let sealed = ContentSealer::new(&old).seal(id, &mail(Some("a@b.example".to_owned()), code()));
        let opened = |secret: &AppSecret, id| ContentSealer::new(secret).open(id, &sealed);
        let rotating = new.clone().replacing(&old);
        assert_eq!(opened(&rotating, id).expect("it opens").to.as_deref(), Some("a@b.example"));
        assert!(opened(&new, id).is_none() && opened(&old, Uuid::now_v7()).is_none());
        assert!(!sealed.windows(8).any(|part| part == b"12345678" || part == b"b.exampl"));
    }
}
