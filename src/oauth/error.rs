//! OAuth error codes, added to problem documents.

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Problem;

/// The OAuth error code, on the routes that OAuth's standards define (RFC 6749, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OAuthError {
    /// Client authentication failed.
    InvalidClient,
    /// The request is malformed or unsupported.
    InvalidRequest,
}

/// The `WWW-Authenticate` challenge for an unauthenticated client (RFC 7617, section 2.1).
const BASIC_CHALLENGE: &str = r#"Basic realm="dualauth", charset="UTF-8""#;

/// Adds the OAuth error code to a problem, if there is one for its status.
pub fn with_oauth_error(problem: Problem) -> Problem {
    match problem.status() {
        401 => {
            problem.with("error", OAuthError::InvalidClient).with_header("WWW-Authenticate", BASIC_CHALLENGE)
        }
        400 | 408 | 413 | 415 => problem.with("error", OAuthError::InvalidRequest),
        _ => problem,
    }
}
