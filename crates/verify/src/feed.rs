//! Requests to the feed, and what their answers change.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::client::RequestError;
use crate::core::Core;
use crate::revocations::{Answer, Revocations};

/// The longest that dualauth holds a request.
const MAX_WAIT: Duration = Duration::from_secs(25);

/// The longest time between two looks of a dualauth node at its own feed.
const NODE_PACE: Duration = Duration::from_secs(1);

/// How often a request is repeated whose answer came too late to be used.
const MAX_REPEATS: usize = 8;

/// Where in the feed the verifier is.
#[derive(Default)]
pub(crate) struct Feed {
    position: Mutex<Position>,
    /// When the last request was sent (uptime) that was made because of a token and failed.
    catch_up: tokio::sync::Mutex<Option<Duration>>,
}

#[derive(Default)]
struct Position {
    /// Empty: at the beginning.
    cursor: String,
    /// Whether the answer before was a part, and more was to follow.
    is_within_parts: bool,
    /// What was read since the feed began anew. It replaces what is known once it is complete.
    begun: Option<Revocations>,
}

/// What an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Applied: everything is known.
    Complete { news: bool },
    /// Applied, and there is more.
    More,
    /// Not applied, since another answer came first: what it says has to be asked for again.
    Overtaken,
}

impl Core {
    /// A quarter of the bound: how long a request waits for news, and the pace of the follower.
    pub(crate) fn pace(&self) -> Duration {
        (self.bound / 4).min(MAX_WAIT)
    }

    /// Asks the feed what is new, and applies the answer. It may be held for `wait`.
    pub(crate) async fn ask(&self, wait: Duration) -> Result<Outcome, RequestError> {
        let cursor = self.cursor();
        let sent = self.clock.uptime();
        let answer = self.client.feed(&cursor, wait, self.bound / 2).await?;
        // First the keys: a token of a new key may be judged by older revocations, and never the other way round.
        if answer.keys_changed || answer.anew || self.knowledge().keys.is_none() {
            self.fetch_keys().await?;
        } else if self.keys_are_old() {
            // No answer says that these have changed, so they don't depend on this.
            let _ = self.fetch_keys().await;
        }
        Ok(self.apply(&cursor, sent, answer))
    }

    /// Asks the feed because of a token that came at the uptime `came`, until everything is known that was committed before: a
    /// node may be behind the one that signed the token, and its answers say by how much. Callers share a request, if it was
    /// sent after their token came. Returns `false` if that fails.
    pub(crate) async fn catch_up(&self, came: Duration) -> bool {
        let mut failed = self.feed.catch_up.lock().await;
        while !self.knows_all_before(came) {
            let sent = self.clock.uptime();
            let is_over = sent > came.saturating_add(self.bound.min(NODE_PACE)).saturating_add(NODE_PACE);
            if is_over || failed.is_some_and(|last| last >= came) {
                return false;
            }
            if !self.ask_to_the_end().await {
                *failed = Some(sent);
            } else if !self.knows_all_before(came) {
                sleep((self.pace() / 4).min(NODE_PACE / 4)).await;
            }
        }
        true
    }

    fn knows_all_before(&self, uptime: Duration) -> bool {
        self.knowledge().revocations.as_ref().is_some_and(|known| known.is_complete_to(uptime))
    }

    async fn ask_to_the_end(&self) -> bool {
        let mut repeats = 0;
        while repeats < MAX_REPEATS {
            match self.ask(Duration::ZERO).await {
                Ok(Outcome::Complete { .. }) => return true,
                Ok(Outcome::More) => {}
                Ok(Outcome::Overtaken) => repeats += 1,
                Err(_) => return false,
            }
        }
        false
    }

    /// The cursor to ask with. If the time of day was set back the feed is read from its beginning.
    fn cursor(&self) -> String {
        let now = self.clock.now();
        let lacks_entries = |revocations: &Revocations| revocations.lacks_entries(now);
        let begins = self.knowledge().revocations.as_ref().is_some_and(lacks_entries);
        let mut position = self.position();
        if begins && position.begun.is_none() {
            position.cursor.clear();
        }
        position.cursor.clone()
    }

    /// Applies the answer to a request with this cursor, unless another one was applied since the request was sent: what
    /// is newer about a user could not be told.
    pub(crate) fn apply(&self, cursor: &str, sent: Duration, answer: Answer) -> Outcome {
        let mut position = self.position();
        if position.cursor != cursor {
            return Outcome::Overtaken;
        }
        let now = self.clock.now();
        let is_within_parts = std::mem::replace(&mut position.is_within_parts, answer.more);
        if answer.anew || cursor.is_empty() {
            position.begun = Some(Revocations::default());
        }
        if let Some(begun) = &mut position.begun {
            begun.add(&answer);
            if !answer.more {
                begun.set_complete(sent, answer.age_ms);
                begun.drop_expired(now);
                let begun = position.begun.take();
                self.learn(|knowledge| knowledge.revocations = begun);
            }
        } else {
            self.learn(|knowledge| {
                let Some(known) = &mut knowledge.revocations else { return };
                known.add(&answer);
                if answer.more || is_within_parts {
                    // A node that is behind may have told older roles than another one before.
                    known.set_complete(sent, answer.age_ms);
                } else {
                    known.prolong(sent, answer.age_ms);
                }
                known.drop_expired(now);
            });
        }
        let (more, news) = (answer.more, answer.has_news());
        position.cursor = answer.cursor;
        if more { Outcome::More } else { Outcome::Complete { news } }
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        self.feed.position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
