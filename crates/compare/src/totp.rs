//! The authenticator of a test user: computes TOTPs (RFC 6238) with the parameters of dualauth.

use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};
use data_encoding::BASE32_NOPAD;

/// The length of a time step, in seconds.
const STEP_SECONDS: i64 = 30;

/// The code of the time step at this second of Unix time. `None`: the secret is not Base32 (RFC 4648).
pub(super) fn code(base32: &str, second: i64) -> Option<String> {
    let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &BASE32_NOPAD.decode(base32.as_bytes()).ok()?);
    let mac = hmac::sign(&key, &second.div_euclid(STEP_SECONDS).to_be_bytes());
    let offset = usize::from(mac.as_ref().last()? & 0xf);
    let number = mac.as_ref().get(offset..offset + 4)?.try_into().ok().map(u32::from_be_bytes)?;
    Some(format!("{:06}", (number & 0x7fff_ffff) % 1_000_000))
}

/// The code of the time step before.
pub(super) fn earlier_code(base32: &str, second: i64) -> Option<String> {
    code(base32, second - STEP_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (second, expected) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(code(secret, second).as_deref(), Some(expected));
            assert_eq!(earlier_code(secret, second + 30).as_deref(), Some(expected));
        }
        assert_eq!(code("not Base32", 0), None);
    }
}
