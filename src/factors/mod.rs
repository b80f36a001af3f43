//! Authentication factors: one folder for each. A factor that was verified gives a [`Proof`].

pub mod administration;
mod context;
pub mod email_code;
pub mod passkey;
pub mod password;
pub mod provider;
pub mod recovery_code;
mod removal_rules;
pub mod second_factor;
pub mod totp;

use crate::logins::{Acr, Amr};

use self::passkey::PasskeyKind;

pub use self::context::FactorContext;
pub use self::removal_rules::RemovalRules;

/// Evidence that a factor of a user was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password.
    Password {
        /// The account's credential version when the password was verified. A later change of the password makes the
        /// proof invalid.
        version: i32,
    },
    /// A code by mail.
    EmailCode {
        /// The account's credential version when the code was redeemed.
        version: i32,
    },
    /// A provider's word.
    Provider {
        /// Whether the provider had both factors proved, as far as the settings trust it.
        proves_both_factors: bool,
        /// The account's credential version when the provider's word was taken.
        version: i32,
    },
    /// A code of an authenticator.
    Totp {
        /// The account's credential version when the code was used.
        version: i32,
    },
    /// A recovery code.
    RecoveryCode {
        /// The account's credential version when the code was used.
        version: i32,
    },
    /// A passkey.
    Passkey {
        /// Whether it may be copied to other devices.
        synced: bool,
        /// Whether it has verified the user: else it is a second factor alone.
        user_verified: bool,
        /// The account's credential version when the passkey was used.
        version: i32,
    },
    /// A security key.
    SecurityKey {
        /// The account's credential version when the key was used.
        version: i32,
    },
}

impl Proof {
    /// The authentication method reference of the factor (RFC 8176).
    pub fn amr(self) -> Amr {
        match self {
            Self::Password { .. } => Amr::PASSWORD,
            Self::EmailCode { .. } => Amr::EMAIL,
            Self::Provider { .. } => Amr::PROVIDER,
            Self::Totp { .. } => Amr::TOTP,
            Self::RecoveryCode { .. } => Amr::RECOVERY_CODE,
            Self::Passkey { synced, user_verified, .. } => PasskeyKind::Passkey.amr(synced, user_verified),
            Self::SecurityKey { .. } => PasskeyKind::SecurityKey.amr(false, false),
        }
    }

    /// The assurance level that the proof gives by itself, whatever its method is worth in general.
    pub fn acr(self) -> Acr {
        match self {
            Self::Provider { proves_both_factors: true, .. } => Acr::Aal2,
            _ => Acr::Aal1,
        }
    }

    /// The account's credential version at the time of the proof.
    pub fn version(self) -> i32 {
        match self {
            Self::Password { version }
            | Self::EmailCode { version }
            | Self::Totp { version }
            | Self::RecoveryCode { version }
            | Self::Provider { version, .. }
            | Self::Passkey { version, .. }
            | Self::SecurityKey { version } => version,
        }
    }
}
