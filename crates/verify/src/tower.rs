//! A [`tower`](https://docs.rs/tower) layer that lets only requests with a good token through, and gives their handlers the claims.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::core::Doubt;
use crate::{Claims, Rejection, Verifier, VerifyError, bearer_token};

/// Answers requests without a good token with a problem document, and puts `Arc<Claims>` into the
/// [extensions](http::Extensions) of the others.
///
/// It reads the `Authorization` header only, no cookies: those belong to dualauth's own origin. The service's response body
/// has to be made of a `String`, as axum's and `http_body_util::Full` are.
#[derive(Clone, Debug)]
pub struct VerifyLayer(Verifier);

impl VerifyLayer {
    /// A layer with this verifier.
    pub fn new(verifier: Verifier) -> Self {
        Self(verifier)
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = VerifyService<S>;

    fn layer(&self, inner: S) -> VerifyService<S> {
        VerifyService { verifier: self.0.clone(), inner }
    }
}

/// The service that [`VerifyLayer`] makes.
#[derive(Clone, Debug)]
pub struct VerifyService<S> {
    verifier: Verifier,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for VerifyService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = VerifyFuture<S, Request<B>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let sent = request.headers().get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let token = match bearer_token(sent) {
            Ok(token) => token,
            Err(rejection) => return VerifyFuture::Rejected { rejection },
        };
        match self.verifier.judge(token) {
            Ok(claims) => {
                request.extensions_mut().insert(claims);
                VerifyFuture::Inner { future: self.inner.call(request) }
            }
            Err(Doubt::Refused(error)) => VerifyFuture::Rejected { rejection: error.into() },
            Err(doubt) => {
                let (verifier, token) = (self.verifier.clone(), token.to_owned());
                let resolved = Box::pin(async move { verifier.resolve(&token, doubt).await });
                // The one that is ready is called; the clone may not be.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                VerifyFuture::Resolving { resolved, waiting: Some((inner, request)) }
            }
        }
    }
}

type Resolved = Pin<Box<dyn Future<Output = Result<Arc<Claims>, VerifyError>> + Send>>;

pin_project! {
    /// The response of the inner service, or a problem document.
    #[project = Step]
    pub enum VerifyFuture<S, Q>
    where
        S: Service<Q>,
    {
        /// The token is good.
        #[doc(hidden)]
        Inner { #[pin] future: S::Future },
        /// There is none, or it is not.
        #[doc(hidden)]
        Rejected { rejection: Rejection },
        /// dualauth is asked about it.
        #[doc(hidden)]
        Resolving { resolved: Resolved, waiting: Option<(S, Q)> },
    }
}

impl<S, B, R> Future for VerifyFuture<S, Request<B>>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                Step::Inner { future } => return future.poll(context),
                Step::Rejected { rejection } => return Poll::Ready(Ok(response(*rejection))),
                Step::Resolving { resolved, waiting } => {
                    match (ready!(resolved.as_mut().poll(context)), waiting.take()) {
                        (Ok(claims), Some((mut inner, mut request))) => {
                            request.extensions_mut().insert(claims);
                            Self::Inner { future: inner.call(request) }
                        }
                        (Err(error), _) => Self::Rejected { rejection: error.into() },
                        // Polled again after it was ready.
                        (Ok(_), None) => Self::Rejected { rejection: VerifyError::Unavailable.into() },
                    }
                }
            };
            self.set(next);
        }
    }
}

fn response<R: From<String>>(rejection: Rejection) -> Response<R> {
    let mut response = Response::new(R::from(rejection.body()));
    *response.status_mut() = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    for (name, value) in rejection.headers() {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
