//! JSON body extractors: objects with exactly the members of a type, and limits on size and time.

mod json;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod recorded_response_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::{Code, FieldError, Problem};

use self::json::{NUL, ParsedJson, read_object};

/// Maximum size of a body, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;

/// Time limit for receiving a body.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Extracts a body that is a JSON object with exactly the members of `T`.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// Like [`Json`], or `None` for an empty body.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_json(request, payload);
        Box::pin(async move { Ok(Self(parse(&body.await?)?)) })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let body = read(request, payload);
        Box::pin(async move {
            let body = body.await?;
            if body.is_empty() {
                return Ok(Self(None));
            }
            is_json?;
            Ok(Self(Some(parse(&body)?)))
        })
    }
}

/// Like [`Json`], with the original text of a member that may be any JSON value: what is parsed has rounded numbers.
pub struct JsonWithText<T> {
    /// The object.
    pub object: T,
    text: String,
}

impl<T> JsonWithText<T> {
    /// The JSON text of a member, or `None` if it is absent or `null`.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        let mut members: HashMap<String, &RawValue> = serde_json::from_str(&self.text).ok()?;
        members.remove(name).map(RawValue::get).filter(|text| *text != "null")
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for JsonWithText<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_json(request, payload);
        Box::pin(async move {
            let body = body.await?;
            Ok(Self { object: parse(&body)?, text: json_text(&body)?.to_owned() })
        })
    }
}

/// Extracts any JSON value as its original text.
#[derive(Debug)]
pub struct RawJson(pub String);

impl FromRequest for RawJson {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_json(request, payload);
        Box::pin(async move {
            let body = body.await?;
            let text = json_text(&body)?;
            serde_json::from_str::<ParsedJson>(text).map_err(not_json)?;
            if has_nul(text) {
                let whole = FieldError { pointer: String::new(), detail: NUL.to_owned() };
                return Err(Problem::validation(vec![whole]));
            }
            Ok(Self(text.trim_ascii().to_owned()))
        })
    }
}

/// Checks the text rather than the parsed value, since a parser drops all but one of the members with the same name.
fn has_nul(json: &str) -> bool {
    json.replace(r"\\", "").contains(r"\u0000")
}

/// Receives a body that the route does not use, within the usual limits, and drops it.
#[derive(Debug)]
pub struct IgnoredBody;

impl FromRequest for IgnoredBody {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload);
        Box::pin(async move { body.await.map(|_| Self) })
    }
}

fn is_json(request: &HttpRequest) -> Result<(), Problem> {
    is_of_type(request, "application/json")
}

/// Checks for this media type, with no charset other than UTF-8 (RFC 8259, section 8.1).
pub(super) fn is_of_type(request: &HttpRequest, expected: &str) -> Result<(), Problem> {
    let wrong = |detail: String| Err(Problem::new(Code::UnsupportedMediaType, detail));
    let mut types = request.headers().get_all(CONTENT_TYPE);
    let given = types.next().filter(|_| types.next().is_none());
    let mut parts = given.and_then(|given| given.to_str().ok()).unwrap_or_default().split(';').map(str::trim);
    if !parts.next().unwrap_or_default().eq_ignore_ascii_case(expected) {
        return wrong(format!("Send the body as `Content-Type: {expected}`."));
    }
    let is_utf8 = |parameter: &str| {
        let value = parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
        value.is_none_or(|(_, charset)| is_utf8_label(charset.trim_matches('"')))
    };
    if parts.all(is_utf8) { Ok(()) } else { wrong("The body is UTF-8: send no other charset.".to_owned()) }
}

/// Many clients omit the hyphen, and the label means the same encoding (WHATWG Encoding, section 4.2).
fn is_utf8_label(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// Receives a whole body of JSON.
fn read_json(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, Problem>> + use<> {
    let (is_json, body) = (is_json(request), read(request, payload));
    async move {
        is_json?;
        body.await
    }
}

/// Receives the whole body. Rejects one that is too large (at once, if its length says so), too slow, or has a
/// content coding: none is supported, and `identity` is not to be sent (RFC 9110, section 8.4.1).
pub(super) fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, Problem>> + use<> {
    let (is_encoded, payload) = (request.headers().contains_key(CONTENT_ENCODING), payload.take());
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_too_large = announced.is_some_and(|length: u64| length > MAX_BYTES as u64);
    async move {
        if is_encoded {
            let detail = "Send the body as it is, without a Content-Encoding.";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        if is_too_large {
            return Err(too_large());
        }
        let late =
            |_| Problem::new(Code::Timeout, format!("The body took longer than {} s.", TIME_LIMIT.as_secs()));
        tokio::time::timeout(TIME_LIMIT, read_to_end(payload)).await.map_err(late)?
    }
}

fn too_large() -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("A body has {MAX_BYTES} bytes at most."))
}

async fn read_to_end(mut payload: Payload) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| {
            Problem::new(Code::MalformedRequest, "The body ended early, or its chunked encoding is invalid.")
        })?;
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Invalid JSON is 400. JSON of the wrong shape is 422, with a pointer to the member.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let json = serde_json::from_str(json_text(body)?).map_err(not_json)?;
    read_object(json).map_err(|error| Problem::validation(vec![error]))
}

/// Skips a byte order mark (RFC 8259, section 8.1, lets a parser ignore it).
fn json_text(body: &[u8]) -> Result<&str, Problem> {
    utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|_| Problem::new(Code::MalformedRequest, "The body is not UTF-8."))
}

fn not_json(error: serde_json::Error) -> Problem {
    Problem::new(Code::MalformedRequest, format!("Not JSON: {error}."))
}
