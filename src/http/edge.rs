//! The outermost layer: whatever happens inside, the client gets a well-formed answer.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse};
use futures_util::FutureExt;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use crate::error::{Code, PROBLEM_JSON, Problem};
use crate::telemetry::{self, Access};

/// The access line of a request: written when it has been answered.
#[derive(Debug)]
pub struct AccessLine {
    start: Instant,
    method: Method,
    path: String,
}

impl AccessLine {
    /// Of a request that begins now. Without its query, which is not ours to write down.
    pub fn begin(request: &ServiceRequest) -> Self {
        Self { start: Instant::now(), method: request.method().clone(), path: request.path().to_owned() }
    }

    /// Writes it.
    pub fn end<B>(self, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        telemetry::access(&Access {
            method: self.method.as_str(),
            path: &self.path,
            status: status.as_u16(),
            micros,
        });
    }
}

/// A `GET` route answers `HEAD` as well (RFC 9110, section 9.3.2). The codec leaves the body out: it remembers
/// what the client asked.
pub fn head_as_get(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
}

/// Turns a panic and every error that is not a problem document yet into one.
///
/// # Errors
/// A problem, if what is inside gave an error and not a response.
pub async fn answer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: &Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let outcome = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    match outcome {
        Ok(Ok(response)) if is_foreign_error(&response) => {
            let problem = from_status(response.status());
            Ok(response.into_response(problem.response()).map_into_right_body())
        }
        Ok(Ok(response)) => Ok(response.map_into_left_body()),
        Ok(Err(error)) => Err(from_error(error)),
        Err(panic) => Err(Problem::internal(panic_message(&*panic)).into()),
    }
}

/// What no cache may keep, and no browser guess the type of, unless the route says otherwise.
pub fn add_headers<B>(response: &mut ServiceResponse<B>) {
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn is_foreign_error<B>(response: &ServiceResponse<B>) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    is_error && response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != PROBLEM_JSON)
}

fn from_error(error: Error) -> Error {
    if error.as_error::<Problem>().is_some() {
        return error;
    }
    let status = error.as_response_error().status_code();
    if status.is_server_error() {
        return Problem::internal(&error).into();
    }
    from_status(status).into()
}

fn from_status(status: StatusCode) -> Problem {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::PAYLOAD_TOO_LARGE => Code::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::REQUEST_TIMEOUT => Code::Timeout,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_server_error() => Code::Internal,
        _ => Code::MalformedRequest,
    };
    Problem::new(code, status.canonical_reason().unwrap_or("The request was refused."))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("of an unknown kind"))
}

/// Which methods each path answers, read from the API's own document, so that there is one list of routes.
#[derive(Debug)]
pub struct Routes(Vec<(actix_web::dev::ResourceDef, String)>);

impl Routes {
    /// The routes of this document, and these pages, which it does not list.
    pub fn of(document: &OpenApi, pages: &[&str]) -> Self {
        let paths = document.paths.paths.iter().map(|(path, item)| (path.as_str(), allow(item)));
        let pages = pages.iter().map(|page| (*page, "GET, HEAD".to_owned()));
        Self(
            paths.chain(pages).map(|(path, allow)| (actix_web::dev::ResourceDef::new(path), allow)).collect(),
        )
    }

    /// What `Allow` says of this path; `None` when there is no such path.
    fn allow(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|(pattern, _)| pattern.is_match(path)).map(|(_, allow)| allow.as_str())
    }
}

fn allow(item: &PathItem) -> String {
    let methods = [
        ("GET, HEAD", item.get.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
    ];
    methods.into_iter().filter(|(_, exists)| *exists).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// Answers what no route does: 405 on a known path, 404 elsewhere.
pub async fn no_route(request: HttpRequest, routes: actix_web::web::Data<Routes>) -> HttpResponse {
    match routes.allow(request.path()) {
        Some(allow) => Problem::method_not_allowed(allow.to_owned()).response(),
        None => Problem::new(Code::NotFound, "There is nothing at this path.").response(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service, try_call_service};
    use actix_web::{App, web};
    use serde_json::Value;

    use super::*;

    async fn document(response: HttpResponse) -> Value {
        assert_eq!(response.headers().get(CONTENT_TYPE).expect("a type"), PROBLEM_JSON);
        let body = actix_web::body::to_bytes(response.into_body()).await.expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    async fn answered<B: MessageBody + 'static>(
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<EitherBody<B>>, Error> {
        answer(request, &next).await
    }

    #[actix_web::test]
    async fn a_panic_is_an_internal_error_that_tells_nothing() {
        async fn panics() -> HttpResponse {
            panic!("with a secret in it")
        }
        let app = init_service(App::new().wrap(from_fn(answered)).route("/", web::get().to(panics))).await;
        let error =
            try_call_service(&app, TestRequest::get().uri("/").to_request()).await.expect_err("it panicked");
        let told = document(error.error_response()).await;
        assert_eq!((&told["status"], &told["code"]), (&Value::from(500), &Value::from("internal")));
        assert!(!told.to_string().contains("secret"), "{told}");
    }

    #[actix_web::test]
    async fn an_error_of_a_library_becomes_a_problem_document() {
        async fn refuses() -> HttpResponse {
            HttpResponse::UnsupportedMediaType().body("no")
        }
        let app = init_service(App::new().wrap(from_fn(answered)).route("/", web::get().to(refuses))).await;
        let response =
            try_call_service(&app, TestRequest::get().uri("/").to_request()).await.expect("a response");
        let told = document(response.into_parts().1.map_into_boxed_body()).await;
        assert_eq!(told["code"], "unsupported_media_type");
    }
}
