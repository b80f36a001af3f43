//! `SMTP_URL`, `MAIL_FROM` and `MAIL_TEMPLATES`: how mails are sent, and what they look like.

use std::path::PathBuf;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::{Host, Url};

use super::public_url::is_loopback;
use super::reader::Reader;

/// Settings of mails.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// `SMTP_URL`: the server that mails are handed to; `None`: they are off, or kept in files on the private Postgres.
    pub smtp: Option<SmtpConfig>,
    /// `MAIL_FROM`; `None`: `no-reply` at `PUBLIC_URL`'s host.
    pub from: Option<Mailbox>,
    /// `MAIL_TEMPLATES`: a folder with templates that take the place of the built-in ones.
    pub templates: Option<PathBuf>,
}

/// A server that takes mails (RFC 5321; RFC 6409).
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// Who authenticates (RFC 4954).
    pub credentials: Option<SmtpCredentials>,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the start (RFC 8314, section 3.3).
    Tls,
    /// TLS after the command `STARTTLS` (RFC 3207); without it nothing is sent.
    StartTls,
    /// Not at all: the server is on this machine.
    Unprotected,
}

/// A user of a mail server.
#[derive(Clone, Debug)]
pub struct SmtpCredentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

const EXPECTED_URL: &str = "smtps://user:password@host or smtp://user:password@host:587, with user and password \
                            percent-encoded (RFC 3986), and nothing after the port";

impl MailConfig {
    pub(super) fn read<V: Fn(&str) -> Option<String>>(reader: &mut Reader<V>) -> Self {
        let from = |text: &str| text.parse::<Mailbox>().ok().filter(|_| !text.contains(char::is_control));
        Self {
            // Errors don't repeat it: it contains a password.
            smtp: reader.read("SMTP_URL", EXPECTED_URL, SmtpConfig::parse),
            from: reader.read("MAIL_FROM", "an address such as Example <no-reply@example.com>", from),
            templates: reader.text("MAIL_TEMPLATES").map(PathBuf::from),
        }
    }
}

impl SmtpConfig {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return None;
        }
        let host = Host::parse(url.host_str()?).ok()?;
        let (security, default_port) = match url.scheme() {
            "smtps" => (SmtpSecurity::Tls, 465),
            "smtp" if is_loopback(&host) => (SmtpSecurity::Unprotected, 587),
            "smtp" => (SmtpSecurity::StartTls, 587),
            _ => return None,
        };
        let port = url.port().unwrap_or(default_port);
        Some(Self { host, port, security, credentials: SmtpCredentials::of_url(&url)? })
    }
}

impl SmtpCredentials {
    /// The inner `None`: there are none.
    fn of_url(url: &Url) -> Option<Option<Self>> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(String::from);
        match (url.username(), url.password()) {
            ("", None) => Some(None),
            (username, Some(password)) if !username.is_empty() && !password.is_empty() => {
                Some(Some(Self { username: decoded(username)?, password: decoded(password)?.into() }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_url_says_where_to_how_and_as_whom() {
        use SmtpSecurity::{StartTls, Tls, Unprotected};
        for (url, host, port, security, credentials) in [
            ("smtps://mail.example.com", "mail.example.com", 465, Tls, None),
            ("smtp://Mail.example.com", "mail.example.com", 587, StartTls, None),
            ("smtp://mail.example.com:25/", "mail.example.com", 25, StartTls, None),
            ("smtp://localhost:1025", "localhost", 1025, Unprotected, None),
            ("smtp://127.0.0.2", "127.0.0.2", 587, Unprotected, None),
            ("smtp://[::1]:25", "[::1]", 25, Unprotected, None),
            ("smtp://localhost.example.com", "localhost.example.com", 587, StartTls, None),
            ("smtps://localhost", "localhost", 465, Tls, None),
            (
                "smtps://me%40example.com:p%2Fw%3A@[2001:db8::1]:1",
                "[2001:db8::1]",
                1,
                Tls,
                Some(("me@example.com", "p/w:")),
            ),
        ] {
            let config = SmtpConfig::parse(url).expect(url);
            assert_eq!((&*config.host.to_string(), config.port, config.security), (host, port, security));
            let given = config.credentials.as_ref();
            let given = given.map(|given| (given.username.as_str(), given.password.expose_secret()));
            assert_eq!(given, credentials, "{url}");
            assert!(!format!("{config:?}").contains("p/w"), "{config:?}");
        }
    }

    #[test]
    fn what_could_send_a_password_elsewhere_or_be_meant_otherwise_is_refused() {
        for url in [
            "mail.example.com:587",
            "https://mail.example.com",
            "smtp://",
            "smtp://me@mail.example.com",
            "smtp://:secret@mail.example.com",
            "smtp://me:@mail.example.com",
            "smtp://me:pass/word@mail.example.com",
            "smtp://me:secret@mail.example.com/?tls=none",
            "smtp://mail.example.com?tls=opportunistic",
            "smtp://mail.example.com#x",
            "smtp://mail.example.com/relay",
            "smtp://mail.example.com:99999",
            "smtp://me:%ff@mail.example.com",
        ] {
            assert!(SmtpConfig::parse(url).is_none(), "{url}");
        }
    }
}
