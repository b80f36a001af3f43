//! Requests that actix's HTTP parser rejects: it writes a bare response before any of our code has seen the request.

use crate::error::{Code, Problem};

/// End of a bare response.
const END: &[u8] = b"\r\n\r\n";

/// Maximum size of a bare response, in bytes.
const LONGEST: usize = 160;

/// A bare response by actix, among the bytes that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareResponse<'a> {
    /// Its position.
    pub at: usize,
    /// Such as `HTTP/1.1`.
    pub version: &'a str,
    /// Its status.
    pub status: u16,
    /// Its `date` header, the whole line.
    pub date: &'a str,
}

impl<'a> BareResponse<'a> {
    /// Finds a bare response at the end. It consists of these few lines only, unlike our responses whatever a client
    /// makes them contain: ours have headers after the length and a body after the headers.
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

/// Maximum length of a path with its query, in bytes: more than any route needs, and as much as every server should
/// support (RFC 9110, section 4.1).
pub const MAX_TARGET: usize = 8 * 1024;

/// The beginning of a request: its head, as far as received. May include parts of the body, so it may contain secrets
/// and has no readable `Debug`.
#[derive(Default)]
pub struct RequestPrefix(Vec<u8>);

/// Maximum size of a head: actix rejects larger ones before they are complete.
const MAX_HEAD: usize = 128 * 1024;

/// Capacity that a connection keeps between requests, in bytes.
const USUAL_HEAD: usize = 2 * 1024;

/// Maximum number of bytes that appear in the log.
const MAX_LOGGED: usize = 128;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Stands for an unknown method or path in the log.
const UNKNOWN: &str = "-";

impl RequestPrefix {
    /// Adds received bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let room = MAX_HEAD.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Clears it at the end of a request.
    pub fn forget(&mut self) {
        self.0.clear();
        self.0.shrink_to(USUAL_HEAD);
    }

    /// Skips empty lines before the request (RFC 9112, section 2.2).
    fn bytes(&self) -> &[u8] {
        let begin = self.0.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        &self.0[begin.unwrap_or(self.0.len())..]
    }

    /// The method and the path without query, if the method is a known one. Otherwise the bytes may be anything, such
    /// as part of a body.
    pub fn method_and_path(&self) -> (&str, &str) {
        self.known().unwrap_or((UNKNOWN, UNKNOWN))
    }

    fn known(&self) -> Option<(&str, &str)> {
        let bytes = self.bytes();
        let valid = bytes[..bytes.len().min(MAX_LOGGED)].utf8_chunks().next()?.valid();
        let (method, rest) = valid.split_once(" /")?;
        let path = &valid[method.len() + 1..];
        let length = rest.find(['?', '#', ' ', '\r', '\n']).map_or(path.len(), |end| end + 1);
        METHODS.contains(&method).then_some((method, &path[..length]))
    }

    /// The value of the `Origin` header, if it has been received completely and is the only one.
    pub fn origin(&self) -> Option<&[u8]> {
        self.known()?;
        let lines = self.bytes().split_inclusive(|byte| *byte == b'\n').skip(1);
        let headers = lines.take_while(|line| line.ends_with(b"\n") && !line.trim_ascii().is_empty());
        let mut origins = headers.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            line[..colon].eq_ignore_ascii_case(b"origin").then(|| line[colon + 1..].trim_ascii())
        });
        origins.next().filter(|_| origins.next().is_none())
    }

    /// actix reports such a request as malformed, or its head as too long.
    fn has_too_long_a_path(&self) -> bool {
        let longest = MAX_TARGET + "OPTIONS  HTTP/1.1\r".len();
        let mut line = self.bytes().split(|byte| *byte == b'\n');
        self.known().is_some() && line.next().is_some_and(|line| line.len() > longest)
    }

    /// The problem document for a request that actix rejects with this status.
    pub fn problem(&self, status: u16) -> Problem {
        if status != 408 && self.has_too_long_a_path() {
            return too_long_a_path();
        }
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

/// The problem document for a path with query that is longer than [`MAX_TARGET`].
pub fn too_long_a_path() -> Problem {
    let detail = format!("A path has {MAX_TARGET} bytes at most.");
    Problem::new(Code::MalformedRequest, detail).with_status(414)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "date: Thu, 26 Nov 2026 20:55:03 GMT";

    fn found(written: &str) -> Option<(usize, u16)> {
        BareResponse::find(written.as_bytes()).map(|bare| (bare.at, bare.status))
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

    fn begun(request: &str) -> RequestPrefix {
        let mut beginning = RequestPrefix::default();
        // Regardless of how it is split into pieces.
        for byte in request.as_bytes() {
            beginning.add(&[*byte]);
        }
        beginning
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
            assert_eq!(begun(request).method_and_path(), known, "{request:?}");
        }
        let long = format!("GET /{}", "é".repeat(200));
        let length = begun(&long).method_and_path().1.len();
        assert!((100..=MAX_LOGGED).contains(&length), "{length}");
    }

    #[test]
    fn an_origin_is_found_in_whole_lines_of_the_head() {
        for (request, origin) in [
            ("GET / HTTP/1.1\r\nOrigin: a\r\nX", Some("a")),
            ("\r\nGET / HTTP/1.1\nORIGIN:a\n\n", Some("a")),
            ("GET / HTTP/1.1\r\nOrigin: a", None),
            ("GET / HTTP/1.1\r\nX: Origin: a\r\n", None),
            ("GET / HTTP/1.1\r\nOrigin: a\r\nOrigin: a\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n\r\nOrigin: a\r\n\r\n", None),
            ("Origin: a\r\nOrigin: a\r\n", None),
        ] {
            assert_eq!(begun(request).origin(), origin.map(str::as_bytes), "{request:?}");
        }
    }
}
