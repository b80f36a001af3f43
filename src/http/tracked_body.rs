//! A request's body on its way in: whether it has come whole, which the handler need not find out and the connection has
//! to know.
//!
//! After a body that did not come whole, nobody can tell where the next request begins: such a connection ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};

/// How far the body has come of the request that is being served on a connection, or was served last.
#[derive(Clone, Debug, Default)]
pub struct RequestBodyState(Rc<Cell<RequestBodyProgress>>);

/// How far a body has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestBodyProgress {
    /// It came whole, or there is none.
    #[default]
    Whole,
    /// It may still come.
    Coming,
    /// The request was answered before it had come.
    Unfinished,
}

impl RequestBodyState {
    /// How far it has come.
    pub fn get(&self) -> RequestBodyProgress {
        self.0.get()
    }

    pub(super) fn set(&self, progress: RequestBodyProgress) {
        self.0.set(progress);
    }
}

/// A body that is read by a handler, or not.
#[derive(Clone)]
pub struct TrackedBody {
    state: RequestBodyState,
    payload: Rc<RefCell<Payload>>,
    /// Whether the client waits to be told before it sends it (RFC 9110, section 10.1.1).
    is_held_back: bool,
}

impl fmt::Debug for TrackedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.state.get()).finish()
    }
}

impl TrackedBody {
    /// The body of this request, if it has one: whoever reads it does so through this.
    pub fn of(request: &mut ServiceRequest) -> Option<Self> {
        let is_held_back = request.head().expect();
        let (head, payload) = request.parts_mut();
        if matches!(payload, Payload::None) {
            return None;
        }
        // Without a connection, as in a unit test, nobody asks.
        let state = head.conn_data::<RequestBodyState>().cloned().unwrap_or_default();
        state.set(RequestBodyProgress::Coming);
        let incoming = Self { state, payload: Rc::new(RefCell::new(payload.take())), is_held_back };
        *payload = Payload::Stream { payload: Box::pin(incoming.clone()) };
        Some(incoming)
    }

    /// Whether it has come whole, now that the request is answered. What is here of it is taken; no more is waited for.
    pub async fn has_ended(mut self) -> bool {
        // What the connection has read by now is handed on once this has waited.
        for _ in 0..2 {
            while self.state.get() == RequestBodyProgress::Coming
                && matches!(self.next().now_or_never(), Some(Some(Ok(_))))
            {}
            // Nor is it waited for what the client keeps back: an answer at once tells it not to send it.
            if self.state.get() == RequestBodyProgress::Coming && !self.is_held_back {
                tokio::task::yield_now().await;
            }
        }
        if self.state.get() == RequestBodyProgress::Coming {
            self.state.set(RequestBodyProgress::Unfinished);
        }
        self.state.get() == RequestBodyProgress::Whole
    }
}

/// Answers, and says that the connection ends if the body has not come whole by then.
///
/// # Errors
/// The same as before.
pub async fn close_after_unfinished_body<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let body = TrackedBody::of(&mut request);
    let mut response = next.call(request).await?;
    if let Some(body) = body
        && !body.has_ended().await
    {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

impl Stream for TrackedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut *self.payload.borrow_mut()).poll_next(cx);
        match &next {
            Poll::Ready(None) if self.state.get() == RequestBodyProgress::Coming => {
                self.state.set(RequestBodyProgress::Whole)
            }
            // After an error there may be an end.
            Poll::Ready(Some(Err(_))) => self.state.set(RequestBodyProgress::Unfinished),
            _ => {}
        }
        next
    }
}
