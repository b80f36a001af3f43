//! The login on the same device that a new one replaces.

use uuid::Uuid;

use super::login::HandleHash;

/// The login that a new one replaces.
#[derive(Clone, Copy, Debug)]
pub enum ReplacedLogin {
    /// By the hash of its handle and the generation, which must be current or within its grace.
    Handle(HandleHash, i32),
    /// By its id.
    Id(Uuid),
}

impl ReplacedLogin {
    /// As statements take it: the hash of its handle and the generation, or its id.
    pub(super) fn parameters(replaced: Option<&Self>) -> (Option<&[u8]>, Option<i32>, Option<Uuid>) {
        match replaced {
            Some(Self::Handle(hash, generation)) => (Some(hash.as_slice()), Some(*generation), None),
            Some(Self::Id(id)) => (None, None, Some(*id)),
            None => (None, None, None),
        }
    }
}
