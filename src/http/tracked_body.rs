//! Tracks whether a request's body was received completely, which the connection must know even if the handler does
//! not read it.
//!
//! After an incomplete body it is unknown where the next request begins, so the connection must be closed.

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

/// The state of the body of a connection's current or last request.
#[derive(Clone, Debug, Default)]
pub struct SharedBodyState(Rc<Cell<RequestBodyState>>);

/// The progress of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestBodyState {
    /// Received completely, or there is none.
    #[default]
    Whole,
    /// Not received completely yet.
    Coming,
    /// Not received completely when the request was answered.
    Unfinished,
}

impl SharedBodyState {
    /// The current progress.
    pub fn get(&self) -> RequestBodyState {
        self.0.get()
    }

    pub(super) fn set(&self, progress: RequestBodyState) {
        self.0.set(progress);
    }
}

/// A body, which the handler may read or not.
#[derive(Clone)]
pub struct TrackedBody {
    state: SharedBodyState,
    payload: Rc<RefCell<Payload>>,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110, section 10.1.1).
    is_held_back: bool,
}

impl fmt::Debug for TrackedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrackedBody").field(&self.state.get()).finish()
    }
}

impl TrackedBody {
    /// Wraps the body of this request, if it has one, so that reads are tracked.
    pub fn of(request: &mut ServiceRequest) -> Option<Self> {
        let is_held_back = request.head().expect();
        let (head, payload) = request.parts_mut();
        if matches!(payload, Payload::None) {
            return None;
        }
        // Without a connection, as in a unit test, the state is not used.
        let state = head.conn_data::<SharedBodyState>().cloned().unwrap_or_default();
        state.set(RequestBodyState::Coming);
        let incoming = Self { state, payload: Rc::new(RefCell::new(payload.take())), is_held_back };
        *payload = Payload::Stream { payload: Box::pin(incoming.clone()) };
        Some(incoming)
    }

    /// Whether the body was received completely, when the request has been answered. Reads what has arrived, and does
    /// not wait for more.
    pub async fn has_ended(mut self) -> bool {
        // After this task has yielded, actix forwards what the connection has read by now.
        for _ in 0..2 {
            while self.state.get() == RequestBodyState::Coming
                && matches!(self.next().now_or_never(), Some(Some(Ok(_))))
            {}
            // No need to wait for a client that waits for `100 Continue`: the response tells it not to send the body.
            if self.state.get() == RequestBodyState::Coming && !self.is_held_back {
                tokio::task::yield_now().await;
            }
        }
        if self.state.get() == RequestBodyState::Coming {
            self.state.set(RequestBodyState::Unfinished);
        }
        self.state.get() == RequestBodyState::Whole
    }
}

/// Runs the handler, and marks the connection to be closed if the body is incomplete afterwards.
///
/// # Errors
/// The handler's error.
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
            Poll::Ready(None) if self.state.get() == RequestBodyState::Coming => {
                self.state.set(RequestBodyState::Whole)
            }
            // An end may follow an error.
            Poll::Ready(Some(Err(_))) => self.state.set(RequestBodyState::Unfinished),
            _ => {}
        }
        next
    }
}
