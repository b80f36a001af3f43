//! Pagination of the list of logins: parses `limit` and `after`, and encodes the cursor of the next page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use uuid::Uuid;

use crate::error::{FieldError, Problem};
use crate::http::query::parameters;
use crate::logins::{PageCursor, PageRequest};

/// The number of logins on a page, by default and at most.
const DEFAULT_LIMIT: u8 = 100;
const MAX_LIMIT: u8 = 200;

/// Parses the page that a query string requests.
///
/// # Errors
/// `validation_failed` for an unknown parameter or a value that is out of range.
pub(super) fn parse_page(query: &str) -> Result<PageRequest, Problem> {
    let [limit, after] = parameters(query, ["limit", "after"])?;
    let limit = limit.map_or(Some(DEFAULT_LIMIT), |text| parse_limit(&text));
    let after = after.map_or(Some(None), |text| decode_cursor(&text).map(Some));
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

fn parse_limit(text: &str) -> Option<u8> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| is_plain && (1..=MAX_LIMIT).contains(limit))
}

/// An opaque cursor for clients: base64url of the time in microseconds (8 bytes, big-endian) and the id (16 bytes).
pub(super) fn encode_cursor(position: &PageCursor) -> String {
    let time = position.created_at.timestamp_micros().to_be_bytes();
    URL_SAFE_NO_PAD.encode([time.as_slice(), position.id.as_bytes()].concat())
}

/// Cursors are not signed: a forged one only selects another position in the client's own list.
fn decode_cursor(name: &str) -> Option<PageCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
    let (time, id) = bytes.split_first_chunk()?;
    // Clamped to 1970, since Postgres can't represent every earlier time and no login is that old.
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
        assert_eq!(decode_cursor(&encode_cursor(&position)), Some(position));
        for time in [i64::MIN, -1, i64::MAX] {
            let name = URL_SAFE_NO_PAD.encode([time.to_be_bytes().as_slice(), &[0; 16]].concat());
            assert!(decode_cursor(&name).is_some_and(|position| position.created_at >= DateTime::UNIX_EPOCH));
        }
        for name in ["", "x", "AAAA", "ä", &"A".repeat(33), &"A".repeat(31), &"=".repeat(32)] {
            assert_eq!(decode_cursor(name), None, "{name}");
        }
    }
}
