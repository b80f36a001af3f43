//! A proof that was checked, and is used up by the statement that begins or raises a login by it.

use uuid::Uuid;

use crate::mail::SealedMail;

use super::Purpose;

/// What `use_checked_proof` in the migrations uses up. The default: nothing, as with a password.
#[derive(Debug, Default)]
pub struct CheckedProof {
    /// What it is for. `None`: there is nothing to use up.
    pub purpose: Option<Purpose>,
    /// SHA-256 of the token of the challenge that it answers. `None`: a code of a signed-in user.
    pub token_hash: Option<[u8; 32]>,
    /// The time step of a TOTP.
    pub totp_step: Option<i64>,
    /// SHA-256 of a recovery code.
    pub recovery_hash: Option<[u8; 32]>,
    /// The passkey or security key that answered.
    pub passkey: Option<UsedPasskey>,
    /// The client's network address, at whose account a failure is counted. `None`: it was counted before.
    pub address: Option<String>,
    /// Tells of a recovery code that was used.
    pub notice: Option<SealedMail>,
}

/// What an authenticator said of itself.
#[derive(Clone, Copy, Debug)]
pub struct UsedPasskey {
    /// The id of the passkey.
    pub id: Uuid,
    /// The signature counter.
    pub sign_count: u32,
    /// Whether the credential is copied to other devices.
    pub backed_up: bool,
}
