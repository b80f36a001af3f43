//! The list of a user's logins, with pagination.

use uuid::Uuid;

use crate::database::DatabaseError;

use super::login::{ListedLogin, PageCursor, PageRequest};
use super::{Logins, store};

impl Logins {
    /// A page of a user's live logins, newest first, and the cursor of the next page, if there is one. The last use
    /// of the login `current`, which makes the request, is written first so that the list shows it.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn list(
        &self,
        user: Uuid,
        current: Uuid,
        page: PageRequest,
    ) -> Result<(Vec<ListedLogin>, Option<PageCursor>), DatabaseError> {
        match self.flush_last_seen(current).await {
            // A read-only database can still be read: the list then shows the last use that was written.
            Err(error) if error.is_read_only() => {}
            settled => settled?,
        }
        // One row more than requested tells whether there is another page.
        let limit = i64::from(page.limit);
        let mut logins = store::list(self.requests(), user, page.after, limit + 1, self.clock.now()).await?;
        let are_more = logins.len() > usize::from(page.limit);
        logins.truncate(page.limit.into());
        let next = logins.last().filter(|_| are_more);
        let next = next.map(|last| PageCursor { created_at: last.created_at, id: last.id });
        Ok((logins, next))
    }
}
