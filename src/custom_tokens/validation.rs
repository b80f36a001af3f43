//! Validation of what a client wants a token for.

use uuid::Uuid;

use crate::error::FieldError;

use super::CustomTokenSpec;
use super::error::CreateTokenError;

/// Maximum length of a purpose, in characters.
pub const MAX_PURPOSE: usize = 64;

/// Maximum lifetime of a token, in seconds: 30 days.
pub const MAX_LIFETIME: i64 = 30 * 24 * 60 * 60;

/// Maximum number of uses of a token.
pub const MAX_USES: i64 = 1_000;

/// Maximum size of a token's data: bytes of its JSON text without the white space between its parts.
pub const MAX_DATA: usize = 4 * 1024;

/// A [`CustomTokenSpec`] that was checked.
pub(super) struct ValidSpec {
    pub(super) purpose: String,
    pub(super) lifetime: chrono::Duration,
    pub(super) uses: i32,
    pub(super) user_id: Option<Uuid>,
    /// Without the white space between its parts.
    pub(super) data: Option<String>,
}

/// Checks everything, and reports all faults at once.
pub(super) fn check(spec: CustomTokenSpec) -> Result<ValidSpec, CreateTokenError> {
    let CustomTokenSpec { purpose, expires_in, uses, user_id, data } = spec;
    let user_id = user_id.map(|id| id.parse::<Uuid>()).transpose();
    let uses = i32::try_from(uses).ok().filter(|uses| (1..=MAX_USES).contains(&i64::from(*uses)));
    let data = data.map(|json| compact(&json));
    let fits = |data: &String| data.len() <= MAX_DATA;
    let faults = [
        check_purpose(&purpose).err(),
        (!(1..=MAX_LIFETIME).contains(&expires_in))
            .then(|| FieldError::of("expires_in", format!("must be 1 to {MAX_LIFETIME} seconds"))),
        uses.is_none().then(|| FieldError::of("uses", format!("must be 1 to {MAX_USES}"))),
        user_id.is_err().then(|| FieldError::of("user_id", "must be a UUID")),
        (!data.as_ref().is_none_or(fits))
            .then(|| FieldError::of("data", format!("must have {MAX_DATA} bytes of JSON at most"))),
    ];
    let faults: Vec<FieldError> = faults.into_iter().flatten().collect();
    match (uses, user_id) {
        (Some(uses), Ok(user_id)) if faults.is_empty() => {
            let lifetime = chrono::Duration::seconds(expires_in);
            Ok(ValidSpec { purpose, lifetime, uses, user_id, data })
        }
        _ => Err(CreateTokenError::Invalid(faults)),
    }
}

/// Checks the format of a purpose.
pub(super) fn check_purpose(purpose: &str) -> Result<(), FieldError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=MAX_PURPOSE).contains(&purpose.len()) && purpose.bytes().all(allowed) {
        return Ok(());
    }
    let detail = format!("must have 1 to {MAX_PURPOSE} ASCII letters, digits, and the characters _ . - only");
    Err(FieldError::of("purpose", detail))
}

/// JSON text without the white space between its parts. Numbers, escapes and the order of members stay as they are.
fn compact(json: &str) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let is_kept = |letter: &char| {
        if is_in_text {
            is_in_text = is_escaped || *letter != '"';
            is_escaped = !is_escaped && *letter == '\\';
            return true;
        }
        is_in_text = *letter == '"';
        !letter.is_ascii_whitespace()
    };
    json.chars().filter(is_kept).collect()
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::property_testing::check as holds;

    fn json_value() -> impl Strategy<Value = Value> {
        let text = || {
            let awkward =
                prop_oneof![Just("\\"), Just("\""), Just(" "), Just("\n"), Just("é"), Just("{"), Just(":")];
            proptest::collection::vec(awkward, 0..6).prop_map(|parts| parts.concat())
        };
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 12, 4, move |inner| {
            let members = proptest::collection::vec((text(), inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn compact_json_is_what_a_compact_serialiser_writes() {
        holds(json_value(), |value| {
            let spaced = serde_json::to_string_pretty(&value).expect("it serialises");
            prop_assert_eq!(compact(&spaced), value.to_string());
            prop_assert_eq!(compact(&value.to_string()), value.to_string());
            Ok(())
        });
    }

    #[test]
    fn a_purpose_is_exactly_what_fits() {
        let texts =
            prop_oneof!["[A-Za-z0-9_.-]{0,70}", "[A-Za-z0-9_.-]{0,5}.[A-Za-z0-9_.-]{0,5}", any::<String>()];
        holds(texts, |text| {
            let is_purpose = (1..=64).contains(&text.chars().count())
                && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
            prop_assert_eq!(check_purpose(&text).is_ok(), is_purpose);
            Ok(())
        });
    }
}
