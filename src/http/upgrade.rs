//! Ignores requests to change the protocol (`Upgrade`), as a server does that supports no other protocol (RFC 9110,
//! section 7.8).
//!
//! actix closes the connection after a request with `Connection: Upgrade`, so that the client's next request fails,
//! and assumes an endless body for `Upgrade: websocket`. It does so while parsing, and this can't be disabled. So the
//! values are masked before: one byte is replaced in place, without buffering or moving any. For that, this parser
//! has to follow where each request begins, and so how long each body is.

use memchr::memchr;

/// Replaces the first letter of a value that actix must not recognise.
const MASK: u8 = b'x';

const CONNECTION: &[u8] = b"connection";
const UPGRADE: &[u8] = b"upgrade";
const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";

/// Masks upgrade requests in the bytes of one connection.
#[derive(Debug, Default)]
pub struct UpgradeFilter {
    position: ParserState,
    /// Of the request whose head is being read.
    framing: Framing,
}

/// What a head has said so far about the length of its body (RFC 9112, section 6).
#[derive(Debug, Default)]
struct Framing {
    /// Whether anything but empty lines was received, which may precede a request.
    is_begun: bool,
    is_chunked: bool,
    content_length: u64,
}

/// The position of the next byte.
#[derive(Debug)]
enum ParserState {
    /// At the start of a line of a head, or in a header's name, of which this was received.
    Name(NamePrefix),
    /// In a header's value, or after the method in a request's first line.
    Value(HeaderField),
    /// In a chunk's size, with the value so far.
    ChunkSize(u64),
    /// After the chunk's size, in the same line.
    ChunkExtension(u64),
    /// At the start of a line after the last chunk.
    Trailer,
    /// Within such a line.
    TrailerField,
    /// Before this number of bytes to skip.
    Skip(u64, AfterSkip),
}

/// What follows the skipped bytes.
#[derive(Clone, Copy, Debug)]
enum AfterSkip {
    Request,
    ChunkSize,
    Trailer,
}

impl Default for ParserState {
    fn default() -> Self {
        Self::Name(NamePrefix::default())
    }
}

/// The beginning of a line up to the colon, in lower case.
#[derive(Clone, Copy, Debug, Default)]
struct NamePrefix {
    bytes: [u8; TRANSFER_ENCODING.len()],
    length: usize,
}

#[derive(Clone, Copy, Debug)]
enum HeaderField {
    /// `Connection`, a list of options; whether the next byte begins one.
    Connection {
        at_option: bool,
    },
    /// `Upgrade`; whether only white space of the value was received.
    Upgrade {
        at_start: bool,
    },
    ContentLength,
    Other,
}

impl UpgradeFilter {
    /// Masks upgrade requests in the next bytes of the connection.
    pub fn mask(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = &mut bytes[taken..];
        }
    }

    /// Consumes some bytes, and returns how many.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match self.position {
            ParserState::Name(name) => self.name(name, bytes[0]),
            ParserState::Value(HeaderField::Other) => return self.skip_line(bytes),
            ParserState::Value(value) => self.value(value, &mut bytes[0]),
            ParserState::Skip(left, next) => return self.skip(left, next, bytes),
            ParserState::ChunkSize(size) => self.chunk_size(size, bytes[0]),
            ParserState::ChunkExtension(size) => {
                if bytes[0] == b'\n' {
                    self.chunk(size);
                }
            }
            // Like actix, which accepts only CR LF at the end of a trailer's line.
            ParserState::Trailer => {
                let is_end = bytes[0] == b'\r';
                self.position =
                    if is_end { ParserState::Skip(1, AfterSkip::Request) } else { ParserState::TrailerField };
            }
            ParserState::TrailerField => {
                if bytes[0] == b'\r' {
                    self.position = ParserState::Skip(1, AfterSkip::Trailer);
                }
            }
        }
        1
    }

    fn name(&mut self, name: NamePrefix, byte: u8) {
        self.position = match byte {
            b'\n' if name.is_of_an_empty_line() => return self.end_head(),
            b'\n' => return self.end_line(),
            b':' => ParserState::Value(self.value_of(&name)),
            _ => name.with(byte).map_or(ParserState::Value(HeaderField::Other), ParserState::Name),
        };
    }

    fn value_of(&mut self, name: &NamePrefix) -> HeaderField {
        match &name.bytes[..name.length] {
            CONNECTION => HeaderField::Connection { at_option: true },
            UPGRADE => HeaderField::Upgrade { at_start: true },
            CONTENT_LENGTH => HeaderField::ContentLength,
            TRANSFER_ENCODING => {
                self.framing.is_chunked = true;
                HeaderField::Other
            }
            _ => HeaderField::Other,
        }
    }

    fn value(&mut self, value: HeaderField, byte: &mut u8) {
        if *byte == b'\n' {
            return self.end_line();
        }
        let value = match value {
            HeaderField::Connection { at_option } => {
                // No other option with this letter means anything to actix.
                if at_option && byte.eq_ignore_ascii_case(&b'u') {
                    *byte = MASK;
                }
                let is_space = matches!(byte, b' ' | b'\t');
                HeaderField::Connection { at_option: *byte == b',' || at_option && is_space }
            }
            HeaderField::Upgrade { at_start } => {
                if at_start && byte.eq_ignore_ascii_case(&b'w') {
                    *byte = MASK;
                }
                HeaderField::Upgrade { at_start: at_start && matches!(byte, b' ' | b'\t') }
            }
            HeaderField::ContentLength => {
                if byte.is_ascii_digit() {
                    let length = &mut self.framing.content_length;
                    *length = length.saturating_mul(10).saturating_add(u64::from(*byte - b'0'));
                }
                value
            }
            HeaderField::Other => value,
        };
        self.position = ParserState::Value(value);
    }

    fn skip_line(&mut self, bytes: &[u8]) -> usize {
        match memchr(b'\n', bytes) {
            Some(end) => {
                self.end_line();
                end + 1
            }
            None => bytes.len(),
        }
    }

    fn end_line(&mut self) {
        self.framing.is_begun = true;
        self.position = ParserState::default();
    }

    fn end_head(&mut self) {
        let Framing { is_begun, is_chunked, content_length } = std::mem::take(&mut self.framing);
        self.position = match content_length {
            _ if is_begun && is_chunked => ParserState::ChunkSize(0),
            1.. => ParserState::Skip(content_length, AfterSkip::Request),
            0 => ParserState::default(),
        };
    }

    fn skip(&mut self, left: u64, next: AfterSkip, bytes: &[u8]) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.position = match left - taken as u64 {
            0 => match next {
                AfterSkip::Request => ParserState::default(),
                AfterSkip::ChunkSize => ParserState::ChunkSize(0),
                AfterSkip::Trailer => ParserState::Trailer,
            },
            left => ParserState::Skip(left, next),
        };
        taken
    }

    fn chunk_size(&mut self, size: u64, byte: u8) {
        match char::from(byte).to_digit(16) {
            Some(digit) => {
                let size = size.saturating_mul(16).saturating_add(u64::from(digit));
                self.position = ParserState::ChunkSize(size);
            }
            None if byte == b'\n' => self.chunk(size),
            None => self.position = ParserState::ChunkExtension(size),
        }
    }

    /// Continues with a chunk of this size and the line break after it.
    fn chunk(&mut self, size: u64) {
        self.position = match size {
            0 => ParserState::Trailer,
            size => ParserState::Skip(size.saturating_add(2), AfterSkip::ChunkSize),
        };
    }
}

impl NamePrefix {
    /// Adds a byte. `None` if no relevant name begins like this.
    fn with(mut self, byte: u8) -> Option<Self> {
        let byte = byte.to_ascii_lowercase();
        let matters = self.length > 0 || matches!(byte, b'c' | b'u' | b't' | b'\r');
        *self.bytes.get_mut(self.length).filter(|_| matters)? = byte;
        self.length += 1;
        Some(self)
    }

    fn is_of_an_empty_line(&self) -> bool {
        matches!(&self.bytes[..self.length], b"" | b"\r")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes after masking, regardless of how they are split into pieces.
    fn masked(sent: &str) -> String {
        let whole = masked_in_pieces(sent, sent.len().max(1));
        for size in [1, 2, 3, 7] {
            assert_eq!(masked_in_pieces(sent, size), whole, "{sent:?} in pieces of {size}");
        }
        whole
    }

    fn masked_in_pieces(sent: &str, size: usize) -> String {
        let (mut filter, mut bytes) = (UpgradeFilter::default(), sent.as_bytes().to_vec());
        bytes.chunks_mut(size).for_each(|piece| filter.mask(piece));
        String::from_utf8(bytes).expect("ASCII")
    }

    const GET: &str = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const MASKED: &str = "GET / HTTP/1.1\r\nConnection: xpgrade\r\nUpgrade: xebsocket\r\n\r\n";

    /// The bytes after masking, with an upgrade request before and after them.
    fn masked_between(between: &str) -> String {
        let all = masked(&[GET, between, GET].concat());
        let rest = all.strip_prefix(MASKED).and_then(|rest| rest.strip_suffix(MASKED));
        rest.unwrap_or_else(|| panic!("{all}")).to_owned()
    }

    #[test]
    fn what_asks_to_upgrade_is_masked() {
        for (sent, left) in [
            ("Connection: Upgrade, HTTP2-Settings", "Connection: xpgrade, HTTP2-Settings"),
            ("connection:keep-alive ,\tUPGRADE", "connection:keep-alive ,\txPGRADE"),
            ("Upgrade:WebSocket", "Upgrade:xebSocket"),
            ("UPGRADE: \t websocket \t", "UPGRADE: \t xebsocket \t"),
        ] {
            let request = |header: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{header}\r\nX: y\r\n\r\n");
            assert_eq!(masked(&request(sent)), request(left));
            let with_bare_lines = request(sent).replace('\r', "");
            assert_eq!(masked(&with_bare_lines), request(left).replace('\r', ""));
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for request in [
            "GET / HTTP/1.1\r\n\r\n",
            "\r\n\nGET / HTTP/1.1\r\nConnection: close, keep-alive\r\n\r\n",
            "GET upgrade: HTTP/1.1\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: u\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: websocket\r\nX-Connection: Upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection : Upgrade\r\nUser-Agent: w\r\nCookie: connection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: backup\r\nConnections: upgrade\r\n\r\n",
        ] {
            assert_eq!(masked_between(request), request);
        }
    }

    #[test]
    fn a_body_is_left_as_it_is_and_what_comes_behind_it_is_a_request() {
        let post = |framing: &str, body: &str| format!("POST / HTTP/1.1\r\n{framing}\r\n\r\n{body}");
        for request in [
            post(&format!("Content-Length: {}", GET.len()), GET),
            post(&format!("CONTENT-LENGTH:{} ", GET.len()), GET),
            post("Content-Length: 0", ""),
            post("Transfer-Encoding: chunked", &format!("{:x}\r\n{GET}\r\n0\r\n\r\n", GET.len())),
            post("Transfer-Encoding: chunked", &format!("0{:X} ;a=0\r\n{GET}\r\n00\r\n\r\n", GET.len())),
            post(
                "Transfer-Encoding: chunked",
                "2\r\n\n\r\r\n1;a\r\n0\r\n0\r\nConnection: upgrade\r\nX:\n\r\n\r\n",
            ),
            post("transfer-encoding: chunked", "0;connection: upgrade\r\n\r\n"),
        ] {
            assert_eq!(masked_between(&request), request);
        }
    }

    #[test]
    fn a_length_that_no_body_has_is_no_reason_to_panic() {
        let digits = "9".repeat(40);
        masked(&format!("POST / HTTP/1.1\r\nContent-Length: {digits}\r\n\r\n{GET}"));
        masked(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{digits}\r\n{GET}"));
    }
}
