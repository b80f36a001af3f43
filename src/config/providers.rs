//! `PROVIDERS`: the TOML file of the providers that users may sign in with.

mod file;
#[cfg(test)]
mod tests;

use std::path::Path;

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::source;
use crate::crypto::SecretBytes;

/// A provider of identities, as the file has it.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Its name in the API: the table's.
    pub name: String,
    /// Its name for people: `title`.
    pub title: String,
    /// `kind`: which protocol it speaks.
    pub kind: ProviderKind,
    /// `issuer`: its identifier (OpenID Connect Discovery 1.0, section 2), or the URL of a GitHub server.
    pub issuer: String,
    /// The same, parsed.
    pub issuer_url: Url,
    /// Whether the file has the issuer: then its host may have a private address.
    pub issuer_is_set: bool,
    /// `client_id`.
    pub client_id: String,
    /// How the service authenticates at the token endpoint: `client_secret_file`.
    pub credential: ProviderCredential,
    /// `client_ids`: further clients, such as apps, whose ID tokens are accepted.
    pub client_ids: Vec<String>,
    /// `scopes`.
    pub scopes: Vec<String>,
    /// `aal2_acr`: values of the claim `acr` that say that both factors were verified.
    pub aal2_acr: Vec<String>,
    /// `aal2_amr`: values in the claim `amr` that say so.
    pub aal2_amr: Vec<String>,
    /// `store_tokens`: whether the provider's tokens are kept, sealed.
    pub store_tokens: bool,
}

/// What protocol a provider speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenID Connect, by discovery.
    #[default]
    Oidc,
    /// OAuth with GitHub's API.
    GitHub,
    /// OpenID Connect as Apple has it: the client's secret is a JWT of its own.
    Apple,
    /// OpenID Connect as Microsoft has it: one issuer for each tenant, and addresses that nobody has verified.
    Microsoft,
}

/// How a client authenticates at the token endpoint.
#[derive(Clone, Debug)]
pub enum ProviderCredential {
    /// Not at all: a public client, whose code is bound by PKCE alone.
    None,
    /// By a secret.
    Secret(SecretString),
    /// By a JWT that it signs with its key (Sign in with Apple).
    AppleKey(AppleKey),
}

/// The key of an Apple developer account.
#[derive(Clone, Debug)]
pub struct AppleKey {
    /// `team_id`.
    pub team_id: String,
    /// `key_id`.
    pub key_id: String,
    /// The P-256 key: PKCS #8 in PEM.
    pub pem: SecretBytes,
}

/// The providers, or none with an error for each fault in the file.
pub(super) fn read<V: Fn(&str) -> Option<String>>(reader: &mut Reader<V>) -> Vec<ProviderConfig> {
    let Some(path) = reader.text("PROVIDERS") else { return Vec::new() };
    let parsed = match source::read(&path) {
        Ok(text) => file::parse(&text, Path::new(&path).parent().unwrap_or(Path::new(""))),
        Err(error) => {
            reader.errors.push(format!("the file that PROVIDERS names can't be read: {error}"));
            return Vec::new();
        }
    };
    parsed.unwrap_or_else(|faults| {
        let lines = faults.iter().map(|file::Fault { line, what }| format!("PROVIDERS, line {line}: {what}"));
        reader.errors.extend(lines);
        Vec::new()
    })
}
