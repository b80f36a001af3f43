//! HTTP/1.0, where a request without a length has no body (RFC 9112, section 6.3). actix refuses a `POST` like that,
//! which nginx sends to what is behind it unless it is told otherwise: it is told the length that it asks for.

use super::context::MAX_HEADERS;
use super::parser_refusal::MAX_TARGET;

/// The longest head that is looked at: what is longer is refused anyway.
const MAX_HEAD: usize = MAX_TARGET + MAX_HEADERS;

const LENGTH: &[u8] = b"Content-Length: 0\r\n";

/// What the beginning of a request says about its length.
#[derive(Debug, PartialEq, Eq)]
pub enum LengthHeader {
    /// Nothing yet: more has to come.
    Unknown,
    /// Nothing that actix would not know.
    Known,
    /// There is none, and actix asks for one. It has its place here.
    Missing(usize),
}

/// A look at a request that comes in pieces. What was looked at is not looked at again: it may come byte by byte.
#[derive(Debug, Default)]
pub struct Scan {
    /// Where the first line ends, once it has come.
    headers: Option<usize>,
    /// Where the line begins that has not come whole.
    line: usize,
    /// How far it was looked at.
    seen: usize,
}

impl Scan {
    /// What a request says, of which this has come: more each time.
    pub fn go_on(&mut self, request: &[u8]) -> LengthHeader {
        if request.len() > MAX_HEAD || !may_be_a_post(request) {
            return LengthHeader::Known;
        }
        while let Some(length) = request[self.seen..].iter().position(|byte| *byte == b'\n') {
            let line = request[self.line..self.seen + length].trim_ascii_end();
            self.seen += length + 1;
            self.line = self.seen;
            match self.headers {
                // Before it there may be empty ones (RFC 9112, section 2.2).
                None if line.is_empty() => {}
                None if line.ends_with(b" HTTP/1.0") => self.headers = Some(self.seen),
                None => return LengthHeader::Known,
                Some(place) if line.is_empty() => return LengthHeader::Missing(place),
                Some(_) if is_about_the_body(line) => return LengthHeader::Known,
                Some(_) => {}
            }
        }
        self.seen = request.len();
        LengthHeader::Unknown
    }
}

fn may_be_a_post(request: &[u8]) -> bool {
    const METHOD: &[u8] = b"POST ";
    let begin = request.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(request.len());
    let line = &request[begin..];
    let shortest = line.len().min(METHOD.len());
    line[..shortest] == METHOD[..shortest]
}

fn is_about_the_body(header: &[u8]) -> bool {
    let name = header.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// Writes into a request, at its place, that it has no body.
pub fn add_length(request: &mut Vec<u8>, place: usize) {
    request.splice(place..place, LENGTH.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(request: &str) -> LengthHeader {
        let (mut scan, bytes) = (Scan::default(), request.as_bytes());
        let whole = Scan::default().go_on(bytes);
        // However it comes.
        let said = (1..=bytes.len()).map(|length| scan.go_on(&bytes[..length]));
        let said = said.fold(
            LengthHeader::Unknown,
            |said, next| if said == LengthHeader::Unknown { next } else { said },
        );
        assert_eq!(said, whole, "{request:?}");
        whole
    }

    fn told(request: &str) -> Option<String> {
        let LengthHeader::Missing(place) = of(request) else { return None };
        let mut bytes = request.as_bytes().to_vec();
        add_length(&mut bytes, place);
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn a_post_without_a_length_is_told_that_it_has_no_body() {
        for (request, expected) in [
            ("POST / HTTP/1.0\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"),
            (
                "POST / HTTP/1.0\r\nHost: x\r\n\r\n",
                "POST / HTTP/1.0\r\nContent-Length: 0\r\nHost: x\r\n\r\n",
            ),
            ("\r\n\nPOST / HTTP/1.0\r\n\r\n", "\r\n\nPOST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"),
            (
                "POST / HTTP/1.0\r\nContent-Length-Hint: 2\r\n\r\n",
                "POST / HTTP/1.0\r\nContent-Length: 0\r\nContent-Length-Hint: 2\r\n\r\n",
            ),
            ("POST / HTTP/1.0\n\n", "POST / HTTP/1.0\nContent-Length: 0\r\n\n"),
        ] {
            assert_eq!(told(request).as_deref(), Some(expected));
            for end in 0..request.len() {
                assert_eq!(of(&request[..end]), LengthHeader::Unknown, "{:?}", &request[..end]);
            }
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for request in [
            "GET / HTTP/1.0\r\n\r\n",
            "PUT / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\n\r\n",
            "POST /\r\n\r\n",
            "POSTS / HTTP/1.0\r\n\r\n",
            "\r\nPOST / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n{}",
            "POST / HTTP/1.0\r\nHost: x\r\nCONTENT-length : 3\r\n\r\n{}",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(of(request), LengthHeader::Known, "{request:?}");
        }
        let endless = format!("POST / HTTP/1.0\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(of(&endless), LengthHeader::Known);
    }
}
