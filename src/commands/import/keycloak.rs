//! Users in Keycloak's realm export.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::users::{ForeignUser, NO_PASSWORD};

use super::parsed_row::ParsedRow;

#[derive(Deserialize)]
pub(super) struct KeycloakUser {
    username: Option<String>,
    email: Option<String>,
    enabled: Option<bool>,
    credentials: Option<Vec<KeycloakCredential>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeycloakCredential {
    r#type: Option<String>,
    /// [`Secret`] as JSON text.
    secret_data: Option<SecretString>,
    /// [`Computation`] as JSON text.
    credential_data: Option<String>,
}

#[derive(Deserialize)]
struct Secret {
    value: SecretString,
    salt: Option<SecretString>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Computation {
    algorithm: String,
    hash_iterations: u32,
    additional_parameters: Option<HashMap<String, Vec<String>>>,
}

impl KeycloakUser {
    pub(super) fn row(self) -> ParsedRow {
        let Self { username, email, enabled, credentials } = self;
        let refused = |why: &str| ParsedRow::refused(username.as_deref(), email.as_deref(), why);
        if enabled == Some(false) {
            return refused("the account is disabled there, and would be active here");
        }
        let mut passwords = credentials.unwrap_or_default().into_iter();
        let password = passwords.find(|credential| credential.r#type.as_deref() == Some("password"));
        match password.map_or(Some(NO_PASSWORD.to_owned()), |password| password.hash()) {
            Some(hash) => {
                let email = email.unwrap_or_default();
                ParsedRow::of(ForeignUser { username, email, password_hash: SecretString::from(hash) })
            }
            None => refused("the password hash has an unsupported algorithm, or is malformed"),
        }
    }
}

impl KeycloakCredential {
    /// The hash as a self-contained string (PHC format).
    fn hash(self) -> Option<String> {
        let secret: Secret = serde_json::from_str(self.secret_data?.expose_secret()).ok()?;
        let computation: Computation = serde_json::from_str(&self.credential_data?).ok()?;
        let value = unpadded(&secret.value);
        let salt = secret.salt.as_ref().map(unpadded).unwrap_or_default();
        let iterations = computation.hash_iterations;
        match computation.algorithm.as_str() {
            "pbkdf2" => Some(format!("$pbkdf2-sha1$i={iterations}${salt}${value}")),
            name @ ("pbkdf2-sha256" | "pbkdf2-sha512") => {
                Some(format!("${name}$i={iterations}${salt}${value}"))
            }
            "argon2" => {
                let cost = computation.argon2()?;
                Some(format!("${cost}${salt}${value}"))
            }
            // A widespread extension of Keycloak.
            "bcrypt" => Some(value.to_owned()),
            _ => None,
        }
    }
}

impl Computation {
    /// The parameters in PHC format: `argon2id$v=19$m=7168,t=5,p=1`.
    fn argon2(&self) -> Option<String> {
        let parameters = self.additional_parameters.as_ref()?;
        let get = |name: &str| parameters.get(name)?.first();
        let version = match get("version")?.as_str() {
            "1.3" => 19,
            "1.0" => 16,
            _ => return None,
        };
        let (kind, memory, parallelism) = (get("type")?, get("memory")?, get("parallelism")?);
        let iterations = self.hash_iterations;
        Some(format!("argon2{kind}$v={version}$m={memory},t={iterations},p={parallelism}"))
    }
}

fn unpadded(base64: &SecretString) -> &str {
    base64.expose_secret().trim_end_matches('=')
}
