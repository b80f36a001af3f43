//! The response that carries a problem document.

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};

use crate::error::{Code, PROBLEM_JSON, Problem};

/// `Retry-After` of a 503, in seconds: long enough for a queue to drain or a database to restart.
const RETRY_AFTER_SECONDS: u32 = 2;

impl Problem {
    /// The response with this document as its body.
    pub fn response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON)));
        response.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(challenge) = self.code().challenge().filter(|_| self.status() == 401) {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if self.code() == Code::Unavailable {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string()));
        }
        for (name, value) in self.headers() {
            response.insert_header((*name, value.as_str()));
        }
        // For the request log.
        response.extensions_mut().insert(self.code());
        response.body(serde_json::to_string(self).unwrap_or_default())
    }

    /// The same, and the connection is closed: a client that asks again may reach another node, which can answer.
    pub fn closing_response(&self) -> HttpResponse {
        let mut response = self.response();
        response.head_mut().set_connection_type(ConnectionType::Close);
        response
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(response: &'a HttpResponse, name: &str) -> Vec<&'a str> {
        response.headers().get_all(name).map(|value| value.to_str().expect("text")).collect()
    }

    #[test]
    fn whoever_makes_a_problem_may_say_another_challenge_and_there_is_one_in_the_response() {
        let usual = Problem::new(Code::InsufficientUserAuthentication, "");
        let expected = r#"Bearer error="insufficient_user_authentication""#;
        assert_eq!(header(&usual.response(), "www-authenticate"), [expected]);
        let challenge = format!(r#"{expected}, max_age="600""#);
        let special = usual.with_header("WWW-Authenticate", &challenge);
        assert_eq!(header(&special.response(), "www-authenticate"), [challenge.as_str()]);
        let later = Problem::new(Code::Unavailable, "").with_header("Retry-After", "60");
        assert_eq!(header(&later.response(), "retry-after"), ["60"]);
    }

    #[test]
    fn only_a_401_has_a_challenge() {
        let refused = Problem::new(Code::InvalidCredentials, "").with_status(403);
        assert_eq!(header(&refused.response(), "www-authenticate"), Vec::<&str>::new());
        assert_eq!(refused.response().status(), StatusCode::FORBIDDEN);
    }
}
