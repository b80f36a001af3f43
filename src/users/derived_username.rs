//! Usernames for people who have only an address: derived from its local part.

use crate::crypto::random_bytes;

use super::validation::{USERNAME_LENGTH, is_username_byte};

/// What stands before a local part that is too short for a username.
const FILLER: &str = "user";

/// How many are tried as `ada`, `ada-2` and so on: among those called `info` there is no end of them.
const NUMBERED: usize = 9;

/// Usernames for the owner of an address, each of them valid.
#[derive(Debug)]
pub(super) struct DerivedNames {
    /// The local part, then the same with a number: `ada`, `ada-2` and so on. Others may have them.
    pub(super) preferred: Vec<String>,
    /// With a random number so long that nobody else has it.
    pub(super) fallback: String,
}

/// The usernames that this address suggests. It need not be valid.
pub(super) fn derive(email: &str) -> DerivedNames {
    let base = base(email);
    let numbered = (2..=NUMBERED).map(|number| with_suffix(&base, &format!("-{number}")));
    let preferred = std::iter::once(base.clone()).chain(numbered).collect();
    let random = u64::from_ne_bytes(random_bytes()) % 1_000_000_000_000;
    DerivedNames { preferred, fallback: with_suffix(&base, &format!("-{random:012}")) }
}

/// The local part without the characters that a username can't have.
fn base(email: &str) -> String {
    let local = email.split_once('@').map_or(email, |(local, _)| local);
    let kept: String =
        local.chars().filter(|letter| letter.is_ascii() && is_username_byte(*letter as u8)).collect();
    let base = match kept.len() {
        0 => FILLER.to_owned(),
        length if length < *USERNAME_LENGTH.start() => format!("{FILLER}-{kept}"),
        _ => kept,
    };
    with_suffix(&base, "")
}

/// Cut so that both have room. It is ASCII, so it can be cut anywhere.
fn with_suffix(base: &str, suffix: &str) -> String {
    let room = USERNAME_LENGTH.end() - suffix.len();
    format!("{}{suffix}", base.get(..room).unwrap_or(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::validation::check_username;

    #[test]
    fn a_username_is_the_local_part_as_far_as_it_can_be_one() {
        for (email, expected) in [
            ("ada@example.org", "ada"),
            ("Ada.Lovelace+news@example.org", "Ada.Lovelace+news"),
            ("o'brien@example.org", "obrien"),
            ("me@example.org", "user-me"),
            ("{}@example.org", "user"),
            ("ada", "ada"),
            ("@example.org", "user"),
            ("ädä@example.org", "user-d"),
        ] {
            assert_eq!(derive(email).preferred[0], expected, "{email}");
        }
    }

    #[test]
    fn every_one_is_a_username_of_its_own() {
        for email in
            ["ada@example.org", "a@b", "", &format!("{}@example.org", "x".repeat(64)), &"ü".repeat(200)]
        {
            let DerivedNames { preferred, fallback } = derive(email);
            let names = [preferred, vec![fallback]].concat();
            for name in &names {
                assert_eq!(check_username(name), Ok(()), "{name}");
            }
            let lower: std::collections::HashSet<String> =
                names.iter().map(|name| name.to_ascii_lowercase()).collect();
            assert_eq!(lower.len(), names.len(), "{names:?}");
        }
        assert_ne!(derive("ada@example.org").fallback, derive("ada@example.org").fallback);
    }
}
