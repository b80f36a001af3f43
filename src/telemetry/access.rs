//! Access log: one line per request. Written without `tracing`, since there are as many of them as of all other lines
//! together.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use tracing::Level;
use uuid::Uuid;

use crate::clock::{Clock, write_rfc3339};
use crate::config::LogFormat;

use super::lines::PendingLines;
use super::request::{RequestId, RequestUser};

/// Usual length of an access line in bytes.
const LINE: usize = 448;

/// Maximum length of a path in the log, in bytes, so that requests for long paths can't fill the disk.
const MAX_PATH: usize = 256;

const TARGET: &str = "dualauth::access";

/// The output of the access log.
static OUTPUT: OnceLock<Output> = OnceLock::new();

struct Output {
    waiting: Arc<PendingLines>,
    format: LogFormat,
    /// Whether `LOG` enables access lines: checked once, not per line.
    is_enabled: bool,
}

/// Sets the output. To be called after logging was set up.
pub(super) fn write_to(waiting: Arc<PendingLines>, format: LogFormat) {
    let is_enabled = tracing::enabled!(target: TARGET, Level::INFO);
    // Only the first call in a process has an effect.
    let _ = OUTPUT.set(Output { waiting, format, is_enabled });
}

/// The access log entry of a request.
#[derive(Debug)]
pub struct AccessRecord<'a> {
    /// As sent by the client.
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    /// Status of the response.
    pub status: u16,
    /// Time from the request's head to the response's, in microseconds.
    pub micros: u64,
    /// The id of the request.
    pub request_id: RequestId,
    /// The client's network address.
    pub client: IpAddr,
    /// The authenticated user, if there is one.
    pub who: Option<RequestUser>,
    /// The code of the problem document in the response, if it is one.
    pub code: Option<&'static str>,
}

/// Logs a request with the target `dualauth::access` at level `info`.
pub fn access(access: &AccessRecord<'_>) {
    match OUTPUT.get() {
        Some(Output { is_enabled: false, .. }) => {}
        Some(Output { waiting, format, .. }) => waiting.push(access.line(*format).as_bytes()),
        // Embedded in another program: logged through its subscriber.
        None => tracing::info!(target: TARGET, ?access, "request"),
    }
}

impl AccessRecord<'_> {
    /// The line in the format of the other log lines.
    fn line(&self, format: LogFormat) -> String {
        let mut line = AccessLine::begin(format);
        line.text("method", self.method);
        line.text("path", cut(self.path));
        line.number("status", self.status);
        line.number("micros", self.micros);
        line.word("request_id", self.request_id.as_str());
        line.address("client", self.client);
        if let Some(RequestUser { user, login, mode }) = self.who {
            line.id("user_id", user);
            line.id("login_id", login);
            line.word("mode", mode);
        }
        if let Some(code) = self.code {
            line.word("code", code);
        }
        line.end()
    }
}

/// Cuts a path at a character boundary.
fn cut(path: &str) -> &str {
    &path[..path.floor_char_boundary(MAX_PATH)]
}

/// Like its `Display`, but faster: without support for width and padding.
fn dotted(address: Ipv4Addr) -> String {
    let mut text = String::with_capacity("255.255.255.255".len());
    for (number, octet) in address.octets().into_iter().enumerate() {
        if number > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// A line that is being built from its parts: `format!` costs several times as much, and this runs for every request.
struct AccessLine {
    text: String,
    format: LogFormat,
}

impl AccessLine {
    fn begin(format: LogFormat) -> Self {
        let (before, after) = match format {
            LogFormat::Pretty => ("", "  INFO dualauth::access: request"),
            LogFormat::Json => {
                (r#"{"timestamp":""#, r#"","level":"INFO","message":"request","target":"dualauth::access""#)
            }
        };
        let mut text = String::with_capacity(LINE);
        text.push_str(before);
        write_rfc3339(Clock::system().now(), &mut text);
        text.push_str(after);
        Self { text, format }
    }

    fn name(&mut self, name: &str) {
        let (before, after) = match self.format {
            LogFormat::Pretty => (" ", "="),
            LogFormat::Json => (",\"", "\":"),
        };
        for part in [before, name, after] {
            self.text.push_str(part);
        }
    }

    /// Adds a value that the client chose: quoted, so that it can't forge fields or lines.
    fn text(&mut self, name: &str, value: &str) {
        let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        match self.format {
            _ if is_plain => self.quoted(name, value),
            // Writing to a string can't fail.
            LogFormat::Pretty => {
                self.name(name);
                let _ = write!(self.text, "{value:?}");
            }
            LogFormat::Json => {
                self.name(name);
                self.text.push_str(&serde_json::to_string(value).unwrap_or_default());
            }
        }
    }

    /// Adds a value from a fixed set, which needs no quoting.
    fn word(&mut self, name: &str, value: &str) {
        match self.format {
            LogFormat::Pretty => self.bare(name, value),
            LogFormat::Json => self.quoted(name, value),
        }
    }

    fn id(&mut self, name: &str, id: Uuid) {
        self.word(name, id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }

    fn address(&mut self, name: &str, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.word(name, &dotted(address)),
            IpAddr::V6(address) => self.word(name, &address.to_string()),
        }
    }

    fn number(&mut self, name: &str, number: impl itoa::Integer) {
        self.bare(name, itoa::Buffer::new().format(number));
    }

    fn quoted(&mut self, name: &str, value: &str) {
        self.name(name);
        for part in ["\"", value, "\""] {
            self.text.push_str(part);
        }
    }

    fn bare(&mut self, name: &str, value: &str) {
        self.name(name);
        self.text.push_str(value);
    }

    fn end(mut self) -> String {
        self.text.push_str(match self.format {
            LogFormat::Pretty => "\n",
            LogFormat::Json => "}\n",
        });
        self.text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn access(path: &str) -> AccessRecord<'_> {
        AccessRecord {
            method: "GET",
            path,
            status: 404,
            micros: 12,
            request_id: RequestId::random(),
            client: IpAddr::from([192, 0, 2, 7]),
            who: Some(RequestUser { user: Uuid::nil(), login: Uuid::max(), mode: "session" }),
            code: Some("not_found"),
        }
    }

    #[test]
    fn a_path_forges_no_line_and_no_field() {
        for path in [
            "/a\nb",
            "/\r\n",
            "/x status=200",
            "/\"} {\"level\":\"ERROR",
            "/\\\"",
            "/\u{1b}[31m",
            "/\u{202e}",
        ] {
            let access = access(path);
            let pretty = access.line(LogFormat::Pretty);
            assert_eq!(pretty.matches('\n').count(), 1, "{pretty}");
            assert!(!pretty.trim_end().contains(|letter: char| letter.is_control()), "{pretty:?}");
            let rest = pretty.split_once(&format!(" path={path:?} status=404 ")).expect("quoted").1;
            assert!(rest.starts_with("micros=12 request_id="), "{pretty}");

            let json: Value = serde_json::from_str(&access.line(LogFormat::Json)).expect("an object");
            assert_eq!((&json["path"], &json["status"]), (&json!(path), &json!(404)));
        }
    }

    #[test]
    fn an_endless_path_is_cut() {
        for letter in ["x", "é", "\u{1f4e6}"] {
            let path = format!("/{}", letter.repeat(4_000));
            for format in [LogFormat::Pretty, LogFormat::Json] {
                let line = access(&path).line(format);
                assert!(line.contains("/é") || line.contains(&letter.repeat(60)), "{line}");
                assert!(line.len() < MAX_PATH + LINE, "{line}");
            }
        }
    }

    #[test]
    fn every_field_is_there_in_either_format() {
        let access = access("/profile");
        let pretty = access.line(LogFormat::Pretty);
        let json: Value = serde_json::from_str(&access.line(LogFormat::Json)).expect("an object");
        for (name, value) in [
            ("request_id", access.request_id.as_str()),
            ("client", "192.0.2.7"),
            ("user_id", "00000000-0000-0000-0000-000000000000"),
            ("login_id", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            ("mode", "session"),
            ("code", "not_found"),
        ] {
            assert!(pretty.contains(&format!(" {name}={value}")), "{pretty}");
            assert_eq!(json[name], value);
        }
    }
}
