//! Followers of the feed: services that verify access tokens by themselves, and ask what has been revoked.
//!
//! Answered from memory, without SQL. A request may wait for news ([`Followers`]); what a follower knows, it says
//! itself ([`cursor`]), so that it may ask any node.

mod cursor;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub(super) use self::cursor::ChangeKey;
pub use self::cursor::FeedCursor;
use super::Logins;
use crate::error::Problem;

/// Maximum number of requests that wait at a node.
const MAX_WAITING: usize = 2_000;

/// About how many bytes of changes an answer has at most.
const MAX_BYTES: usize = 512 * 1024;

/// The age of an answer that is followed by more: until the rest is there, it says nothing of how much is known.
const AGE_OF_A_PART: Duration = Duration::from_secs(10 * 60);

/// What a follower learns.
#[derive(Debug)]
pub struct FeedAnswer {
    /// The changes.
    pub changes: FeedChanges,
    /// How old the knowledge is that the answer is made of.
    pub age: Duration,
}

/// Changes that a follower did not know of.
#[derive(Debug)]
pub struct FeedChanges {
    /// For the next request.
    pub cursor: FeedCursor,
    /// Whether these are all changes, instead of those since the follower's last request.
    pub anew: bool,
    /// Whether there are more than these.
    pub more: bool,
    /// Logins that have ended.
    pub ended: Vec<EndedLoginId>,
    /// Users whose name or roles have changed.
    pub roles: Vec<ChangedRoles>,
    /// Whether the signing keys may have changed.
    pub keys_changed: bool,
}

/// A login that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedLoginId {
    /// Its id: `sid` in access tokens.
    pub login: Uuid,
    /// When its last access token has expired.
    pub until: DateTime<Utc>,
}

/// A user whose name or roles have changed.
#[derive(Clone, Debug)]
pub struct ChangedRoles {
    /// The user: `sub` in access tokens.
    pub user: Uuid,
    /// The name. Tokens with another one are revoked.
    pub username: String,
    /// The roles. Tokens with other ones are revoked.
    pub roles: Vec<String>,
    /// When the last access token from before the change has expired.
    pub until: DateTime<Utc>,
}

/// Why a follower gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The node's own knowledge is too old.
    #[error("the revocation feed can't be read")]
    Stale,
    /// Too many wait already.
    #[error("too many followers of the revocation feed")]
    TooMany,
}

impl From<FollowError> for Problem {
    fn from(error: FollowError) -> Self {
        Self::unavailable(error)
    }
}

/// The requests that wait at a node.
#[derive(Debug, Default)]
pub(super) struct Followers {
    /// Changes when there is news, and when the node could not read any.
    news: watch::Sender<()>,
    waiting: AtomicUsize,
    is_stopping: AtomicBool,
}

/// A request that waits, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Followers {
    /// Has every request that waits looked at again.
    pub(super) fn wake(&self) {
        self.news.send_replace(());
    }

    /// The number of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    fn take_place(&self) -> Result<Place<'_>, FollowError> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::SeqCst) < MAX_WAITING {
            Ok(place)
        } else {
            Err(FollowError::TooMany)
        }
    }
}

impl FeedChanges {
    fn is_empty(&self) -> bool {
        !self.anew && !self.keys_changed && self.ended.is_empty() && self.roles.is_empty()
    }
}

impl Logins {
    /// What was revoked since the answer that this cursor came with; all of it without a cursor, or with one that can't be
    /// continued. If there is nothing new, waits for it as long as this.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub async fn follow(
        &self,
        cursor: Option<&FeedCursor>,
        wait: Duration,
    ) -> Result<FeedAnswer, FollowError> {
        let followers = &self.memory.followers;
        let (mut news, deadline) = (followers.news.subscribe(), Instant::now() + wait);
        let mut place = None;
        loop {
            news.borrow_and_update();
            let answer = self.answer(cursor).await?;
            let is_over = Instant::now() >= deadline || followers.is_stopping.load(Ordering::SeqCst);
            if is_over || !answer.changes.is_empty() {
                return Ok(answer);
            }
            if place.is_none() {
                place = Some(followers.take_place()?);
            }
            // Both outcomes mean: look again.
            let _ = timeout_at(deadline, news.changed()).await;
        }
    }

    async fn answer(&self, cursor: Option<&FeedCursor>) -> Result<FeedAnswer, FollowError> {
        if !self.is_fresh().await {
            return Err(FollowError::Stale);
        }
        // Before the changes are read: they may be newer than this, never older.
        let age = self.memory.freshness.age().ok_or(FollowError::Stale)?;
        let changes = self.memory.changes_since(cursor, MAX_BYTES).ok_or(FollowError::Stale)?;
        Ok(FeedAnswer { age: if changes.more { AGE_OF_A_PART } else { age }, changes })
    }

    /// Answers all requests that wait, and lets no other one wait: the node stops.
    pub fn stop_followers(&self) {
        self.memory.followers.is_stopping.store(true, Ordering::SeqCst);
        self.memory.followers.wake();
    }
}
