//! Turns errors and panics of handlers and libraries into problem documents.

use std::panic::AssertUnwindSafe;

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::Next;
use futures_util::FutureExt;

use crate::error::{Code, PROBLEM_JSON, Problem};
use crate::telemetry;

/// Turns a panic, and every error that is not yet a problem document, into one.
///
/// # Errors
/// The problem, if the inner service returned an error rather than a response.
pub async fn with_problem_documents<B: MessageBody + 'static>(
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
        Err(panic) => Err(Problem::internal(telemetry::panic_message(&*panic)).into()),
    }
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

#[cfg(test)]
mod tests {
    use actix_web::HttpResponse;
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
        with_problem_documents(request, &next).await
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
