//! JSON bodies: an object of exactly the members that a route knows; bounded in size and time, as every body is.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::{
    self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Number, Value};

use crate::error::{Code, FieldError, Problem};

/// The largest body.
pub const MAX_BYTES: usize = 16 * 1024;

/// How long a body may take to arrive.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A body that is a JSON object with exactly the members of `T`.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// The same, or no body at all.
#[derive(Debug)]
pub struct OptionalJson<T>(pub Option<T>);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let body = read(request, payload);
        Box::pin(async move {
            is_json?;
            Ok(Self(parse(&body.await?)?))
        })
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

/// A body that is any JSON value: its text, as it was sent.
#[derive(Debug)]
pub struct AnyJson(pub String);

impl FromRequest for AnyJson {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let body = read(request, payload);
        Box::pin(async move {
            is_json?;
            let body = body.await?;
            let text = json_text(&body)?;
            serde_json::from_str::<Value>(text).map_err(not_json)?;
            if has_nul(text) {
                return Err(Problem::validation(vec![ShapeError::whole(NUL).into()]));
            }
            Ok(Self(text.trim_ascii().to_owned()))
        })
    }
}

const NUL: &str = "has a NUL character, which no text may have";

/// Looks at the JSON text itself: a parser drops all but one of the members that share a name.
fn has_nul(json: &str) -> bool {
    json.replace(r"\\", "").contains(r"\u0000")
}

/// A body that a route has no use for: bounded like any other, and not looked at.
#[derive(Debug)]
pub struct Ignored;

impl FromRequest for Ignored {
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

/// Of this media type, with the one charset that it can have (RFC 8259, section 8.1) or none.
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

/// Many clients leave the hyphen out, which names the same encoding (WHATWG Encoding, section 4.2).
fn is_utf8_label(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// The whole body, unless it is too large, which its length may tell at once, or too slow, or encoded: nothing here is decoded, not even by `identity`, which
/// nobody is to send (RFC 9110, section 8.4.1).
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
            Problem::new(Code::MalformedRequest, "The body broke off, or came in chunks that are none.")
        })?;
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What is not JSON is 400; JSON of another shape is 422, with the member that is wrong.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let value: Document = serde_json::from_str(json_text(body)?).map_err(not_json)?;
    let members = value.into_object().map_err(|error| Problem::validation(vec![error.into()]))?;
    T::deserialize(Members(members)).map_err(|error| Problem::validation(vec![error.into()]))
}

/// Without a byte order mark, which is none of the text (RFC 8259, section 8.1, lets a parser ignore it).
fn json_text(body: &[u8]) -> Result<&str, Problem> {
    utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|_| Problem::new(Code::MalformedRequest, "The body is not UTF-8."))
}

fn not_json(error: serde_json::Error) -> Problem {
    Problem::new(Code::MalformedRequest, format!("Not JSON: {error}."))
}

/// Any JSON text. Of an object it keeps every member, also the repeated ones that `serde_json::Value` drops.
enum Document {
    Object(Vec<(String, Value)>),
    Other,
}

impl Document {
    fn into_object(self) -> Result<Vec<(String, Value)>, ShapeError> {
        let Self::Object(members) = self else { return Err(ShapeError::whole("must be a JSON object")) };
        let mut seen = HashSet::new();
        for (name, value) in &members {
            if !seen.insert(name) {
                return Err(ShapeError::at(name, "is there more than once"));
            }
            if name.contains('\0') || value.as_str().is_some_and(|text| text.contains('\0')) {
                return Err(ShapeError::at(name, NUL));
            }
        }
        Ok(members)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

/// Each method but `visit_map` only has to read on to the end of the text, so that a syntax error is found.
impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Document::Object(members))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Document, A::Error> {
        while seq.next_element::<Value>()?.is_some() {}
        Ok(Document::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Document, E> {
        Ok(Document::Other)
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Other)
    }
}

/// The members of a body.
struct Members(Vec<(String, Value)>);

impl<'de> Deserializer<'de> for Members {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let members = self.0.into_iter().map(|(name, value)| (name.clone(), Member { name, value }));
        de::value::MapDeserializer::new(members).deserialize_any(visitor)
    }

    /// A member that is `null` counts as left out, if it is one that may be there.
    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.0.retain(|(name, value)| !value.is_null() || !known.contains(&name.as_str()));
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A value that knows its name, so that an error in it does too.
struct Member {
    name: String,
    value: Value,
}

impl<'de> IntoDeserializer<'de, ShapeError> for Member {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// By hand, since the errors of `Value`'s own quote what they don't like, and that may be a password. A member is a
/// scalar: no body has more.
impl<'de> Deserializer<'de> for Member {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let name = self.name;
        let visited = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(value) => visit_number(&value, visitor),
            Value::String(value) => visitor.visit_string(value),
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            Value::Object(_) => Err(de::Error::invalid_type(Unexpected::Map, &visitor)),
        };
        visited.map_err(|error: ShapeError| ShapeError::at(&name, &error.detail))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let word = match self.value {
            Value::String(word) => word,
            _ => return Err(ShapeError::at(&self.name, "must be a string")),
        };
        let visited = visitor.visit_enum(word.into_deserializer());
        visited.map_err(|error: ShapeError| ShapeError::at(&self.name, &error.detail))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, ShapeError> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(number), ..) => visitor.visit_u64(number),
        (_, Some(number), _) => visitor.visit_i64(number),
        (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
    }
}

/// What is wrong with the shape of a body, and where.
#[derive(Debug)]
struct ShapeError {
    pointer: String,
    detail: String,
}

impl ShapeError {
    fn at(name: &str, detail: &str) -> Self {
        let FieldError { pointer, detail } = FieldError::of(name, detail);
        Self { pointer, detail }
    }

    /// Of the body itself, and none of its members.
    fn whole(detail: &str) -> Self {
        Self { pointer: String::new(), detail: detail.to_owned() }
    }
}

impl From<ShapeError> for FieldError {
    fn from(error: ShapeError) -> Self {
        Self { pointer: error.pointer, detail: error.detail }
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

impl std::error::Error for ShapeError {}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::whole(&message.to_string())
    }

    /// Says nothing of the value itself: who sends a password in the wrong place does not want to read it here.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::whole(&format!("must be {expected}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::whole(&format!("must be one of: {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at(field, "is missing")
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::at(field, &format!("is not known here; expected: {}", expected.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        #[serde(default)]
        flag: bool,
        note: Option<String>,
    }

    fn outcome(body: &[u8]) -> (u16, String) {
        match parse::<Example>(body) {
            Ok(_) => (200, String::new()),
            Err(problem) => {
                let document = serde_json::to_value(&problem).expect("it serialises");
                let pointer = document["errors"][0]["pointer"].as_str().unwrap_or("-").to_owned();
                (problem.code().status(), pointer)
            }
        }
    }

    #[test]
    fn an_object_of_the_known_members_is_taken() {
        let example: Example = parse(br#" {"name": "x", "note": "y"} "#).expect("it is right");
        assert_eq!((example.name.as_str(), example.flag, example.note.as_deref()), ("x", false, Some("y")));
    }

    #[test]
    fn a_member_that_is_null_counts_as_left_out() {
        let example: Example = parse(br#"{"name": "x", "flag": null, "note": null}"#).expect("it is right");
        assert_eq!((example.flag, example.note), (false, None));
    }

    #[test]
    fn what_is_not_json_is_malformed_even_where_its_shape_is_wrong_as_well() {
        for body in
            [&b""[..], b"{", b"{'name': 1}", b"\xff", b"{\"name\": \"\xff\"}", b"[1,", b"{\"name\": 5, x"]
        {
            assert_eq!(outcome(body).0, 400, "{body:?}");
        }
        for body in
            [&br#"{"name": "\ud800"}"#[..], br#"{"name": "x"} {}"#, b"nul", b"\"a", b"{\"name\":\"a\0\"}"]
        {
            assert_eq!(outcome(body).0, 400, "{body:?}");
        }
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        for body in [
            r#"{"name": 8675309}"#,
            r#"{"name": -8675309}"#,
            r#"{"name": 8675309.5}"#,
            r#"{"name": ["8675309"]}"#,
            r#"{"name": {"8675309": "8675309"}}"#,
            r#"{"name": "x", "flag": "8675309"}"#,
            r#"{"name": "x", "flag": 8675309}"#,
            r#"{"name": "8675309", "flag": []}"#,
            r#"{"name": "8675309""#,
            r#"{"name": "8675309", 8675309}"#,
        ] {
            let problem = parse::<Example>(body.as_bytes()).expect_err("it is wrong");
            let told = serde_json::to_string(&problem).expect("it serialises");
            assert!(!told.contains("8675309"), "{told}");
        }
    }

    #[test]
    fn another_shape_is_named_with_its_pointer() {
        for (body, pointer) in [
            (&b"[]"[..], ""),
            (br#"["x", true, null]"#, ""),
            (b"null", ""),
            (b"1.5", ""),
            (b"{}", "/name"),
            (br#"{"name": "x", "name": "y"}"#, "/name"),
            (br#"{"name": "x", "other": 1}"#, "/other"),
            (br#"{"name": "x", "a/b~c": 1}"#, "/a~1b~0c"),
            (br#"{"name": "x", "": 1}"#, "/"),
            (br#"{"name": 5}"#, "/name"),
            (br#"{"name": null}"#, "/name"),
            (br#"{"name": "x", "flag": "yes"}"#, "/flag"),
            (br#"{"name": "x", "other": null}"#, "/other"),
            (br#"{"name": "x", "note": null, "note": "y"}"#, "/note"),
            (br#"{"name": "a\u0000b"}"#, "/name"),
        ] {
            let text = String::from_utf8_lossy(body);
            assert_eq!(outcome(body), (422, pointer.to_owned()), "{text}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::*;
    use crate::property_testing::{check, near_misses};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        #[serde(default)]
        flag: bool,
        note: Option<String>,
    }

    impl Example {
        /// Whether an object with these members is to be read as this.
        fn is(&self, members: &Value) -> bool {
            let sent = |name| members.get(name).filter(|value| !value.is_null()).cloned();
            sent("name") == Some(json!(self.name))
                && sent("flag").unwrap_or(json!(false)) == json!(self.flag)
                && sent("note") == self.note.as_ref().map(|note| json!(note))
        }
    }

    /// The status, and what it points at.
    fn refusal(body: &[u8]) -> Option<(u16, Option<String>)> {
        let problem = parse::<Example>(body).err()?;
        let document = serde_json::to_value(&problem).expect("it serialises");
        let pointer = document["errors"][0]["pointer"].as_str().map(str::to_owned);
        Some((problem.code().status(), pointer))
    }

    /// JSON texts, but for what stands at `_`.
    const PLACES: [&str; 5] = ["_", "[_]", r#"{"name": _}"#, r#"{"name": "x", "note": [_]}"#, r#"["_"]"#];

    /// What JSON does and does not have, or what no parser can hold.
    const FRAGMENTS: [&str; 12] =
        ["1e999", r#""\ud800""#, r"\ud800", r"\u0000", "01", "-", "NaN", "1,", "'x'", "{}{}", "/**/1", "tru"];

    fn text() -> impl Strategy<Value = String> {
        let awkward =
            vec(select(vec!["\\", "\0", "u0000", "\"", "/", "~", "~1", "é", "\u{1f600}", "\n", "a"]), 0..5);
        prop_oneof![awkward.prop_map(|parts| parts.concat()), any::<String>()]
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((text(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Members of objects that are right, or nearly: known names with values of any type, now and then a foreign
    /// name, and one that is there twice.
    fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
        let named = |name: &str| Just(name.to_owned());
        let texts =
            || prop_oneof![4 => text().prop_map(Value::from), 1 => Just(Value::Null), 1 => json_value()];
        let flags = prop_oneof![4 => any::<bool>().prop_map(Value::from), 1 => json_value()];
        let foreign =
            prop_oneof![text(), select(vec!["Name", "name ", "flag\0", "notes", ""]).prop_map(str::to_owned)];
        let member = prop_oneof![
            (named("flag"), flags),
            (named("note"), texts()),
            (named("name"), texts()),
            (foreign, json_value())
        ];
        let members = (proptest::option::weighted(0.9, (named("name"), texts())), vec(member, 0..3));
        members.prop_map(|(name, others)| name.into_iter().chain(others).collect::<Vec<_>>()).prop_shuffle()
    }

    fn object(members: &[(String, Value)]) -> String {
        let members = members.iter().map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())));
        format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
    }

    /// Where a right body would be otherwise (RFC 6901).
    fn wrong_members(members: &[(String, Value)]) -> Vec<String> {
        let is_wrong = |(at, (name, value)): (usize, &(String, Value))| {
            let has_nul = name.contains('\0') || value.as_str().is_some_and(|text| text.contains('\0'));
            let is_of_type = match name.as_str() {
                "name" => value.is_string(),
                "note" => value.is_string() || value.is_null(),
                "flag" => value.is_boolean() || value.is_null(),
                _ => false,
            };
            let is_repeated = members[..at].iter().any(|(earlier, _)| earlier == name);
            (has_nul || !is_of_type || is_repeated)
                .then(|| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
        };
        let missing = members.iter().all(|(name, _)| name != "name").then(|| "/name".to_owned());
        members.iter().enumerate().filter_map(is_wrong).chain(missing).collect()
    }

    #[test]
    fn an_object_is_read_as_it_was_sent_or_a_member_that_is_wrong_is_pointed_at() {
        check(members(), |members| {
            let body = object(&members);
            let wrong = wrong_members(&members);
            match refusal(body.as_bytes()) {
                None => {
                    prop_assert_eq!(wrong, Vec::<String>::new());
                    let example: Example = parse(body.as_bytes()).expect("it was taken");
                    prop_assert!(example.is(&Value::Object(members.into_iter().collect())), "{:?}", example);
                }
                Some((status, pointer)) => {
                    prop_assert_eq!(status, 422);
                    let pointer = pointer.expect("a pointer");
                    prop_assert!(wrong.contains(&pointer), "{pointer:?} is not of {wrong:?}");
                }
            }
            Ok(())
        });
    }

    #[test]
    fn malformed_is_what_is_not_json_and_nothing_else() {
        let texts = prop_oneof![
            near_misses(members().prop_map(|members| object(&members)))
                .prop_map(|(_, other)| other.into_bytes()),
            near_misses(json_value().prop_map(|value| value.to_string()))
                .prop_map(|(_, other)| other.into_bytes()),
            json_value().prop_map(|value| value.to_string().into_bytes()),
            (members(), any::<u8>())
                .prop_map(|(members, byte)| [object(&members).as_bytes(), &[byte]].concat()),
            (select(PLACES.to_vec()), select(FRAGMENTS.to_vec()))
                .prop_map(|(place, fragment)| place.replace('_', fragment).into_bytes()),
            vec(any::<u8>(), 0..40),
        ];
        check(texts, |body| {
            let is_json = serde_json::from_slice::<Value>(&body).is_ok();
            match refusal(&body) {
                None => {
                    let example: Example = parse(&body).expect("it was taken");
                    let sent = serde_json::from_slice::<Value>(&body).expect("JSON");
                    prop_assert!(example.is(&sent), "{:?}", example);
                }
                Some((status, _)) => prop_assert_eq!(status, if is_json { 422 } else { 400 }),
            }
            Ok(())
        });
    }

    #[test]
    fn a_nul_is_seen_wherever_it_stands_and_only_where_one_stands() {
        fn stands_in(value: &Value) -> bool {
            match value {
                Value::String(text) => text.contains('\0'),
                Value::Array(items) => items.iter().any(stands_in),
                Value::Object(members) => {
                    members.iter().any(|(name, value)| name.contains('\0') || stands_in(value))
                }
                _ => false,
            }
        }
        check(json_value(), |value| {
            prop_assert_eq!(has_nul(&value.to_string()), stands_in(&value));
            Ok(())
        });
    }
}
