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

/// When each login was used last, as far as a look-up may not find that written down.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    new: HashMap<Uuid, DateTime<Utc>>,
    /// What is being written, or was the last time: a look-up that is under way may have read what was there before.
    written: HashMap<Uuid, DateTime<Utc>>,
}

impl Activity {
    pub(super) fn note(&self, login: Uuid, now: DateTime<Utc>) {
        self.lock().new.insert(login, now);
    }

    pub(super) fn seen(&self, login: Uuid) -> Option<DateTime<Utc>> {
        let notes = self.lock();
        notes.new.get(&login).or_else(|| notes.written.get(&login)).copied()
    }

    /// A login as it will be once its last use is written down.
    pub(super) fn overlay(&self, mut login: Login, lifetimes: &Lifetimes) -> Login {
        if let Some(seen) = self.seen(login.id).filter(|seen| *seen > login.last_seen_at) {
            let idle = lifetimes.span(login.remember_me).idle;
            login.last_seen_at = seen;
            login.idle_expires_at = login.idle_expires_at.max(login.expires_at.min(seen + idle));
        }
        login
    }

    pub(super) async fn write(&self, pool: &PgPool, lifetimes: &Lifetimes) {
        let mut noted = self.turn();
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

    /// The same at the end of the program, when a batch may have been broken off.
    pub(super) async fn write_all(&self, pool: &PgPool, lifetimes: &Lifetimes) {
        let last: Vec<_> = std::mem::take(&mut self.lock().written).into_iter().collect();
        self.keep(&last);
        self.write(pool, lifetimes).await;
    }

    /// What is to be written now.
    fn turn(&self) -> Vec<(Uuid, DateTime<Utc>)> {
        let mut notes = self.lock();
        notes.written = std::mem::take(&mut notes.new);
        notes.written.iter().map(|(login, seen)| (*login, *seen)).collect()
    }

    /// For the next time, unless they were used again meanwhile.
    fn keep(&self, batch: &[(Uuid, DateTime<Utc>)]) {
        let mut notes = self.lock();
        batch.iter().for_each(|(login, seen)| {
            notes.new.entry(*login).or_insert(*seen);
        });
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
