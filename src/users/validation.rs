//! Validation rules for usernames, emails, passwords and roles.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::passwords::normalize;

/// Length of a username, in characters.
pub(super) const USERNAME_LENGTH: RangeInclusive<usize> = 3..=64;

/// Maximum length of a password in bytes, after normalisation. Longer ones are rejected, never truncated.
const MAX_PASSWORD_BYTES: usize = 1024;

/// Maximum length of an email address (RFC 5321, section 4.5.3.1.3, without the angle brackets).
const MAX_EMAIL_BYTES: usize = 254;

/// Maximum length of the part before the `@` (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL_PART_BYTES: usize = 64;

/// Common passwords from public breach statistics, in lower case, one per line.
static COMMON_PASSWORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// The invalid member of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The username.
    Username,
    /// The email.
    Email,
    /// The password.
    Password,
    /// The new password, when a password is changed.
    NewPassword,
}

/// A fault of an input, in words for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The invalid member.
    pub field: Field,
    /// What is wrong, and what would be valid.
    pub detail: String,
}

/// All faults of a new user's data.
pub(super) fn check_user(
    username: Option<&str>,
    email: &str,
    password: &str,
    min_length: usize,
) -> Vec<Invalid> {
    let checks = [
        (Field::Username, username.map_or(Ok(()), check_username)),
        (Field::Email, check_email(email)),
        (Field::Password, check_password(password, min_length)),
    ];
    let invalid =
        |(field, result): (Field, Result<(), String>)| result.err().map(|detail| Invalid { field, detail });
    checks.into_iter().filter_map(invalid).collect()
}

/// Checks the name of a role. Roles are sent in a header, separated by commas.
///
/// # Errors
/// The rule, in words.
pub fn check_role(role: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':');
    if (1..=64).contains(&role.len()) && role.bytes().all(allowed) {
        return Ok(());
    }
    Err("has 1 to 64 ASCII letters, digits, and the characters _ . - :".to_owned())
}

pub(super) fn check_username(username: &str) -> Result<(), String> {
    if !USERNAME_LENGTH.contains(&username.len()) {
        return Err("must have 3 to 64 characters".to_owned());
    }
    if !username.bytes().all(is_username_byte) {
        return Err("may have ASCII letters, digits, and the characters _ . - + only".to_owned());
    }
    Ok(())
}

pub(super) fn is_username_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+')
}

/// Checks an address.
///
/// # Errors
/// What is wrong with it.
pub fn check_email(email: &str) -> Result<(), String> {
    if !email.is_ascii() {
        return Err("must be ASCII; write an international domain in its xn-- form".to_owned());
    }
    if email.len() > MAX_EMAIL_BYTES {
        return Err(format!("must have {MAX_EMAIL_BYTES} characters at most"));
    }
    match email.split_once('@') {
        Some((local, domain)) if is_local_part(local) && is_domain(domain) => Ok(()),
        _ => Err("must be an address such as ada@example.com".to_owned()),
    }
}

/// Whether it consists of the characters of an unquoted local part (RFC 5322, section 3.2.3) and dots, as browsers
/// check it.
fn is_local_part(local: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    (1..=MAX_LOCAL_PART_BYTES).contains(&local.len()) && local.bytes().all(allowed)
}

/// Whether it consists of labels of letters, digits and inner hyphens (RFC 1123, section 2.1).
fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// Checks whether a user may set this password.
///
/// # Errors
/// What is wrong with it.
pub fn check_password(password: &str, min_length: usize) -> Result<(), String> {
    let password = normalize(password);
    if password.chars().count() < min_length {
        return Err(format!("must have at least {min_length} characters"));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(format!("must have {MAX_PASSWORD_BYTES} bytes at most"));
    }
    if is_common(&password) {
        return Err("is among the passwords that are guessed first; choose another".to_owned());
    }
    Ok(())
}

/// Whether it is a common password in any letter case, or repetitions of one. Repetitions of a single character count
/// only if they are in the list: longer ones are left to the user's judgement.
fn is_common(password: &str) -> bool {
    let password = Zeroizing::new(password.to_lowercase());
    let units = (1..=password.len()).filter_map(|length| password.get(..length));
    units.filter(|unit| COMMON_PASSWORDS.contains(unit)).any(|unit| {
        let is_whole = unit.len() == password.len();
        is_whole || (has_two_characters(unit) && is_repetition(&password, unit))
    })
}

fn has_two_characters(unit: &str) -> bool {
    unit.chars().any(|letter| !unit.starts_with(letter))
}

fn is_repetition(text: &str, unit: &str) -> bool {
    text.len().is_multiple_of(unit.len())
        && text.as_bytes().chunks(unit.len()).all(|part| part == unit.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_fields(username: &str, email: &str, password: &str) -> Vec<Field> {
        check_user(Some(username), email, password, 15).into_iter().map(|invalid| invalid.field).collect()
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let fields = wrong_fields("a b", "nobody", "short");
        assert_eq!(fields, [Field::Username, Field::Email, Field::Password]);
    }

    #[test]
    fn a_username_has_3_to_64_plain_characters() {
        for good in ["abc", "A.b-c_9", "ada+news", &"x".repeat(64)] {
            assert_eq!(check_username(good), Ok(()), "{good}");
        }
        for bad in ["ab", &"x".repeat(65), "no space", "é-acute", "at@sign", "semi;colon"] {
            assert!(check_username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_email_has_one_at_sign_and_a_domain() {
        for good in ["a@b.example", "first.last+tag@sub.example.com", "root@localhost"] {
            assert_eq!(check_email(good), Ok(()), "{good}");
        }
        for bad in
            ["a", "@b.example", "a@", "a@b@c", "a b@c.example", "ä@b.example", "a@-b.example", "a@b..example"]
        {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_counted_in_code_points_and_bytes_after_normalisation() {
        assert_eq!(check_password(&"ü".repeat(15), 15), Ok(()));
        // A ligature that NFKC writes as two letters; a decomposed letter that it writes as one.
        assert_eq!(check_password(&format!("{}ﬁ", "xyzzy plugh 1"), 15), Ok(()));
        assert!(check_password(&"u\u{308}".repeat(14), 15).is_err());
        assert!(check_password(&"0 a".repeat(341), 15).is_ok());
        assert!(check_password(&"0 a".repeat(342), 15).is_err());
    }

    #[test]
    fn common_passwords_are_refused_in_any_letter_case_and_repeated() {
        for bad in ["Password", "qwertyuiop", "PasswordPassword", "letmeinletmeinletmein"] {
            assert!(check_password(bad, 8).is_err(), "{bad}");
        }
        for good in ["correct horse battery staple", &"x".repeat(1024)] {
            assert_eq!(check_password(good, 8), Ok(()), "{good}");
        }
    }
}
