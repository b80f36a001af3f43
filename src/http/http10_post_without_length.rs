//! HTTP/1.0 requests without a length have no body (RFC 9112, section 6.3). actix rejects such a `POST`, which nginx
//! by default sends to upstreams, so the missing `Content-Length: 0` is added.

use super::head_size_and_head_as_get::MAX_HEADERS;
use super::parser_refusal::MAX_TARGET;

/// Maximum size of a head that is scanned: larger ones are rejected anyway.
const MAX_HEAD: usize = MAX_TARGET + MAX_HEADERS;

const LENGTH: &[u8] = b"Content-Length: 0\r\n";

/// Whether the length must be added to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum ContentLengthInsertion {
    /// Not known yet: more bytes are needed.
    Undecided,
    /// Nothing has to be added.
    NotNeeded,
    /// It must be added at this position.
    Missing(usize),
}

/// A scan of a request that arrives in pieces. Remembers its position, since the request may arrive byte by byte.
#[derive(Debug, Default)]
pub struct Scan {
    /// Where the headers begin, once the first line has arrived.
    headers: Option<usize>,
    /// Start of the current incomplete line.
    line: usize,
    /// Number of bytes scanned.
    seen: usize,
}

impl Scan {
    /// Continues the scan. `request` is everything that has arrived so far.
    pub fn scan_more(&mut self, request: &[u8]) -> ContentLengthInsertion {
        if request.len() > MAX_HEAD || !may_be_a_post(request) {
            return ContentLengthInsertion::NotNeeded;
        }
        while let Some(length) = request[self.seen..].iter().position(|byte| *byte == b'\n') {
            let line = request[self.line..self.seen + length].trim_ascii_end();
            self.seen += length + 1;
            self.line = self.seen;
            match self.headers {
                // Empty lines may precede a request (RFC 9112, section 2.2).
                None if line.is_empty() => {}
                None if line.ends_with(b" HTTP/1.0") => self.headers = Some(self.seen),
                None => return ContentLengthInsertion::NotNeeded,
                Some(place) if line.is_empty() => return ContentLengthInsertion::Missing(place),
                Some(_) if is_about_the_body(line) => return ContentLengthInsertion::NotNeeded,
                Some(_) => {}
            }
        }
        self.seen = request.len();
        ContentLengthInsertion::Undecided
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

/// Adds the header at this position.
pub fn add_length(request: &mut Vec<u8>, place: usize) {
    request.splice(place..place, LENGTH.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(request: &str) -> ContentLengthInsertion {
        let (mut scan, bytes) = (Scan::default(), request.as_bytes());
        let whole = Scan::default().scan_more(bytes);
        // Regardless of how it is split into pieces.
        let said = (1..=bytes.len()).map(|length| scan.scan_more(&bytes[..length]));
        let said = said.fold(ContentLengthInsertion::Undecided, |said, next| {
            if said == ContentLengthInsertion::Undecided { next } else { said }
        });
        assert_eq!(said, whole, "{request:?}");
        whole
    }

    fn told(request: &str) -> Option<String> {
        let ContentLengthInsertion::Missing(place) = of(request) else { return None };
        let mut bytes = request.as_bytes().to_vec();
        add_length(&mut bytes, place);
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn a_post_without_a_length_is_told_that_it_has_no_body() {
        for (request, expected) in [
            ("POST / HTTP/1.0\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"),
            ("POST / HTTP/1.0\r\nHost: x\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 0\r\nHost: x\r\n\r\n"),
            ("\r\n\nPOST / HTTP/1.0\r\n\r\n", "\r\n\nPOST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"),
            (
                "POST / HTTP/1.0\r\nContent-Length-Hint: 2\r\n\r\n",
                "POST / HTTP/1.0\r\nContent-Length: 0\r\nContent-Length-Hint: 2\r\n\r\n",
            ),
            ("POST / HTTP/1.0\n\n", "POST / HTTP/1.0\nContent-Length: 0\r\n\n"),
        ] {
            assert_eq!(told(request).as_deref(), Some(expected));
            for end in 0..request.len() {
                assert_eq!(of(&request[..end]), ContentLengthInsertion::Undecided, "{:?}", &request[..end]);
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
            assert_eq!(of(request), ContentLengthInsertion::NotNeeded, "{request:?}");
        }
        let endless = format!("POST / HTTP/1.0\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(of(&endless), ContentLengthInsertion::NotNeeded);
    }
}
