//! Doctor: checks that secrets can't be guessed, or read by other users of the machine. None is printed.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;

use super::Finding;
use crate::config::{Config, KeyFile};
use crate::crypto::AppSecret;

const HOW_TO_GENERATE: &str =
    "Generate one with `openssl rand -base64 32`; see docs/operations.md for how to change it.";

/// Words of placeholders that people forget to replace.
const PLACEHOLDERS: [&str; 9] =
    ["changeme", "change-me", "change_me", "replace", "example", "secret", "password", "openssl", "dualauth"];

/// The minimum Shannon entropy of a secret in bits: 32 random hexadecimal digits have at least 100.
const MIN_ENTROPY_BITS: f64 = 90.0;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = app_secret(config.app_secret.as_ref());
    findings.extend(config.jwt.key_file.as_ref().map(key_file));
    findings
}

fn app_secret(secret: Option<&AppSecret>) -> Vec<Finding> {
    let Some(secret) = secret else {
        return vec![Finding::warning(
            "APP_SECRET is not set: a generated one is stored in the database, and anyone who can read the database \
             can impersonate any user.",
            HOW_TO_GENERATE,
        )];
    };
    let mut findings = vec![match weakness(secret.reveal()) {
        Some(weakness) => {
            Finding::problem(format!("APP_SECRET can be guessed: {weakness}."), HOW_TO_GENERATE)
        }
        None => Finding::ok("APP_SECRET is set, and looks random"),
    }];
    if secret.repeats_previous() {
        findings.push(Finding::warning(
            "APP_SECRET_PREVIOUS is the same as APP_SECRET.",
            "Remove APP_SECRET_PREVIOUS, or set it to the secret that was used before.",
        ));
    } else if secret.has_previous() {
        findings.push(Finding::ok(
            "APP_SECRET_PREVIOUS is accepted, too: remove it when the last login from before has expired (REMEMBER_TTL)",
        ));
    }
    findings
}

/// Why a secret can be guessed, if it looks weak.
fn weakness(secret: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(secret).to_ascii_lowercase();
    if PLACEHOLDERS.iter().any(|word| text.contains(word)) {
        return Some("it contains a placeholder's words");
    }
    let repeats = |period: usize| secret.iter().zip(&secret[period..]).all(|(one, other)| one == other);
    if (1..=secret.len() / 2).any(repeats) {
        return Some("it repeats itself");
    }
    let steps = secret.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1).count();
    if steps > secret.len() / 2 {
        return Some("it counts up or down");
    }
    (shannon_entropy_bits(secret) < MIN_ENTROPY_BITS).then_some("it has too few different characters")
}

/// The Shannon entropy of all bytes in bits, by their frequencies.
fn shannon_entropy_bits(secret: &[u8]) -> f64 {
    let mut counts = HashMap::new();
    for byte in secret {
        *counts.entry(byte).or_insert(0.0_f64) += 1.0;
    }
    let length = secret.len() as f64;
    counts.values().map(|count| count * (length / count).log2()).sum()
}

fn key_file(file: &KeyFile) -> Finding {
    let path = file.path.display();
    let mode = match std::fs::metadata(&file.path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) => return Finding::skipped(format!("who can read {path}"), error.to_string()),
    };
    let advice = format!("Run chmod 600 {path}, and make the service's user the owner.");
    match (mode & 0o007 != 0, mode & 0o070 != 0) {
        (true, _) => Finding::problem(format!("JWT_KEY_FILE {path} can be read by every user."), advice),
        (false, true) => Finding::warning(format!("JWT_KEY_FILE {path} can be read by its group."), advice),
        (false, false) => Finding::ok("JWT_KEY_FILE can be read only by its owner"),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::Level;
    use super::*;
    use crate::crypto::random_bytes;

    #[test]
    fn random_secrets_are_well_however_they_are_written() {
        for _ in 0..200 {
            let random: [u8; 32] = random_bytes();
            let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            for secret in [random.to_vec(), STANDARD.encode(random).into_bytes(), hex.into_bytes()] {
                assert_eq!(weakness(&secret), None, "{secret:?}");
            }
        }
    }

    #[test]
    fn what_anybody_could_think_of_is_found() {
        for secret in [
            "x".repeat(32),
            "0123456789abcdef".repeat(2),
            "abcdefghijklmnopqrstuvwxyz0123456789".to_owned(),
            "this-is-my-secret-key-for-production-123".to_owned(),
            "please change-me before going live 0000000".to_owned(),
            "$(openssl rand -base64 32) $(openssl rand)".to_owned(),
            "aaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbcccccccccccc".to_owned(),
            "1111222233334444111122223333444412".to_owned(),
        ] {
            assert!(weakness(secret.as_bytes()).is_some(), "{secret}");
        }
    }

    #[test]
    fn a_secret_in_its_own_place_is_found() {
        let secret = AppSecret::generate();
        let levels =
            |secret: &AppSecret| app_secret(Some(secret)).iter().map(|it| it.level).collect::<Vec<_>>();
        assert_eq!(levels(&secret), [Level::Ok]);
        assert_eq!(levels(&secret.clone().replacing(&AppSecret::generate())), [Level::Ok, Level::Ok]);
        assert_eq!(levels(&secret.clone().replacing(&secret)), [Level::Ok, Level::Warning]);
        assert_eq!(app_secret(None)[0].level, Level::Warning);
    }
}
