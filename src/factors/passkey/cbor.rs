//! CBOR (RFC 8949), as authenticators write it (CTAP 2.1, section 8): short, flat, and without repeated keys.

use ciborium::Value;

use super::error::PasskeyError;

/// Nesting that an attestation statement may have; CTAP allows four levels.
const MAX_DEPTH: usize = 8;

/// The entries of a map.
#[derive(Debug)]
pub(super) struct CborMap(Vec<(Value, Value)>);

impl CborMap {
    /// Reads a map at the beginning of `bytes`. Returns it with the bytes after it.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, &[u8]), PasskeyError> {
        let mut rest = bytes;
        let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH);
        match value {
            Ok(Value::Map(entries)) if has_distinct_keys(&entries) => Ok((Self(entries), rest)),
            _ => Err(PasskeyError::Malformed),
        }
    }

    /// Reads a map that is all of `bytes`.
    pub(super) fn read_all(bytes: &[u8]) -> Result<Self, PasskeyError> {
        match Self::read(bytes)? {
            (map, []) => Ok(map),
            _ => Err(PasskeyError::TrailingBytes),
        }
    }

    /// The value itself, if it is a map.
    pub(super) fn of_value(value: &Value) -> Option<Self> {
        let entries = value.as_map()?;
        has_distinct_keys(entries).then(|| Self(entries.clone()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn named(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
    }

    fn labelled(&self, label: i64) -> Option<&Value> {
        self.0.iter().find(|(key, _)| integer(key) == Some(label)).map(|(_, value)| value)
    }

    pub(super) fn integer(&self, label: i64) -> Option<i64> {
        self.labelled(label).and_then(integer)
    }

    pub(super) fn bytes(&self, label: i64) -> Option<&[u8]> {
        self.labelled(label)?.as_bytes().map(Vec::as_slice)
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_integer()?.try_into().ok()
}

/// Keys are few: a credential's map has five at most, an attestation object's three.
fn has_distinct_keys(entries: &[(Value, Value)]) -> bool {
    entries.len() <= 16
        && entries
            .iter()
            .enumerate()
            .all(|(at, (key, _))| entries.iter().skip(at + 1).all(|(other, _)| key != other))
}
