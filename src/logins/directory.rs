//! What this node knows of logins without asking: which ones ended before their tokens did.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The ended logins, each until its last access token has expired.
#[derive(Debug, Default)]
pub(super) struct Directory {
    revoked: RwLock<HashMap<Uuid, DateTime<Utc>>>,
}

impl Directory {
    pub(super) fn is_revoked(&self, login: Uuid) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains_key(&login)
    }

    pub(super) fn revoke(&self, login: Uuid, until: DateTime<Utc>) {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).insert(login, until);
    }

    /// Forgets those whose tokens have all expired, so that it holds what can still be presented and no more.
    pub(super) fn forget(&self, now: DateTime<Utc>) {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
    }
}
