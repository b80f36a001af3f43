//! Why the signing keys can't be used, or changed.

use crate::database::DatabaseError;

use super::key::KeyError;

/// Why the keys can't be used, or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database gives no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No key could be made.
    #[error("no signing key could be made: {0}")]
    NotMade(KeyError),
    /// `JWT_KEY_FILE` has no key for `JWT_ALGORITHM`.
    #[error("JWT_KEY_FILE can't be used: {0}")]
    File(KeyError),
    /// The keys were sealed under another secret.
    #[error(
        "the signing keys in the database are sealed under another APP_SECRET. Set APP_SECRET to that one; to change \
         it, give the old one as APP_SECRET_PREVIOUS. If it is lost, or known to others, `dualauth keys reset` makes \
         new keys: every access token that is out is refused from then on"
    )]
    OtherSecret,
    /// There is nothing to rotate.
    #[error("there are no keys yet: the service makes them when it starts for the first time")]
    None,
    /// The active key is not ours to replace.
    #[error("the active key comes from JWT_KEY_FILE: replace it there, and restart the nodes")]
    FromFile,
    /// No key that could be retired has this name.
    #[error("no key of this name can be retired: `dualauth keys list` has the names")]
    Unknown,
    /// It signs at the moment.
    #[error("this key signs at the moment: `dualauth keys rotate` has the next one take its place")]
    Active,
    /// The next key is for an algorithm that no node signs by yet.
    #[error(
        "the next key is for {0}: it signs when nodes are restarted with JWT_ALGORITHM={0}. To rotate before that, \
         have it replaced by `dualauth keys retire {1}`"
    )]
    OtherAlgorithm(&'static str, String),
    /// Others changed the keys at the same time, again and again.
    #[error("the keys are being changed by others at the same time: try again")]
    Busy,
}
