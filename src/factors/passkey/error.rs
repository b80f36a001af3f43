//! Why an answer of an authenticator is refused.

use crate::database::DatabaseError;
use crate::error::{Code, FieldError, Problem};
use crate::factors::email_code::{self, CodeError};
use crate::network_rate_limits::LimitedAttempt;
use crate::users::UserIdAndName;

/// Why a registration or an assertion is refused: for the log and the audit trail. Whoever sent it need not know which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// Some part is not what the standard says.
    #[error("malformed")]
    Malformed,
    /// There are bytes after the end of a structure.
    #[error("bytes after the end")]
    TrailingBytes,
    /// `id`, `rawId` and the id in the authenticator data are not the same.
    #[error("the credential ids differ")]
    CredentialIdMismatch,
    /// A credential id of no bytes, or of more than 1,023.
    #[error("the credential id has a wrong length")]
    CredentialIdLength,
    /// It was made for the other ceremony.
    #[error("made for another ceremony")]
    WrongCeremony,
    /// It was made for another challenge.
    #[error("made for another challenge")]
    WrongChallenge,
    /// It was made on a page of an origin that is not in `PASSKEY_ORIGINS`.
    #[error("made at another origin")]
    WrongOrigin,
    /// It was made in a frame of another origin's page.
    #[error("made in a frame of another origin")]
    CrossOrigin,
    /// It was made for another relying party.
    #[error("made for another relying party")]
    WrongRelyingParty,
    /// Nobody touched the authenticator.
    #[error("the user was not present")]
    UserNotPresent,
    /// The authenticator did not verify the user by PIN or biometrics.
    #[error("the user was not verified")]
    UserNotVerified,
    /// The flags contradict each other or the ceremony.
    #[error("the flags contradict each other")]
    WrongFlags,
    /// The credential can be backed up although it could not when it was registered, or the other way round.
    #[error("the backup eligibility has changed")]
    BackupEligibilityChanged,
    /// A security key whose credential can be copied to other devices.
    #[error("the credential is not bound to a device")]
    NotDeviceBound,
    /// The algorithm was not offered.
    #[error("the algorithm was not offered")]
    AlgorithmNotOffered,
    /// The public key is not a valid one of its algorithm.
    #[error("the public key is invalid")]
    InvalidPublicKey,
    /// The attestation statement does not match the credential.
    #[error("the attestation is invalid")]
    InvalidAttestation,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The credential belongs to another user, or the answer does not tell whose it is.
    #[error("the credential belongs to another user")]
    WrongUser,
    /// A security key is no way to sign in without a name.
    #[error("a second factor only")]
    SecondFactorOnly,
    /// Nobody has the credential under this relying party id, or its user is disabled.
    #[error("the credential is unknown")]
    UnknownCredential,
    /// The counter did not go up, so there may be a copy of the credential, or the same answer came twice.
    #[error("the counter is behind")]
    CounterBehind,
}

/// Why a passkey or security key was not enrolled, or proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyAttemptError {
    /// It has not the form of `PublicKeyCredential.toJSON()`.
    #[error("malformed")]
    Malformed,
    /// A check failed. The challenge lives, unless it was the last try. Contains the user, if it is known: for the audit trail
    /// alone.
    #[error("refused: {why}")]
    Refused {
        /// The check.
        why: PasskeyError,
        /// `None`: the user of the request, or nobody.
        user: Option<UserIdAndName>,
    },
    /// Somebody has the credential.
    #[error("the credential is registered already")]
    AlreadyRegistered,
    /// The challenge is over, or a limit is reached; never a wrong code.
    #[error(transparent)]
    Challenge(#[from] CodeError),
}

impl PasskeyAttemptError {
    /// Ends an attempt, which counts as a failure unless the service failed.
    pub(super) fn settle(self, attempt: LimitedAttempt<'_>) -> Self {
        match self {
            Self::Challenge(error) => Self::Challenge(email_code::settle(attempt, error)),
            error => error,
        }
    }
}

impl From<DatabaseError> for PasskeyAttemptError {
    fn from(error: DatabaseError) -> Self {
        Self::Challenge(error.into())
    }
}

impl From<PasskeyAttemptError> for Problem {
    fn from(error: PasskeyAttemptError) -> Self {
        let invalid = |detail: &str| Self::validation(vec![FieldError::of("passkey", detail)]);
        match error {
            PasskeyAttemptError::Malformed => {
                invalid("must be what `PublicKeyCredential.toJSON()` gives, for this kind of challenge")
            }
            PasskeyAttemptError::Refused { why: PasskeyError::NotDeviceBound, .. } => {
                invalid("is synced to other devices, so it is no security key: add it as a passkey")
            }
            PasskeyAttemptError::Refused { .. } => {
                Self::new(Code::InvalidCode, "The passkey or security key was not accepted.")
            }
            PasskeyAttemptError::AlreadyRegistered => {
                Self::new(Code::Conflict, "This passkey or security key is registered already.")
            }
            PasskeyAttemptError::Challenge(error) => error.into(),
        }
    }
}
