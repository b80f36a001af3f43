//! Form extractor for OAuth endpoints: `application/x-www-form-urlencoded`, each known parameter at most once.

use std::borrow::Cow;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use percent_encoding::percent_decode_str;
use serde::de::{self, DeserializeOwned};

use crate::error::{Code, Problem};

use super::body::{is_of_type, read, utf8};

/// Extracts a form (WHATWG URL, section 5) by OAuth's rules: unknown parameters and those without a value are ignored
/// (RFC 6749, section 3.2), and known ones must not be repeated.
#[derive(Debug)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Form<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = is_of_type(request, FORM);
        let body = read(request, payload);
        Box::pin(async move {
            is_form?;
            Ok(Self(parse_form(&body.await?)?))
        })
    }
}

/// The media type of a form.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Reads a form, by the rules of [`Form`].
///
/// # Errors
/// `malformed_request`.
pub fn parse_form<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let malformed = |error: de::value::Error| {
        Problem::new(Code::MalformedRequest, format!("The form is not acceptable: {error}."))
    };
    let mut members = Vec::new();
    for member in utf8(body)?.split('&') {
        let (name, value) = member.split_once('=').unwrap_or((member, ""));
        members.push((decode_form(name)?, decode_form(value)?));
    }
    members.retain(|(_, value)| !value.is_empty());
    T::deserialize(de::value::MapDeserializer::new(members.into_iter())).map_err(malformed)
}

/// Decodes a name or value of a form.
///
/// # Errors
/// `malformed_request` when it is not UTF-8.
pub fn decode_form(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| Problem::new(Code::MalformedRequest, "The form is not UTF-8."))
}
