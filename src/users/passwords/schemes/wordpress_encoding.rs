//! What WordPress makes of a password before it hashes it.

use zeroize::Zeroizing;

/// What `trim` of PHP takes off.
const BLANKS: &[u8] = b" \t\n\r\0\x0b";

/// How a password may have been hashed: without the blanks around it; set in a form, also with a backslash before each
/// quotation mark.
pub(super) fn encodings(password: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let trimmed = trim(password);
    let slashed = slash(trimmed);
    match slashed.as_slice() == trimmed {
        true => vec![slashed],
        false => vec![slashed, Zeroizing::new(trimmed.to_vec())],
    }
}

fn trim(password: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !BLANKS.contains(byte);
    let begin = password.iter().position(is_text).unwrap_or(password.len());
    let end = password.iter().rposition(is_text).map_or(begin, |last| last + 1);
    &password[begin..end]
}

/// As `addslashes` of PHP does.
fn slash(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut slashed = Zeroizing::new(Vec::with_capacity(2 * password.len()));
    for byte in password {
        if b"'\"\\".contains(byte) {
            slashed.push(b'\\');
        }
        slashed.push(*byte);
    }
    slashed
}
