//! One HTTP/1.1 connection that is kept alive, and costs its user next to nothing (RFC 9112).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use url::Url;

use super::CompareError;
use super::tls_client::{Encrypted, TlsClient};

/// Longer than any answer takes. Who says nothing for so long is down.
const TIMEOUT: Duration = Duration::from_secs(10);

/// More than any answer has.
const MAX_HEADERS: usize = 64;

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// A name or an address, and the port.
    authority: String,
    /// What the header `Host` says.
    host: String,
    tls: Option<TlsClient>,
}

impl Origin {
    /// Of `http://` or `https://`, and nothing behind the port.
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

    /// What the header `Host` says there.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The same place under another name, as a client behind a proxy would call it.
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

/// A connection. It is opened when there is something to send, and anew when the server has closed it.
pub(super) struct Connection {
    origin: Origin,
    stream: Option<Stream>,
    received: Vec<u8>,
}

/// An answer, as long as the next has not come.
pub(super) struct Response<'a> {
    /// The status code.
    pub(super) status: u16,
    /// Everything in front of the body, and the body as it came.
    raw: &'a [u8],
    head: usize,
    /// The body, whole, of an answer in chunks as well.
    pub(super) body: std::borrow::Cow<'a, [u8]>,
}

impl Response<'_> {
    /// As it came.
    pub(super) fn raw(&self) -> &[u8] {
        self.raw
    }

    /// How many bytes came.
    pub(super) fn size(&self) -> usize {
        self.raw.len()
    }

    /// The status line and the headers, with the empty line behind them.
    pub(super) fn head(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.raw[..self.head])
    }

    /// The headers, by name and value.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        // It was parsed before.
        let _ = parsed.parse(self.raw);
        let text = |header: &httparse::Header<'_>| {
            (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned())
        };
        parsed.headers.iter().map(text).collect()
    }
}

impl Connection {
    /// To there, when it is needed.
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, stream: None, received: Vec::with_capacity(4_096) }
    }

    /// What the header `Host` has to say.
    pub(super) fn host(&self) -> &str {
        self.origin.host()
    }

    /// Sends a request and waits for its answer. One that was closed in the meantime is opened again, once: a server may
    /// hang up on who was silent.
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
        // Kept only when all went well: what comes after an error is nobody's answer.
        self.stream = Some(stream);
        Ok(layout)
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Where what is in an answer.
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

/// Of a time that is over a socket says only that there is nothing to read.
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
        // Nothing else of ours ends by hanging up.
        None if chunked || matches!(status, 204 | 304) => 0,
        None => return Err(malformed()),
    };
    let closes = value("connection").is_some_and(|value| value == "close");
    Ok(Some(Layout { status, head, chunked, end: head + length, closes }))
}

/// `None`: the last chunk has not come (RFC 9112, section 7.1). Trailers are nobody's habit.
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
    io::Error::new(io::ErrorKind::InvalidData, "no HTTP/1.1 answer of a known length")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives these answers, one for each request without a body, each connection taking as many as here.
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
