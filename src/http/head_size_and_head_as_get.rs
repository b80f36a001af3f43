//! What is done with a request before routing: its head must not be too large, and `HEAD` is handled as `GET`.

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;

use crate::error::{Code, Problem};

use super::get_with_effect::is_get_with_effect;
use super::parser_refusal::{MAX_TARGET, too_long_a_path};

/// Maximum total size of a request's headers, in bytes: eight cookies of the size that browsers keep.
pub(super) const MAX_HEADERS: usize = 32 * 1024;

/// Rejects a request with a too large head. actix itself accepts up to 128 KiB.
///
/// # Errors
/// `malformed_request`, as 414 or 431.
pub fn check_head(request: &ServiceRequest) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Err(too_long_a_path());
    }
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if headers.sum::<usize>() > MAX_HEADERS {
        let detail = format!("Headers have {MAX_HEADERS} bytes at most.");
        return Err(Problem::new(Code::MalformedRequest, detail).with_status(431));
    }
    Ok(())
}

/// Lets `GET` routes answer `HEAD` as well (RFC 9110, section 9.3.2). The codec omits the body, since it remembers
/// the original method.
pub fn head_as_get(request: &mut ServiceRequest) {
    if request.method() == Method::HEAD && !is_get_with_effect(request.match_info().as_str()) {
        request.head_mut().method = Method::GET;
    }
}
