//! Errors of the signing keys.

use crate::database::DatabaseError;

use super::key::KeyError;

/// Why the signing keys can't be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A query failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No key could be generated.
    #[error("no signing key could be generated: {0}")]
    NotMade(KeyError),
    /// `JWT_KEY_FILE` contains no usable key for `JWT_ALGORITHM`.
    #[error("JWT_KEY_FILE can't be used: {0}")]
    File(KeyError),
    /// The keys are encrypted under another secret.
    #[error(
        "the signing keys in the database are encrypted under another APP_SECRET. Set APP_SECRET to that one; to \
         change it, give the old one as APP_SECRET_PREVIOUS. If it is lost or compromised, `dualauth keys reset` \
         generates new keys: every access token issued so far is refused from then on"
    )]
    OtherSecret,
    /// There are no keys yet.
    #[error("there are no keys yet: the service generates them at its first start")]
    None,
    /// The active key comes from a file, so it can't be rotated here.
    #[error("the active key comes from JWT_KEY_FILE: replace it there, and restart the nodes")]
    FromFile,
    /// No key with this `kid` can be retired.
    #[error("no key with this kid can be retired: see `dualauth keys list`")]
    Unknown,
    /// The key is the active one.
    #[error("this key is active: run `dualauth keys rotate` first, which makes the next key the active one")]
    Active,
    /// The next key is for an algorithm that no node uses yet.
    #[error(
        "the next key is for {0}: it becomes active when nodes are restarted with JWT_ALGORITHM={0}. To rotate \
         before that, replace it with `dualauth keys retire {1}`"
    )]
    OtherAlgorithm(&'static str, String),
    /// Concurrent changes prevented this one in every attempt.
    #[error("the keys are being changed concurrently by other nodes or commands: try again")]
    Busy,
}
