//! The two halves of a challenge: the token, for whoever asks for it, and the code, which goes another way.

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::random_bytes;
use crate::tokens::OpaqueToken;

/// Prefix that distinguishes challenge tokens from others.
const PREFIX: &str = "dac_";

/// Number of different codes: all of eight digits.
const CODES: u32 = 100_000_000;

/// The token of a challenge: 256 random bits.
#[derive(Clone, Debug)]
pub struct ChallengeToken(OpaqueToken);

impl ChallengeToken {
    pub(super) fn generate() -> Self {
        Self(OpaqueToken::generate(PREFIX))
    }

    /// Parses a token from a client. `None` when it is not well-formed.
    pub fn parse(text: &str) -> Option<Self> {
        OpaqueToken::parse(PREFIX, text).map(Self)
    }

    /// SHA-256 of the token, which the database stores.
    pub fn hash(&self) -> [u8; 32] {
        self.0.hash()
    }

    /// The token itself, for the response to whoever asked for it.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

/// The code of a challenge: eight digits when it is made here, any text when a client typed it.
pub struct ChallengeCode(Zeroizing<String>);

impl ChallengeCode {
    /// A random code.
    pub(super) fn generate() -> Self {
        // The highest multiple of the number of codes: a draw above it would make some codes likelier than others.
        let end = u32::MAX - u32::MAX % CODES;
        loop {
            let drawn = u32::from_ne_bytes(random_bytes());
            if drawn < end {
                return Self(Zeroizing::new(format!("{:08}", drawn % CODES)));
            }
        }
    }

    /// A code as somebody typed it. Spaces, dashes and letter case are ignored.
    pub fn typed(text: &str) -> Self {
        let letters = text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
        Self(Zeroizing::new(letters.map(|letter| letter.to_ascii_lowercase()).collect()))
    }

    /// The code itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChallengeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeCode([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_eight_digits_and_each_digit_comes_in_each_place() {
        let mut seen = [[false; 10]; 8];
        for _ in 0..1_000 {
            let code = ChallengeCode::generate();
            assert_eq!(code.reveal().len(), 8);
            for (place, digit) in code.reveal().chars().enumerate() {
                seen[place][digit.to_digit(10).expect("a digit") as usize] = true;
            }
        }
        assert_eq!(seen, [[true; 10]; 8]);
    }

    #[test]
    fn a_code_may_be_typed_as_it_is_shown() {
        for typed in ["12345678", "1234 5678", " 1234-5678\n", "1234\u{a0}5678"] {
            assert_eq!(ChallengeCode::typed(typed).reveal(), "12345678", "{typed:?}");
        }
        assert_eq!(ChallengeCode::typed("AbCd-EF").reveal(), "abcdef");
        assert_ne!(ChallengeCode::typed("1234567").reveal(), "12345678");
    }

    #[test]
    fn neither_half_is_printed() {
        let (token, code) = (ChallengeToken::generate(), ChallengeCode::typed("12345678"));
        let printed = format!("{token:?} {code:?}");
        assert!(!printed.contains(&token.reveal()[4..]) && !printed.contains("1234"), "{printed}");
        assert!(ChallengeToken::parse(token.reveal()).is_some_and(|parsed| parsed.hash() == token.hash()));
    }
}
