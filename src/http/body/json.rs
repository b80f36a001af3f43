//! Deserializes JSON bodies. Errors have a pointer to the wrong member, at any depth, and never repeat the input,
//! which may be a password.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_path_to_error::Segment;

use crate::error::{FieldError, pointer_to};

pub(super) const NUL: &str = "has a NUL character, which no text may have";

const REPEATED: &str = "is there more than once";

const NO_OBJECT: &str = "must be a JSON object";

/// Reads an object with exactly the members of `T`: unknown and repeated ones are errors, and `null` counts as absent
/// for optional members.
///
/// # Errors
/// The first wrong member.
pub(super) fn read_object<T: DeserializeOwned>(json: ParsedJson) -> Result<T, FieldError> {
    let ParsedJson::Object(members) = &json else {
        return Err(FieldError { pointer: String::new(), detail: NO_OBJECT.to_owned() });
    };
    check_members("", members)?;
    // Checked here, before `json` is consumed, but reported only if the type allows nested values there.
    let nested = members.iter().try_for_each(|(name, value)| value.check_within(&pointer_to("", name)));
    let object = serde_path_to_error::deserialize(json).map_err(field_error)?;
    nested.map(|()| object)
}

fn check_members(at: &str, members: &[(String, ParsedJson)]) -> Result<(), FieldError> {
    let mut seen = HashSet::new();
    for (name, value) in members {
        let wrong = |detail: &str| FieldError { pointer: pointer_to(at, name), detail: detail.to_owned() };
        if !seen.insert(name) {
            return Err(wrong(REPEATED));
        }
        if name.contains('\0') || value.is_text_with_nul() {
            return Err(wrong(NUL));
        }
    }
    Ok(())
}

/// Any JSON value. Keeps repeated members of objects, which `serde_json::Value` drops.
pub(super) enum ParsedJson {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Array(Vec<ParsedJson>),
    Object(Vec<(String, ParsedJson)>),
}

impl ParsedJson {
    fn is_text_with_nul(&self) -> bool {
        matches!(self, Self::Text(text) if text.contains('\0'))
    }

    /// Checks nested values.
    fn check_within(&self, at: &str) -> Result<(), FieldError> {
        match self {
            Self::Object(members) => {
                check_members(at, members)?;
                members.iter().try_for_each(|(name, value)| value.check_within(&pointer_to(at, name)))
            }
            Self::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                let pointer = format!("{at}/{index}");
                match item.is_text_with_nul() {
                    true => Err(FieldError { pointer, detail: NUL.to_owned() }),
                    false => item.check_within(&pointer),
                }
            }),
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for ParsedJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = ParsedJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<ParsedJson, E> {
        Ok(ParsedJson::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<ParsedJson, E> {
        Ok(ParsedJson::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ParsedJson, E> {
        Ok(ParsedJson::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ParsedJson, E> {
        Ok(ParsedJson::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ParsedJson, E> {
        Ok(ParsedJson::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<ParsedJson, E> {
        Ok(ParsedJson::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ParsedJson, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(ParsedJson::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParsedJson, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(ParsedJson::Object(members))
    }
}

impl<'de> IntoDeserializer<'de, ShapeError> for ParsedJson {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Written by hand, since serde_json's errors quote the input.
impl<'de> Deserializer<'de> for ParsedJson {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(value) => visitor.visit_string(value),
            Self::Array(items) => SeqDeserializer::new(items.into_iter()).deserialize_any(visitor),
            Self::Object(members) => MapDeserializer::new(members.into_iter()).deserialize_any(visitor),
        }
    }

    /// `null` counts as absent for optional members.
    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        // serde's derived code would also accept the members in an array.
        let Self::Object(members) = &mut self else { return Err(de::Error::custom(NO_OBJECT)) };
        members.retain(|(name, value)| !matches!(value, Self::Null) || !known.contains(&name.as_str()));
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self {
            Self::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self)
    }

    /// An enum without data, as a string.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        match self {
            Self::Text(word) => visitor.visit_enum(word.into_deserializer()),
            _ => Err(de::Error::custom("must be a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// An error in the shape of a body. serde_path_to_error knows the place, except for a member that is missing or
/// repeated in the object itself.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(super) struct ShapeError {
    member: Option<&'static str>,
    detail: String,
}

/// The error with a JSON pointer.
fn field_error(error: serde_path_to_error::Error<ShapeError>) -> FieldError {
    let place = error.path().iter().fold(String::new(), |at, segment| match segment {
        Segment::Map { key } => pointer_to(&at, key),
        Segment::Seq { index } => format!("{at}/{index}"),
        Segment::Enum { .. } | Segment::Unknown => at,
    });
    let ShapeError { member, detail } = error.into_inner();
    let pointer = member.iter().fold(place, |place, name| pointer_to(&place, name));
    FieldError { pointer, detail }
}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { member: None, detail: message.to_string() }
    }

    /// Omits the value, which may be a password in the wrong place.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("must be one of: {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { member: Some(field), ..Self::custom("is missing") }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { member: Some(field), ..Self::custom(REPEATED) }
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("is not known here; expected: {}", expected.join(", ")))
    }
}
