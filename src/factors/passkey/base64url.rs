//! Bytes in JSON: base64url without padding, as `toJSON()` writes them (WebAuthn Level 3, section 5.1), up to a maximum length.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

/// At most `MAX` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base64UrlBytes<const MAX: usize>(pub(super) Vec<u8>);

impl<const MAX: usize> Serialize for Base64UrlBytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Base64UrlBytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() <= MAX);
        let expected =
            || D::Error::custom(format!("must be base64url without padding, of {MAX} bytes at most"));
        decoded.map(Self).ok_or_else(expected)
    }
}
