//! TOTP (RFC 6238): an authenticator shows six digits, others every 30 seconds, made of a secret that both sides have.
//!
//! The algorithm is HMAC-SHA-1 (RFC 4226) with parameters that every authenticator supports.

pub(super) mod enrolment;
mod resealing;
mod setup;
pub(super) mod store;

use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};
use chrono::{DateTime, Utc};

use crate::crypto::{SecretBytes, equal, random_bytes};

pub use self::enrolment::{EnrolledTotp, EnrolmentError};
pub use self::resealing::{SecretCounts, count_secrets, reseal_all};
pub use self::setup::{QrCode, TotpSetup};

/// What secrets are sealed for, under a key of its own.
pub(super) const SEALING_PURPOSE: &str = "totp secrets";

/// The length of a time step, in seconds.
const STEP_SECONDS: i64 = 30;

/// The length of a code.
const DIGITS: usize = 6;

/// Number of different codes.
const CODES: u32 = 1_000_000;

/// The steps whose codes are accepted, relative to the current one: clocks differ, and typing takes time.
const ACCEPTED_STEPS: [i64; 3] = [1, 0, -1];

/// The secret of an authenticator: 160 bits, as long as the output of its hash (RFC 4226, section 4).
#[derive(Debug)]
pub struct TotpSecret(SecretBytes);

impl TotpSecret {
    /// A random secret.
    pub(super) fn generate() -> Self {
        Self(SecretBytes::new(random_bytes::<20>().to_vec()))
    }

    pub(super) fn new(bytes: SecretBytes) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &SecretBytes {
        &self.0
    }

    /// The newest time step around `now` that this code is of. `None`: the code is wrong.
    pub(super) fn step_of(&self, code: &str, now: DateTime<Utc>) -> Option<i64> {
        let current = now.timestamp().div_euclid(STEP_SECONDS);
        let is_right = |step: &i64| equal(self.code(*step).as_bytes(), code.as_bytes());
        ACCEPTED_STEPS.into_iter().map(|offset| current + offset).find(is_right)
    }

    /// The code of a time step (RFC 4226, section 5.3).
    fn code(&self, step: i64) -> String {
        let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.reveal());
        let mac = hmac::sign(&key, &step.to_be_bytes());
        let offset = usize::from(mac.as_ref().last().copied().unwrap_or_default() & 0xf);
        let mut number = [0; 4];
        number.iter_mut().zip(mac.as_ref().iter().skip(offset)).for_each(|(to, byte)| *to = *byte);
        format!("{:0DIGITS$}", (u32::from_be_bytes(number) & 0x7fff_ffff) % CODES)
    }
}

/// Whether a normalized code has the form of a TOTP.
pub(super) fn is_totp(code: &str) -> bool {
    code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret::new(SecretBytes::new(b"12345678901234567890".to_vec()))
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, the last six of eight digits.
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code(second / STEP_SECONDS), code);
            assert_eq!(secret().step_of(code, at(second)), Some(second / STEP_SECONDS));
        }
        // RFC 4226, appendix D.
        for (step, code) in (0..).zip(["755224", "287082", "359152", "969429", "338314", "254676"]) {
            assert_eq!(secret().code(step), code);
        }
    }

    #[test]
    fn a_code_is_accepted_one_step_before_and_after_its_own() {
        let step = 41_152_263;
        let code = secret().code(step);
        for (offset, is_accepted) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            for second in [0, 29] {
                let now = at((step + offset) * STEP_SECONDS + second);
                assert_eq!(secret().step_of(&code, now), is_accepted.then_some(step), "{offset} {second}");
            }
        }
    }

    #[test]
    fn nothing_else_is_a_code() {
        let now = at(59);
        for code in ["", "28708", "2870820", "94287082", "28708a", "٢٨٧٠٨٢", "-87082"] {
            assert_eq!(secret().step_of(code, now), None, "{code}");
            assert!(!is_totp(code) || code == "287082", "{code}");
        }
        assert!(is_totp("287082"));
        assert_eq!(TotpSecret::generate().step_of("287082", at(-1)), None, "before 1970 as well");
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", secret()).contains("49"));
    }
}
