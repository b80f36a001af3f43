//! Ends of logins: sign-out, end from another device, token revocation, and reuse of a refresh token.

use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::database::DatabaseError;

use super::login::EndedLogin;
use super::{Logins, store};

impl Logins {
    /// Ends the current login of a signed-in user. `false` when it had ended before.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn log_out(&self, id: Uuid, actor: &Actor) -> Result<bool, DatabaseError> {
        self.end(id, |_| NewEvent::to_oneself(Kind::Logout, actor)).await
    }

    /// Ends the login of a token that a registered client revokes.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn revoke(&self, id: Uuid, actor: &Actor) -> Result<(), DatabaseError> {
        self.end(id, |ended| ended.entry(Kind::TokenRevoked, actor)).await.map(drop)
    }

    /// Ends a login because a replaced refresh token was used again.
    pub(super) async fn end_reused(&self, id: Uuid, actor: &Actor) -> Result<(), DatabaseError> {
        self.end(id, |ended| ended.entry(Kind::RefreshTokenReused, actor)).await.map(drop)
    }

    /// Ends a live login of this user, from the same or another login. `false` when there is none.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn end_own(&self, user: Uuid, id: Uuid, actor: &Actor) -> Result<bool, DatabaseError> {
        self.flush_last_seen(id).await?;
        let ended = store::end_own(self.requests(), user, id, self.clock.now()).await?;
        let Some(ended) = ended else { return Ok(false) };
        let by_login = actor.login_id().map(|id| id.to_string());
        self.trail.record(ended.entry(Kind::LoginEnded, actor).with("by_login", by_login));
        self.notify_and_catch_up().await;
        Ok(true)
    }

    /// Ends a login. `false` when it had ended before, which is not recorded.
    async fn end(
        &self,
        id: Uuid,
        event: impl FnOnce(&EndedLogin) -> NewEvent,
    ) -> Result<bool, DatabaseError> {
        let ended = store::end(self.requests(), id, self.clock.now()).await?;
        if let Some(ended) = &ended {
            self.trail.record(event(ended));
        }
        // Also when it had ended before: that may have happened just now, on another node.
        self.notify_and_catch_up().await;
        Ok(ended.is_some())
    }
}
