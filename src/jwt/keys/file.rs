//! `JWT_KEY_FILE`: signing keys from a file, for example of a vault. The first signs; a second is published as the next.

use std::sync::Arc;

use pem::Pem;

use crate::config::JwtAlgorithm;
use crate::crypto::SecretBytes;

use super::key::{JwtKey, KeyError};

/// The mark of a PEM file (RFC 7468, section 2); text may precede it.
const PEM_BEGIN: &[u8] = b"-----BEGIN";

const NOT_PKCS8: &str = "each of its keys must be a PRIVATE KEY (PKCS #8, not encrypted), as `openssl pkcs8 -topk8 -nocrypt` writes it";

/// The keys of a file.
#[derive(Debug)]
pub(super) struct ActiveAndNextFileKeys {
    pub(super) active: FileKey,
    pub(super) next: Option<FileKey>,
}

impl ActiveAndNextFileKeys {
    pub(super) fn of_kid(&self, kid: &str) -> Option<&FileKey> {
        std::iter::once(&self.active).chain(&self.next).find(|file| file.key.kid == kid)
    }
}

#[derive(Clone, Debug)]
pub(super) struct FileKey {
    pub(super) key: Arc<JwtKey>,
    /// The secret of an HS256 key, to be stored encrypted: nodes without the file need it to verify. Private keys are never
    /// stored.
    pub(super) shared: Option<SecretBytes>,
}

/// Parses the file.
///
/// # Errors
/// If there is no key, or one that does not fit the algorithm.
pub(super) fn read(algorithm: JwtAlgorithm, file: &SecretBytes) -> Result<ActiveAndNextFileKeys, KeyError> {
    let is_pem = file.reveal().windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN);
    match (algorithm, is_pem) {
        // Prevents an algorithm confusion attack: a public key must never be used as an HMAC key.
        (JwtAlgorithm::Hs256, true) => {
            Err(unreadable("it is PEM, and HS256 takes any bytes but that: set JWT_ALGORITHM to another"))
        }
        (JwtAlgorithm::Hs256, false) => {
            let secret = without_line_break(file);
            Ok(ActiveAndNextFileKeys {
                active: file_key(algorithm, secret.clone(), Some(secret))?,
                next: None,
            })
        }
        (_, false) => Err(unreadable("it is not PEM (PKCS #8)")),
        (_, true) => pem_keys(algorithm, file),
    }
}

fn pem_keys(algorithm: JwtAlgorithm, file: &SecretBytes) -> Result<ActiveAndNextFileKeys, KeyError> {
    let blocks = pem::parse_many(file.reveal()).map_err(|error| unreadable(&error.to_string()))?;
    if blocks.iter().any(|block| block.tag() != "PRIVATE KEY") {
        return Err(unreadable(NOT_PKCS8));
    }
    let key = |block: &Pem| file_key(algorithm, SecretBytes::new(pem::encode(block).into_bytes()), None);
    match blocks.as_slice() {
        [active] => Ok(ActiveAndNextFileKeys { active: key(active)?, next: None }),
        [active, next] if active.contents() == next.contents() => {
            Err(unreadable("its two keys are the same"))
        }
        [active, next] => Ok(ActiveAndNextFileKeys { active: key(active)?, next: Some(key(next)?) }),
        _ => Err(unreadable("it must have one key, and at most one more to be the next")),
    }
}

fn file_key(
    algorithm: JwtAlgorithm,
    secret: SecretBytes,
    shared: Option<SecretBytes>,
) -> Result<FileKey, KeyError> {
    Ok(FileKey { key: Arc::new(JwtKey::private(algorithm, &secret)?), shared })
}

/// Strips trailing line breaks from a textual key: editors add one.
fn without_line_break(file: &SecretBytes) -> SecretBytes {
    let bytes = file.reveal();
    match std::str::from_utf8(bytes) {
        Ok(text) => SecretBytes::new(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec()),
        Err(_) => file.clone(),
    }
}

fn unreadable(what: &str) -> KeyError {
    KeyError::Unreadable(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::keys::key::generate;

    fn pem(algorithm: JwtAlgorithm) -> String {
        let secret = generate(algorithm).expect("a new key");
        String::from_utf8(secret.reveal().to_vec()).expect("PEM")
    }

    fn read_text(algorithm: JwtAlgorithm, text: &str) -> Result<ActiveAndNextFileKeys, KeyError> {
        read(algorithm, &SecretBytes::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn the_first_key_signs_and_a_second_is_the_next() {
        let algorithms = JwtAlgorithm::ALL.into_iter().filter(|it| *it != JwtAlgorithm::Hs256);
        for algorithm in algorithms {
            let (one, other) = (pem(algorithm), pem(algorithm));
            let kid = |text: &str| read_text(algorithm, text).expect("a key").active.key.kid.clone();
            let both = read_text(algorithm, &format!("{one}\n{other}")).expect("two keys");
            assert_eq!(both.active.key.kid, kid(&one));
            assert_eq!(both.next.as_ref().map(|next| next.key.kid.clone()), Some(kid(&other)));
            assert!(both.active.shared.is_none(), "a private half stays in the file");
        }
    }

    #[test]
    fn a_line_break_at_the_end_is_not_part_of_a_symmetric_key() {
        let text = "a secret of thirty-two bytes, or a bit more";
        let kid = |text: &str| read_text(JwtAlgorithm::Hs256, text).expect("a key").active.key.kid.clone();
        assert_eq!(kid(text), kid(&format!("{text}\n")));
        assert_eq!(kid(text), kid(&format!("{text}\r\n")));
    }

    #[test]
    fn what_is_no_key_for_the_algorithm_is_refused() {
        let (eddsa, es256) = (pem(JwtAlgorithm::EdDsa), pem(JwtAlgorithm::Es256));
        let public = eddsa.replace("PRIVATE", "PUBLIC");
        let twice = [eddsa.as_str(); 2].join("\n");
        let three = [eddsa.as_str(); 3].join("\n");
        for (algorithm, text) in [
            (JwtAlgorithm::Hs256, eddsa.as_str()),
            (JwtAlgorithm::Hs256, "too short"),
            (JwtAlgorithm::EdDsa, &es256),
            (JwtAlgorithm::Rs256, &eddsa),
            (JwtAlgorithm::EdDsa, &public),
            (JwtAlgorithm::EdDsa, &three),
            (JwtAlgorithm::EdDsa, &twice),
            (JwtAlgorithm::EdDsa, "a secret of thirty-two bytes, or a bit more"),
            (JwtAlgorithm::EdDsa, ""),
            (JwtAlgorithm::EdDsa, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ] {
            assert!(read_text(algorithm, text).is_err(), "{algorithm:?}: {text}");
        }
    }
}
