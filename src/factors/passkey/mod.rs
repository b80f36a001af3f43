//! Passkeys and security keys (Web Authentication Level 3): options for browsers, and verification of what comes back.
//!
//! A passkey verifies the user, and is both factors. A security key is a second factor, and need not verify anybody.

mod assertion;
mod authenticator_data;
mod base64url;
mod cbor;
mod client_data;
mod error;
mod options;
mod public_key;
mod registration;
mod relying_party;
mod response;
#[cfg(test)]
mod software_authenticator;
mod store;
#[cfg(test)]
mod tests;

pub use self::assertion::VerifiedAssertion;
pub use self::error::PasskeyError;
pub use self::options::{CreationOptions, RequestOptions};
pub use self::public_key::PasskeyAlgorithm;
pub use self::registration::VerifiedRegistration;
pub use self::relying_party::RelyingParty;
pub use self::response::{AssertionResponse, RegistrationResponse};
pub use self::store::{Passkeys, StoredPasskey, count_by_rp_id};

/// What a credential is registered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyKind {
    /// Both factors: the authenticator verifies the user, and knows whose it is.
    Passkey,
    /// A second factor.
    SecurityKey,
}

impl PasskeyKind {
    /// Its name, in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passkey => "passkey",
            Self::SecurityKey => "security_key",
        }
    }
}
