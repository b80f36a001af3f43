//! Users in the format of `firebase auth:export`, and the project's hash parameters, which verification needs.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::users::{ForeignUser, NO_PASSWORD};

use super::parsed_row::ParsedRow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FirebaseUser {
    email: Option<String>,
    password_hash: Option<SecretString>,
    salt: Option<SecretString>,
    disabled: Option<bool>,
}

impl FirebaseUser {
    pub(super) fn row(self, config: &HashConfig) -> ParsedRow {
        if self.disabled == Some(true) {
            let why = "the account is disabled there, and would be active here";
            return ParsedRow::refused(None, self.email.as_deref(), why);
        }
        let password_hash = match (&self.password_hash, &self.salt) {
            (Some(hash), Some(salt)) => config.hash(hash, salt),
            // The user signs in by phone or with another identity provider.
            _ => SecretString::from(NO_PASSWORD),
        };
        ParsedRow::of(ForeignUser { username: None, email: self.email.unwrap_or_default(), password_hash })
    }
}

/// A project's password hash parameters, as Firebase's console shows them.
pub(super) struct HashConfig {
    signer_key: SecretString,
    salt_separator: String,
    rounds: String,
    mem_cost: String,
}

impl HashConfig {
    /// Parses `name: value` pairs, separated by line breaks, commas or braces. Quotation marks are ignored, so that JSON is
    /// accepted as well.
    ///
    /// # Errors
    /// Names the missing parameter.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let pairs = text.split(['\n', ',', '{', '}']).filter_map(|pair| pair.split_once(':'));
        let pairs: Vec<(&str, &str)> =
            pairs.map(|(name, value)| (trim_quotes(name), trim_quotes(value))).collect();
        let get = |wanted: &str| {
            let found = pairs.iter().find(|(name, value)| *name == wanted && !value.is_empty());
            found.map(|(_, value)| (*value).to_owned()).ok_or_else(|| format!("it says no {wanted}"))
        };
        Ok(Self {
            signer_key: SecretString::from(get("base64_signer_key")?),
            salt_separator: get("base64_salt_separator")?,
            rounds: get("rounds")?,
            mem_cost: get("mem_cost")?,
        })
    }

    /// The hash as a self-contained string (passlib's `fbscrypt` format), the signer key included.
    fn hash(&self, hash: &SecretString, salt: &SecretString) -> SecretString {
        let Self { signer_key, salt_separator, rounds, mem_cost } = self;
        let [signer_key, salt, hash] = [signer_key, salt, hash].map(|secret| secret.expose_secret());
        let text = format!(
            "$fbscrypt$v=1,n={mem_cost},r={rounds},p=1,ss={salt_separator},sk={signer_key}${salt}${hash}"
        );
        SecretString::from(text)
    }
}

fn trim_quotes(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_whitespace() || letter == '"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(config: &str) -> Result<String, String> {
        let config = HashConfig::parse(config)?;
        Ok(config.hash(&"aGFzaA==".into(), &"c2FsdA==".into()).expose_secret().to_owned())
    }

    #[test]
    fn the_parameters_are_read_as_the_console_shows_them_or_as_json() {
        let expected = "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=a+/==$c2FsdA==$aGFzaA==";
        for config in [
            "hash_config {\n  algorithm: SCRYPT,\n  base64_signer_key: a+/==,\n  base64_salt_separator: Bw==,\n  \
             rounds: 8,\n  mem_cost: 14,\n}\n",
            "algorithm: SCRYPT\r\nbase64_signer_key: a+/==\r\nbase64_salt_separator: Bw==\r\nrounds: 8\r\nmem_cost: 14",
            r#"{"base64_signer_key": "a+/==", "base64_salt_separator": "Bw==", "rounds": 8, "mem_cost": 14}"#,
        ] {
            assert_eq!(hash(config).as_deref(), Ok(expected), "{config}");
        }
    }

    #[test]
    fn a_parameter_that_is_missing_is_named() {
        for (config, missing) in [
            ("", "base64_signer_key"),
            (
                "base64_signer_key: a, base64_salt_separator: , rounds: 8, mem_cost: 14",
                "base64_salt_separator",
            ),
            ("base64_signer_key: a, base64_salt_separator: b, mem_cost: 14", "rounds"),
        ] {
            assert_eq!(hash(config), Err(format!("it says no {missing}")));
        }
    }
}
