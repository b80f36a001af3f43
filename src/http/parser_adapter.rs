//! Adapts the byte stream of a connection for actix's HTTP parser: rewrites requests that it would misunderstand, and
//! turns its bare error responses into problem documents.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::app_wide_context::HttpContext;
use super::http10_post_without_length::{ContentLengthInsertion, Scan, add_length};
use super::parser_refusal::{BareResponse, RequestPrefix};
use super::timed_connection::{CONTINUE, TimedConnection};
use super::tracked_body::{RequestBodyState, SharedBodyState};
use super::upgrade::UpgradeFilter;

/// A connection with rewritten requests and responses.
pub struct ParserAdapter<T> {
    connection: TimedConnection<T>,
    body: SharedBodyState,
    context: Rc<HttpContext>,
    peer: IpAddr,
    state: ForwardState,
    upgrades: UpgradeFilter,
    /// Whether any bytes have been received.
    is_used: bool,
    beginning: RequestPrefix,
    /// The replacement of a bare response, and how many bytes of it are written.
    refusal: Option<(Vec<u8>, usize)>,
}

/// How much of a request was forwarded to actix.
enum ForwardState {
    /// Nothing: the next bytes begin a request.
    AtStart,
    /// Everything so far, and everything that follows.
    Within,
    /// Nothing yet: these bytes are buffered until the scan is finished.
    Buffering(Vec<u8>, Scan),
    /// This number of the buffered bytes.
    Forwarding(Vec<u8>, usize),
}

impl<T> ParserAdapter<T> {
    /// Adapts this connection. `context` builds the responses to requests that actix's parser rejects.
    pub fn new(connection: TimedConnection<T>, peer: IpAddr, context: Rc<HttpContext>) -> Self {
        Self {
            body: connection.body().clone(),
            connection,
            context,
            peer,
            state: ForwardState::AtStart,
            upgrades: UpgradeFilter::default(),
            is_used: false,
            beginning: RequestPrefix::default(),
            refusal: None,
        }
    }

    /// The state of the current request's body.
    pub fn body(&self) -> &SharedBodyState {
        &self.body
    }
}

impl<T: AsyncRead + Unpin> ParserAdapter<T> {
    /// Reads from the connection, masks upgrade requests, and records the beginning of the request unless it is a
    /// body.
    fn poll_connection(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(cx, into))?;
        self.upgrades.mask(&mut into.filled_mut()[before..]);
        if self.body.get() != RequestBodyState::Coming {
            self.beginning.add(&into.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more bytes into the buffer until the scan is finished.
    fn poll_buffer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let ForwardState::Buffering(buffer, scan) = &mut self.state {
            match scan.scan_more(buffer) {
                ContentLengthInsertion::Undecided => {}
                length => {
                    let mut buffer = std::mem::take(buffer);
                    if let ContentLengthInsertion::Missing(place) = length {
                        add_length(&mut buffer, place);
                    }
                    self.state = ForwardState::Forwarding(buffer, 0);
                    break;
                }
            }
            let mut space = [0; 1024];
            let mut more = ReadBuf::new(&mut space);
            ready!(self.poll_connection(cx, &mut more))?;
            let ForwardState::Buffering(buffer, _) = &mut self.state else { break };
            if more.filled().is_empty() {
                self.state = ForwardState::Forwarding(std::mem::take(buffer), 0);
                break;
            }
            buffer.extend_from_slice(more.filled());
        }
        Poll::Ready(Ok(()))
    }

    /// Forwards buffered bytes.
    fn forward(&mut self, into: &mut ReadBuf<'_>) {
        let ForwardState::Forwarding(buffer, forwarded) = &mut self.state else { return };
        let length = into.remaining().min(buffer.len() - *forwarded);
        into.put_slice(&buffer[*forwarded..*forwarded + length]);
        *forwarded += length;
        if *forwarded == buffer.len() {
            self.state = ForwardState::Within;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ParserAdapter<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.state, ForwardState::Within) {
            return this.poll_connection(cx, into);
        }
        if matches!(this.state, ForwardState::AtStart) {
            let before = into.filled().len();
            ready!(this.poll_connection(cx, into))?;
            let begun = &into.filled()[before..];
            if begun.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.is_used = true;
            let mut scan = Scan::default();
            if scan.scan_more(begun) == ContentLengthInsertion::NotNeeded {
                this.state = ForwardState::Within;
                return Poll::Ready(Ok(()));
            }
            this.state = ForwardState::Buffering(begun.to_vec(), Scan::default());
            into.set_filled(before);
        }
        ready!(this.poll_buffer(cx))?;
        this.forward(into);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> ParserAdapter<T> {
    /// Writes the replacement of a bare response with this length. Writes nothing if no request came, or after an
    /// incomplete body, since that request was answered already.
    fn poll_refuse(
        &mut self,
        cx: &mut Context<'_>,
        bare: BareResponse<'_>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        if self.body.get() != RequestBodyState::Whole || !self.is_used {
            return Poll::Ready(Ok(length));
        }
        let (context, beginning, peer) = (&self.context, &self.beginning, self.peer);
        let (answer, written) =
            self.refusal.get_or_insert_with(|| (context.refuse(&bare, beginning, peer), 0));
        while *written < answer.len() {
            *written += ready!(Pin::new(&mut self.connection).poll_write(cx, &answer[*written..]))?;
        }
        Poll::Ready(Ok(length))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ParserAdapter<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Drop `100 Continue` when the final response follows at once: the client need not send the body.
        let skipped = match bytes.strip_prefix(CONTINUE) {
            Some(answer) if !answer.is_empty() => CONTINUE.len(),
            _ => 0,
        };
        let bytes = &bytes[skipped..];
        let answers = match BareResponse::find(bytes) {
            Some(bare) if bare.at == 0 => return this.poll_refuse(cx, bare, skipped + bytes.len()),
            Some(bare) => {
                // The recorded beginning includes the request that is answered here.
                this.beginning.forget();
                &bytes[..bare.at]
            }
            None => bytes,
        };
        let written = ready!(Pin::new(&mut this.connection).poll_write(cx, answers))?;
        // After a complete response the next bytes begin a request, unless the body is incomplete. Only at the
        // beginning may a header be added.
        let is_over = written == bytes.len() && this.body.get() == RequestBodyState::Whole;
        if is_over && matches!(this.state, ForwardState::Within) {
            this.state = ForwardState::AtStart;
            this.beginning.forget();
        }
        Poll::Ready(Ok(skipped + written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(cx)
    }
}
