//! An extractor for [actix-web](https://docs.rs/actix-web) that gives handlers the claims of a good token.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, error};

use crate::core::Doubt;
use crate::{Claims, Rejection, Verifier, bearer_token};

/// The claims of the request's access token. A request without a good one is answered with a problem document.
///
/// Needs the verifier in the app's data: `App::new().app_data(Data::new(verifier.clone()))`. It reads the `Authorization` header only, no
/// cookies: those belong to dualauth's own origin.
#[derive(Clone, Debug)]
pub struct Authenticated(pub Arc<Claims>);

impl Deref for Authenticated {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0
    }
}

impl FromRequest for Authenticated {
    type Error = error::Error;
    type Future = AuthenticatedFuture;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> AuthenticatedFuture {
        let Some(verifier) = request.app_data::<Data<Verifier>>() else {
            tracing::error!("the app has no data of the type Data<Verifier>");
            return AuthenticatedFuture::ready(Err(error::ErrorInternalServerError("internal error")));
        };
        let sent = request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = match bearer_token(sent) {
            Ok(token) => token,
            Err(rejection) => return AuthenticatedFuture::ready(Err(rejection.into())),
        };
        match verifier.judge(token) {
            Ok(claims) => AuthenticatedFuture::ready(Ok(Self(claims))),
            Err(Doubt::Refused(error)) => AuthenticatedFuture::ready(Err(Rejection::from(error).into())),
            Err(doubt) => {
                let (verifier, token) = (Verifier::clone(verifier), token.to_owned());
                AuthenticatedFuture(Step::Resolving(Box::pin(async move {
                    let resolved = verifier.resolve(&token, doubt).await;
                    resolved.map(Self).map_err(|error| Rejection::from(error).into())
                })))
            }
        }
    }
}

type Extracted = Result<Authenticated, error::Error>;

/// The outcome of the extraction, which is known at once as a rule.
pub struct AuthenticatedFuture(Step);

enum Step {
    Ready(Option<Extracted>),
    Resolving(Pin<Box<dyn Future<Output = Extracted>>>),
}

impl AuthenticatedFuture {
    fn ready(extracted: Extracted) -> Self {
        Self(Step::Ready(Some(extracted)))
    }
}

impl Future for AuthenticatedFuture {
    type Output = Extracted;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Extracted> {
        match &mut self.0 {
            Step::Ready(extracted) => extracted.take().map_or(Poll::Pending, Poll::Ready),
            Step::Resolving(resolving) => resolving.as_mut().poll(context),
        }
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::UNAUTHORIZED)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        for header in self.headers() {
            response.insert_header(header);
        }
        response.body(self.body())
    }
}
