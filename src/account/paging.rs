//! Which page of a list somebody asks for, and how the next one is called.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use uuid::Uuid;

use crate::error::{FieldError, Problem};
use crate::http::query::parameters;
use crate::logins::{PageCursor, PageRequest};

/// How many logins are on a page, unless the request says another number, and how many may be.
const DEFAULT_LIMIT: u8 = 100;
const MAX_LIMIT: u8 = 200;

/// The page that a query asks for.
///
/// # Errors
/// `validation_failed`.
pub(super) fn page_of(query: &str) -> Result<PageRequest, Problem> {
    let [limit, after] = parameters(query, ["limit", "after"])?;
    let limit = limit.map_or(Some(DEFAULT_LIMIT), |text| limit_of(&text));
    let after = after.map_or(Some(None), |text| position_of(&text).map(Some));
    match (limit, after) {
        (Some(limit), Some(after)) => Ok(PageRequest { limit, after }),
        (limit, after) => {
            let limit = limit.is_none().then(|| FieldError::of("limit", format!("must be 1 to {MAX_LIMIT}")));
            let after =
                after.is_none().then(|| FieldError::of("after", "must be the `next` of the page before"));
            Err(Problem::parameters(limit.into_iter().chain(after).collect()))
        }
    }
}

fn limit_of(text: &str) -> Option<u8> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| is_plain && (1..=MAX_LIMIT).contains(limit))
}

/// A position in words that clients need not read: base64url of the time in microseconds and the id.
pub(super) fn name_of(position: &PageCursor) -> String {
    let time = position.created_at.timestamp_micros().to_be_bytes();
    URL_SAFE_NO_PAD.encode([time.as_slice(), position.id.as_bytes()].concat())
}

/// Whoever makes one up comes to some place in a list of their own.
fn position_of(name: &str) -> Option<PageCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
    let (time, id) = bytes.split_first_chunk()?;
    // No login began before 1970, and Postgres knows no times long before.
    let created_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*time).max(0));
    Some(PageCursor {
        created_at: created_at.unwrap_or(DateTime::UNIX_EPOCH),
        id: Uuid::from_slice(id).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_named_and_any_other_is_somewhere() {
        let created_at = DateTime::from_timestamp_micros(1_925_000_000_000_001).expect("a time");
        let position = PageCursor { created_at, id: Uuid::now_v7() };
        assert_eq!(position_of(&name_of(&position)), Some(position));
        for time in [i64::MIN, -1, i64::MAX] {
            let name = URL_SAFE_NO_PAD.encode([time.to_be_bytes().as_slice(), &[0; 16]].concat());
            assert!(position_of(&name).is_some_and(|position| position.created_at >= DateTime::UNIX_EPOCH));
        }
        for name in ["", "x", "AAAA", "ä", &"A".repeat(33), &"A".repeat(31), &"=".repeat(32)] {
            assert_eq!(position_of(name), None, "{name}");
        }
    }
}
