//! How a login ends: its owner signs out, or ends it from another device; a service revokes it; or a refresh token of it is
//! used again.

use uuid::Uuid;

use crate::audit::{Actor, Entry, Kind};
use crate::database::DatabaseError;

use super::login::EndedLogin;
use super::{Logins, store};

impl Logins {
    /// Ends the login in which its owner asks. `false` when it had ended before.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn log_out(&self, id: Uuid, actor: &Actor) -> Result<bool, DatabaseError> {
        self.end(id, |_| Entry::to_oneself(Kind::Logout, actor)).await
    }

    /// Ends the login behind a token that a service asks to have revoked.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn revoke(&self, id: Uuid, actor: &Actor) -> Result<(), DatabaseError> {
        self.end(id, |ended| ended.entry(Kind::TokenRevoked, actor)).await.map(drop)
    }

    /// Ends a login of which a refresh token was used again.
    pub(super) async fn end_reused(&self, id: Uuid, actor: &Actor) -> Result<(), DatabaseError> {
        self.end(id, |ended| ended.entry(Kind::RefreshTokenReused, actor)).await.map(drop)
    }

    /// Ends a live login of this user, who asks in another one or in this. `false` when there is none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end_own(&self, user: Uuid, id: Uuid, actor: &Actor) -> Result<bool, DatabaseError> {
        self.settle(id).await?;
        let ended = store::end_own(self.requests(), user, id, self.clock.now()).await?;
        let Some(ended) = ended else { return Ok(false) };
        let by_login = actor.login_id().map(|id| id.to_string());
        self.trail.record(ended.entry(Kind::LoginEnded, actor).with("by_login", by_login));
        self.announce().await;
        Ok(true)
    }

    /// `false` when it had ended before: that is no event.
    async fn end(&self, id: Uuid, event: impl FnOnce(&EndedLogin) -> Entry) -> Result<bool, DatabaseError> {
        let ended = store::end(self.requests(), id, self.clock.now()).await?;
        if let Some(ended) = &ended {
            self.trail.record(event(ended));
        }
        // Also when it had: that may have been a moment ago, on another node.
        self.announce().await;
        Ok(ended.is_some())
    }
}
