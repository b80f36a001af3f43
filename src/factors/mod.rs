//! WHAT PROVES A USER: one folder for each way to prove oneself, and what each gives, a [`Proof`].

pub mod password;

use crate::logins::Amr;

/// That somebody is a user, in one of the ways to prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They know the password.
    Password {
        /// How often what proves the account had changed by then: once it changes again, the proof is worth nothing.
        version: i32,
    },
}

impl Proof {
    /// What a login says that was proved so (RFC 8176).
    pub fn amr(self) -> Amr {
        match self {
            Self::Password { .. } => Amr::PASSWORD,
        }
    }

    /// How often what proves the account had changed when it was made.
    pub fn version(self) -> i32 {
        match self {
            Self::Password { version } => version,
        }
    }
}
