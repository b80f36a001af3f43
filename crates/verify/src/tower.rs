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
    S: Service<Request<B>, Response = Response<R>> + Clone,
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
        let step = match bearer_token(sent) {
            Err(rejection) => Step::Rejected { rejection },
            Ok(token) => match self.verifier.judge(token) {
                Ok(claims) => {
                    request.extensions_mut().insert(claims);
                    Step::Inner { future: self.inner.call(request) }
                }
                Err(Doubt::Refused(error)) => Step::Rejected { rejection: error.into() },
                Err(doubt) => self.resolve(token.to_owned(), doubt, request),
            },
        };
        VerifyFuture { step }
    }
}

impl<S: Clone> VerifyService<S> {
    /// Asks dualauth about the token first.
    fn resolve<Q>(&mut self, token: String, doubt: Doubt, request: Q) -> Step<S, Q>
    where
        S: Service<Q>,
    {
        let verifier = self.verifier.clone();
        let resolved = Box::pin(async move { verifier.resolve(&token, doubt).await });
        // The one that is ready is called; the clone may not be.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        Step::Resolving { resolved, waiting: Some((inner, request)) }
    }
}

type Resolved = Pin<Box<dyn Future<Output = Result<Arc<Claims>, VerifyError>> + Send>>;

pin_project! {
    /// The response of the inner service, or a problem document.
    pub struct VerifyFuture<S, Q>
    where
        S: Service<Q>,
    {
        #[pin]
        step: Step<S, Q>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<S, Q>
    where
        S: Service<Q>,
    {
        /// The token is good.
        Inner { #[pin] future: S::Future },
        /// There is none, or it is not.
        Rejected { rejection: Rejection },
        /// dualauth is asked about it.
        Resolving { resolved: Resolved, waiting: Option<(S, Q)> },
    }
}

impl<S, B, R> Future for VerifyFuture<S, Request<B>>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            let next = match step.as_mut().project() {
                StepProjection::Inner { future } => return future.poll(context),
                StepProjection::Rejected { rejection } => return Poll::Ready(Ok(response(*rejection))),
                StepProjection::Resolving { resolved, waiting } => {
                    match (ready!(resolved.as_mut().poll(context)), waiting.take()) {
                        (Ok(claims), Some((mut inner, mut request))) => {
                            request.extensions_mut().insert(claims);
                            Step::Inner { future: inner.call(request) }
                        }
                        (Err(error), _) => Step::Rejected { rejection: error.into() },
                        // Nothing waits any more: it was polled after its end.
                        (Ok(_), None) => Step::Rejected { rejection: VerifyError::Unavailable.into() },
                    }
                }
            };
            step.set(next);
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
