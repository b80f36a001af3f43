//! What went wrong, in OAuth's own words as well.

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Problem;

/// What went wrong in OAuth's own words, where its standards define the route (RFC 6749, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OAuthError {
    /// The client did not prove who it is.
    InvalidClient,
    /// The request is not one that the route takes.
    InvalidRequest,
}

/// What `WWW-Authenticate` says to a client that did not prove who it is (RFC 7617, section 2.1).
const BASIC_CHALLENGE: &str = r#"Basic realm="dualauth", charset="UTF-8""#;

/// The problem in OAuth's words as well, where they have one for it.
pub fn with_oauth_error(problem: Problem) -> Problem {
    match problem.status() {
        401 => {
            problem.with("error", OAuthError::InvalidClient).with_header("WWW-Authenticate", BASIC_CHALLENGE)
        }
        400 | 408 | 413 | 415 => problem.with("error", OAuthError::InvalidRequest),
        _ => problem,
    }
}
