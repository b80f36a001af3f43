//! The list of a user's logins, page by page.

use uuid::Uuid;

use crate::database::DatabaseError;

use super::login::{ListedLogin, PageCursor, PageRequest};
use super::{Logins, store};

impl Logins {
    /// A page of the live logins of a user, newest first, and where the next one begins, if there are more; `current` is the
    /// one that asks.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(
        &self,
        user: Uuid,
        current: Uuid,
        page: PageRequest,
    ) -> Result<(Vec<ListedLogin>, Option<PageCursor>), DatabaseError> {
        match self.settle(current).await {
            // To look is no change: the last use stands there as it was written last.
            Err(error) if error.is_read_only() => {}
            settled => settled?,
        }
        // One more than is wanted says whether there are more.
        let limit = i64::from(page.limit);
        let mut logins = store::list(self.requests(), user, page.after, limit + 1, self.clock.now()).await?;
        let are_more = logins.len() > usize::from(page.limit);
        logins.truncate(page.limit.into());
        let next = logins.last().filter(|_| are_more);
        let next = next.map(|last| PageCursor { created_at: last.created_at, id: last.id });
        Ok((logins, next))
    }
}
