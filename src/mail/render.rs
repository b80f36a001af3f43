//! Makes a mail of a message: its text and HTML, and the headers around them (RFC 5322; RFC 2046, section 5.1.4).

use chrono::{DateTime, SecondsFormat, Utc};
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use minijinja::context;
use minijinja::value::{Value, merge_maps};
use uuid::Uuid;

use super::folder::KeptMail;
use super::templates::{TemplateError, Templates};
use super::{Mail, MailedCode, Message};

/// A mail that is ready to be sent.
pub(super) struct RenderedMail {
    pub(super) id: Uuid,
    pub(super) envelope: Envelope,
    /// With all headers.
    pub(super) content: Vec<u8>,
    /// As a person reads it.
    pub(super) summary: KeptMail,
}

/// Why a mail can't be rendered.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenderError {
    /// The address can't be one of a mail.
    #[error("the address is none: {0}")]
    Address(#[from] lettre::address::AddressError),
    /// Headers or envelope are not complete: a bug.
    #[error(transparent)]
    Headers(#[from] lettre::error::Error),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Renders mails.
pub(super) struct MailRenderer {
    templates: Templates,
    from: Mailbox,
    public_url: String,
    /// The host of `public_url`, for people.
    site: String,
}

impl MailRenderer {
    /// The templates must have been checked.
    pub(super) fn new(templates: Templates, from: Mailbox, public_url: String, site: String) -> Self {
        Self { templates, from, public_url, site }
    }

    /// Renders every message once, with sample values.
    ///
    /// # Errors
    /// The first template that is wrong.
    pub(super) fn check(&self) -> Result<(), TemplateError> {
        for language in super::Language::ALL {
            for message in Message::samples() {
                let expires_at = DateTime::UNIX_EPOCH;
                let mail = Mail { to: None, language, message, expires_at };
                self.templates.render(language, mail.message.name(), &self.context(&mail, expires_at))?;
            }
        }
        Ok(())
    }

    pub(super) fn from(&self) -> &Mailbox {
        &self.from
    }

    pub(super) fn render(
        &self,
        id: Uuid,
        to: &str,
        mail: &Mail,
        now: DateTime<Utc>,
    ) -> Result<RenderedMail, RenderError> {
        let to = Mailbox::new(None, to.parse()?);
        let rendered = self.templates.render(mail.language, mail.message.name(), &self.context(mail, now))?;
        // The same at each try, so that a mail which comes twice can be told.
        let message_id = format!("<{id}@{}>", self.from.email.domain());
        // Nobody's "out of office" is wanted (RFC 3834, section 5).
        let automatic =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let summary = KeptMail {
            at: now,
            to: to.email.to_string(),
            subject: rendered.subject.clone(),
            text: rendered.text.clone(),
        };
        let message = lettre::Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(rendered.subject)
            .date(now.into())
            .message_id(Some(message_id))
            .raw_header(automatic)
            .multipart(MultiPart::alternative_plain_html(rendered.text, rendered.html))?;
        Ok(RenderedMail { id, envelope: message.envelope().clone(), content: message.formatted(), summary })
    }

    /// What templates can use: the members of the message, and what is named here.
    fn context(&self, mail: &Mail, now: DateTime<Utc>) -> Value {
        let minutes = (mail.expires_at - now).num_minutes().max(1);
        let of_all = context! {
            site => self.site.as_str(),
            // A URL has no character that HTML gives a meaning to.
            public_url => Value::from_safe_string(self.public_url.clone()),
            language => mail.language.as_str(),
        };
        let of_message = match &mail.message {
            Message::SignInCode(code)
            | Message::ResetPasswordCode(code)
            | Message::StepUpCode(code)
            | Message::VerifyEmailCode(code)
            | Message::RegistrationCode(code) => context! {
                code => spaced(&code.code),
                link => Value::from_safe_string(self.link(code)),
                minutes,
            },
            Message::ResetWithoutPassword { methods } => context! {
                methods => methods.iter().map(|method| method.as_str()).collect::<Vec<_>>(),
            },
            Message::RecoveryCodeUsed { left } => context! { left },
            Message::SignInFromNewNetwork { device, network, at } => context! {
                device,
                network,
                at => at.to_rfc3339_opts(SecondsFormat::Secs, true).replace('T', " ").replace('Z', " UTC"),
            },
            _ => context! {},
        };
        merge_maps([of_message, of_all])
    }

    /// In a fragment, which no server and no proxy sees.
    fn link(&self, code: &MailedCode) -> String {
        format!("{}/mail#{}.{}", self.public_url, code.challenge, code.code)
    }
}

/// `1234 5678`.
fn spaced(code: &str) -> String {
    code.split_at_checked(4).map_or_else(|| code.to_owned(), |(first, rest)| format!("{first} {rest}"))
}
