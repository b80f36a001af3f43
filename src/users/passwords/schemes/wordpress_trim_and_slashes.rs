//! WordPress' encoding of passwords before hashing.

use zeroize::Zeroizing;

/// The characters that PHP's `trim` removes.
const BLANKS: &[u8] = b" \t\n\r\0\x0b";

/// The forms in which WordPress may have hashed a password: trimmed, and, if it was set by a form, with quotation
/// marks and backslashes escaped.
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

/// Escapes like PHP's `addslashes`.
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
