//! A minimal blocking HTTP/1.1 client with keep-alive connections (RFC 9112), so cheap that the load generator is no bottleneck.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use url::Url;

use super::CompareError;
use super::tls_client::{Encrypted, TlsClient};

/// Timeout of each read and write on a socket: a server that takes longer counts as down.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most response headers that are parsed.
const MAX_HEADERS: usize = 64;

/// Scheme, address and `Host` of a server.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Host name or address, and port, to connect to.
    authority: String,
    /// The value of the `Host` header.
    host: String,
    tls: Option<TlsClient>,
}

impl Origin {
    /// From an `http` or `https` URL without a path or query.
    ///
    /// # Errors
    /// For any other URL, and when the trusted certificates can't be loaded.
    pub(super) fn of_url(url: &Url) -> Result<Self, CompareError> {
        let wrong = || CompareError::Url(url.to_string());
        if url.path() != "/" || url.query().is_some() {
            return Err(wrong());
        }
        let (host, port) =
            (url.host_str().ok_or_else(wrong)?, url.port_or_known_default().ok_or_else(wrong)?);
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(TlsClient::for_host(host).map_err(CompareError::Certificates)?),
            _ => return Err(wrong()),
        };
        Ok(Self { authority: format!("{host}:{port}"), host: url.authority().to_owned(), tls })
    }

    /// The value of the `Host` header.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The URL that others reach it by.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.authority)
    }

    /// The same address with another `Host` header, as behind a proxy.
    pub(super) fn with_host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect(&self.authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        match &self.tls {
            None => Ok(Stream::Plain(stream)),
            Some(tls) => Ok(Stream::Tls(Box::new(tls.wrap(stream)?))),
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<Encrypted>),
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// A connection that is opened with the first request, and reopened when the server has closed it.
pub(super) struct Connection {
    origin: Origin,
    stream: Option<Stream>,
    received: Vec<u8>,
}

/// A response, borrowed from the connection's buffer until the next request.
pub(super) struct Response<'a> {
    /// The status code.
    pub(super) status: u16,
    /// Head and body, as received.
    raw: &'a [u8],
    head: usize,
    /// The body, with chunked transfer coding removed.
    pub(super) body: std::borrow::Cow<'a, [u8]>,
}

impl Response<'_> {
    /// Head and body, as received.
    pub(super) fn raw(&self) -> &[u8] {
        self.raw
    }

    /// Length of head and body, in bytes, as received.
    pub(super) fn size(&self) -> usize {
        self.raw.len()
    }

    /// The status line and the headers, with the empty line after them.
    pub(super) fn head(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.raw[..self.head])
    }

    /// The headers as pairs of name and value.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        // Can't fail: `layout_of` has parsed the same head.
        let _ = parsed.parse(self.raw);
        let text = |header: &httparse::Header<'_>| {
            (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())
        };
        parsed.headers.iter().map(text).collect()
    }
}

impl Connection {
    /// A connection that is opened with its first request.
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, stream: None, received: Vec::with_capacity(4_096) }
    }

    /// The value of the `Host` header.
    pub(super) fn host(&self) -> &str {
        self.origin.host()
    }

    /// Sends a request and waits for its response. If a connection that was open before turns out to be closed, the request is
    /// sent once more on a new one: a server may close idle connections.
    ///
    /// # Errors
    /// When the server can't be reached, does not respond within 10 s, or sends a malformed response.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<Response<'_>> {
        let was_open = self.stream.is_some();
        let layout = match self.try_exchange(request) {
            Err(error) if was_open && is_hang_up(&error) && self.received.is_empty() => {
                self.try_exchange(request)?
            }
            outcome => outcome?,
        };
        let Layout { status, head, chunked, end, closes } = layout;
        if closes {
            self.stream = None;
        }
        let raw = &self.received[..end];
        let body = match chunked {
            true => dechunked(&raw[head..]).ok_or_else(malformed)?.into(),
            false => (&raw[head..]).into(),
        };
        Ok(Response { status, raw, head, body })
    }

    fn try_exchange(&mut self, request: &[u8]) -> io::Result<Layout> {
        self.received.clear();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.origin.connect()?,
        };
        stream.write_all(request)?;
        let layout = receive(&mut stream, &mut self.received)?;
        // Kept after success only: after an error, leftover bytes would be taken for the next response.
        self.stream = Some(stream);
        Ok(layout)
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Status of a response, and offsets of its parts in the receive buffer.
struct Layout {
    status: u16,
    head: usize,
    chunked: bool,
    end: usize,
    closes: bool,
}

fn receive(stream: &mut Stream, received: &mut Vec<u8>) -> io::Result<Layout> {
    let mut layout = loop {
        if let Some(layout) = layout_of(received)? {
            break layout;
        }
        read_more(stream, received)?;
    };
    if layout.chunked {
        while dechunked(&received[layout.head..]).is_none() {
            read_more(stream, received)?;
        }
        layout.end = received.len();
    }
    while received.len() < layout.end {
        read_more(stream, received)?;
    }
    Ok(layout)
}

fn read_more(stream: &mut Stream, received: &mut Vec<u8>) -> io::Result<()> {
    let mut bytes = [0; 8_192];
    match stream.read(&mut bytes).map_err(explain_timeout)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            received.extend_from_slice(&bytes[..count]);
            Ok(())
        }
    }
}

/// A timeout of a socket surfaces as `WouldBlock` on some systems, whose message does not mention time.
fn explain_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", TIMEOUT.as_secs()))
        }
        _ => error,
    }
}

/// `None`: the head is not complete.
fn layout_of(received: &[u8]) -> io::Result<Option<Layout>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(received).map_err(|_| malformed())? else {
        return Ok(None);
    };
    let status = parsed.code.unwrap_or_default();
    let value = |name: &str| {
        let header = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    let chunked = value("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked"));
    let length = match value("content-length") {
        Some(length) => length.parse().map_err(|_| malformed())?,
        // Bodies that end with the connection are not supported.
        None if chunked || matches!(status, 204 | 304) => 0,
        None => return Err(malformed()),
    };
    let closes = value("connection").is_some_and(|value| value == "close");
    Ok(Some(Layout { status, head, chunked, end: head + length, closes }))
}

/// Removes chunked transfer coding (RFC 9112, section 7.1). `None`: the last chunk is still missing. Trailers are not supported.
fn dechunked(mut coded: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((at, length)) = httparse::parse_chunk_size(coded).ok()? else {
            return None;
        };
        let end = at + usize::try_from(length).ok()?;
        body.extend_from_slice(coded.get(at..end)?);
        coded = coded.get(end + 2..)?;
        if length == 0 {
            return Some(body);
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed HTTP/1.1 response, or no Content-Length")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that sends these responses: for each connection, one per request.
    fn server(connections: &'static [&'static [&'static str]]) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for answers in connections {
                let (mut stream, _) = listener.accept().expect("a client");
                for answer in *answers {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).expect("a byte");
                        request.push(byte[0]);
                    }
                    stream.write_all(answer.as_bytes()).expect("it is taken");
                }
            }
        });
        Origin::of_url(&url.parse().expect("a URL")).expect("an origin")
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn answers_are_read_to_their_end_and_no_further() {
        let mut connection = Connection::new(server(&[&[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ]]));
        let response = connection.exchange(REQUEST).expect("an answer");
        assert_eq!((response.status, &*response.body, response.size()), (200, b"hello".as_slice(), 51));
        assert_eq!(response.headers()[1], ("X-A".to_owned(), "b".to_owned()));
        assert_eq!(connection.exchange(REQUEST).expect("an answer").status, 204);
        let response = connection.exchange(REQUEST).expect("an answer");
        assert_eq!((response.status, &*response.body), (401, b"abcde".as_slice()));
    }

    #[test]
    fn a_connection_that_was_closed_is_opened_again() {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let mut connection = Connection::new(server(&[&[ANSWER], &[ANSWER]]));
        for _ in 0..2 {
            assert_eq!(connection.exchange(REQUEST).expect("an answer").status, 200);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let mut connection = Connection::new(server(&[&["SSH-2.0-OpenSSH\r\n\r\n"]]));
        assert!(connection.exchange(REQUEST).is_err());
    }
}
