//! Derives usernames from email addresses, for users without one.

use crate::crypto::random_bytes;

use super::validation::{USERNAME_LENGTH, is_username_byte};

/// Prefix of usernames whose local part is too short.
const FILLER: &str = "user";

/// Number of suggestions such as `ada`, `ada-2` and so on. Limited, since names like `info` are very common.
const NUMBERED: usize = 9;

/// Suggested usernames for an address, each of them valid.
#[derive(Debug)]
pub(super) struct DerivedNames {
    /// The local part, then with a number: `ada`, `ada-2` and so on. They may be taken.
    pub(super) preferred: Vec<String>,
    /// With a random number so long that the name is not taken.
    pub(super) fallback: String,
}

/// Derives suggestions from this address, which need not be valid.
pub(super) fn derive(email: &str) -> DerivedNames {
    let base = base(email);
    let numbered = (2..=NUMBERED).map(|number| with_suffix(&base, &format!("-{number}")));
    let preferred = std::iter::once(base.clone()).chain(numbered).collect();
    let random = u64::from_ne_bytes(random_bytes()) % 1_000_000_000_000;
    DerivedNames { preferred, fallback: with_suffix(&base, &format!("-{random:012}")) }
}

/// The local part without characters that are invalid in a username.
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

/// Cuts `base` so that the result is short enough. `base` is ASCII, so it can be cut anywhere.
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
