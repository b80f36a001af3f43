//! Which logins were used, and when: kept in memory, written in batches.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::config::Lifetimes;

use super::login::Login;
use super::store;

/// How many logins one statement notes.
const BATCH: usize = 1_000;

/// When each login was used last, as far as that is not written down yet.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<HashMap<Uuid, DateTime<Utc>>>);

impl Activity {
    pub(super) fn note(&self, login: Uuid, now: DateTime<Utc>) {
        self.lock().insert(login, now);
    }

    pub(super) fn seen(&self, login: Uuid) -> Option<DateTime<Utc>> {
        self.lock().get(&login).copied()
    }

    /// A login as it will be once its last use is written down.
    pub(super) fn overlay(&self, mut login: Login, lifetimes: &Lifetimes) -> Login {
        if let Some(seen) = self.seen(login.id).filter(|seen| *seen > login.last_seen_at) {
            let idle = if login.remember_me { lifetimes.remember.idle } else { lifetimes.session.idle };
            login.last_seen_at = seen;
            login.idle_expires_at = login.idle_expires_at.max(login.expires_at.min(seen + idle));
        }
        login
    }

    pub(super) async fn write(&self, pool: &PgPool, lifetimes: &Lifetimes) {
        let mut noted: Vec<_> = std::mem::take(&mut *self.lock()).into_iter().collect();
        // Nodes that write the same logins at once take them in the same order, and none waits for the other in turn.
        noted.sort_unstable_by_key(|(login, _)| *login);
        for batch in noted.chunks(BATCH) {
            let (logins, times): (Vec<_>, Vec<_>) = batch.iter().copied().unzip();
            if let Err(error) = store::touch(pool, &logins, &times, lifetimes).await {
                tracing::warn!(%error, logins = batch.len(), "can't write down when logins were used");
                self.keep(batch);
            }
        }
    }

    /// For the next time, unless they were used again meanwhile.
    fn keep(&self, batch: &[(Uuid, DateTime<Utc>)]) {
        let mut noted = self.lock();
        batch.iter().for_each(|(login, seen)| {
            noted.entry(*login).or_insert(*seen);
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
