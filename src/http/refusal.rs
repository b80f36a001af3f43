//! What actix's HTTP parser refuses: it answers without a word, before any code of ours has seen the request.

use crate::error::{Code, Problem};

/// How a refusal ends.
const END: &[u8] = b"\r\n\r\n";

/// The longest refusal that actix has.
const LONGEST: usize = 160;

/// A refusal by actix, among the bytes that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bare<'a> {
    /// Where it begins.
    pub at: usize,
    /// Such as `HTTP/1.1`.
    pub version: &'a str,
    /// What it is answered with.
    pub status: u16,
    /// The line that says when.
    pub date: &'a str,
}

impl<'a> Bare<'a> {
    /// The one at the end, if there is one. It has these few lines and no others, which no answer of ours has, whatever a
    /// client makes it say: ours have headers after the length and a body after the headers.
    pub fn find(written: &'a [u8]) -> Option<Self> {
        if !written.ends_with(END) {
            return None;
        }
        let tail = &written[written.len().saturating_sub(LONGEST)..];
        let begin = tail.windows(7).rposition(|seven| seven == b"HTTP/1.")?;
        let mut lines = std::str::from_utf8(&tail[begin..]).ok()?.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (version, status) = (words.next()?, words.next()?.parse().ok()?);
        if !matches!(status, 400 | 408 | 431) || lines.next()? != "content-length: 0" {
            return None;
        }
        let mut lines = lines.skip_while(|line| line.starts_with("connection: "));
        let date = lines.next().filter(|line| line.starts_with("date: "))?;
        lines.eq(["", ""]).then_some(Self { at: written.len() - tail.len() + begin, version, status, date })
    }
}

/// The beginning of a request, for as much of it as its line in the log says.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    bytes: [u8; 128],
    length: usize,
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Stands for a method or a path that is not known.
const UNKNOWN: &str = "-";

impl Beginning {
    /// Of a request of which nothing is known.
    pub const UNKNOWN: Self = Self { bytes: [0; 128], length: 0 };

    /// Of one that begins like this.
    pub fn of(request: &[u8]) -> Self {
        let mut beginning = Self::UNKNOWN;
        beginning.length = request.len().min(beginning.bytes.len());
        beginning.bytes[..beginning.length].copy_from_slice(&request[..beginning.length]);
        beginning
    }

    /// It is over: nothing is known of what comes.
    pub fn forget(&mut self) {
        self.length = 0;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Its method and its path without a query, where it has a method that is well known: else it may be anything, such
    /// as the rest of somebody's body.
    pub fn method_and_path(&self) -> (&str, &str) {
        self.known().unwrap_or((UNKNOWN, UNKNOWN))
    }

    fn known(&self) -> Option<(&str, &str)> {
        let valid = self.bytes().utf8_chunks().next()?.valid();
        let (method, rest) = valid.split_once(" /")?;
        let path = &valid[method.len() + 1..];
        let length = rest.find(['?', '#', ' ', '\r', '\n']).map_or(path.len(), |end| end + 1);
        METHODS.contains(&method).then_some((method, &path[..length]))
    }

    /// What is wrong with it, and how it ended.
    pub fn problem(&self, status: u16) -> Problem {
        let (code, detail) = match status {
            408 => (Code::Timeout, "The request's head did not come in time."),
            431 => (Code::MalformedRequest, "The request's head is too long."),
            _ if self.bytes().starts_with(b"\x16\x03") => (
                Code::MalformedRequest,
                "This port speaks HTTP, and TLS came: the address begins with http://.",
            ),
            _ if self.bytes().starts_with(b"PRI * HTTP/2") => {
                (Code::MalformedRequest, "This port speaks HTTP/1.1, and HTTP/2 came.")
            }
            _ => (Code::MalformedRequest, "This is no request as HTTP/1.1 has it (RFC 9112)."),
        };
        Problem::new(code, detail).with_status(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "date: Thu, 26 Nov 2026 20:55:03 GMT";

    fn found(written: &str) -> Option<(usize, u16)> {
        Bare::find(written.as_bytes()).map(|bare| (bare.at, bare.status))
    }

    #[test]
    fn a_bare_refusal_is_found_behind_other_answers() {
        let bare = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{DATE}\r\n\r\n");
        assert_eq!(found(&bare), Some((0, 400)));
        let before = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(found(&format!("{before}{bare}")), Some((before.len(), 400)));
        let closing = bare.replace(DATE, &format!("connection: close\r\n{DATE}"));
        let closing = closing.replace("400 Bad Request", "431 Request Header Fields Too Large");
        assert_eq!(found(&closing), Some((0, 431)));
    }

    #[test]
    fn no_answer_of_ours_is_taken_for_one() {
        for answer in [
            format!("HTTP/1.1 204 No Content\r\nx-request-id: x\r\n{DATE}\r\n\r\n"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: x\r\n{DATE}\r\n\r\n"),
            format!("HTTP/1.1 204 No Content\r\nvary: HTTP/1.1 400 Bad Request\r\n{DATE}\r\n\r\n"),
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        ] {
            assert_eq!(found(&answer), None, "{answer}");
        }
    }

    #[test]
    fn a_line_says_what_was_asked_and_no_secret() {
        for (request, known) in [
            ("GET / HTTP/1.1\r\n", ("GET", "/")),
            ("GET /a?b=c HTTP/1.1\r\n", ("GET", "/a")),
            ("POST /a\r\n", ("POST", "/a")),
            ("DELETE /a/b", ("DELETE", "/a/b")),
            ("GET /a\u{e9}", ("GET", "/a\u{e9}")),
            ("GET http://x/ HTTP/1.1", (UNKNOWN, UNKNOWN)),
            ("\"password\": \"x\" /", (UNKNOWN, UNKNOWN)),
            ("BREW /", (UNKNOWN, UNKNOWN)),
            ("", (UNKNOWN, UNKNOWN)),
        ] {
            assert_eq!(Beginning::of(request.as_bytes()).method_and_path(), known, "{request:?}");
        }
        let long = format!("GET /{}", "é".repeat(200));
        assert!(Beginning::of(long.as_bytes()).method_and_path().1.len() > 100);
    }
}
