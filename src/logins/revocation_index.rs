//! The revocations that a node remembers: what requests are checked against, and in which order they were committed,
//! which is the order in which followers of the feed are sent them.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use hashlink::DefaultHashBuilder;
use uuid::Uuid;

use crate::crypto::random_bytes;
use crate::database::{PgSnapshot, PgSnapshotPosition};

use super::feed::{FeedRow, OwnerClaims};
use super::followers::{ChangeKey, ChangedRoles, EndedLoginId, FeedChanges, FeedCursor};
use super::session_cache_and_revocations::RevocationStatus;

/// How often expired revocations are removed.
const FORGET_INTERVAL: chrono::Duration = chrono::Duration::seconds(10);

/// The transaction id of what was known before the whole feed was read: older than every real one.
const BEFORE_ALL: u64 = 0;

/// Revocations, each kept for as long as it may concern a valid credential. Every access token needs two look-ups
/// here, so it uses hashlink's hash, which takes a third of the standard library's time. It need not resist chosen
/// keys: only the server chooses these ids.
#[derive(Debug, Default)]
pub(super) struct RevocationIndex {
    /// Ended logins of every mode.
    ended: HashMap<Uuid, EndedEntry, DefaultHashBuilder>,
    /// Changed users, by their id.
    changed: HashMap<Uuid, ChangedUser, DefaultHashBuilder>,
    /// The transactions that changed keys or clients, and how long followers are sent that.
    reloads: BTreeMap<u64, DateTime<Utc>>,
    /// The entries of `ended` and `changed` in the order of their transactions.
    changes: BTreeMap<ChangeKey, ChangeKind>,
    /// How far the feed has been read. `None` before the first poll.
    position: Option<PgSnapshotPosition>,
    /// A cursor that does not cover this can't be continued: the node has read everything anew since, and what it had
    /// forgotten by then may be missing in what the follower was sent. `None`: every cursor can.
    continues_from: Option<PgSnapshot>,
    /// In the cursors that were issued since then.
    reading: FeedReading,
    /// The time of the last clean-up: revocations that had expired by then are removed.
    forgotten: DateTime<Utc>,
}

/// One reading of the whole feed by one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FeedReading(pub(super) [u8; 8]);

#[derive(Debug)]
struct EndedEntry {
    /// How long it is kept.
    until: DateTime<Utc>,
    xid: u64,
}

/// A user whose name or roles have changed.
#[derive(Debug)]
struct ChangedUser {
    now: OwnerClaims,
    until: DateTime<Utc>,
    /// The transactions of every change, since a follower may know of a later one and not of an earlier one: they
    /// commit in any order.
    xids: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum ChangeKind {
    LoginEnded,
    OwnerChanged,
}

impl RevocationIndex {
    /// The status of an access token. Compares the name and the roles themselves rather than the time of their
    /// change, so that no clocks have to agree.
    pub(super) fn status(
        &self,
        login: Uuid,
        user: Uuid,
        username: &str,
        roles: &[String],
    ) -> RevocationStatus {
        if self.has_ended(login) {
            return RevocationStatus::Ended;
        }
        match self.changed.get(&user) {
            Some(ChangedUser { now, .. }) if now.roles != roles || now.username != username => {
                RevocationStatus::OwnerChanged
            }
            _ => RevocationStatus::NotRevoked,
        }
    }

    pub(super) fn has_ended(&self, login: Uuid) -> bool {
        self.ended.contains_key(&login)
    }

    pub(super) fn ended_count(&self) -> usize {
        self.ended.len()
    }

    pub(super) fn changed_count(&self) -> usize {
        self.changed.len()
    }

    /// Logins that are known to have ended and are missing from these rows, each with the time until which its end
    /// must be remembered.
    pub(super) fn ended_missing_from(
        &self,
        revocations: &[FeedRow],
        now: DateTime<Utc>,
    ) -> Vec<(Uuid, DateTime<Utc>)> {
        let listed: HashSet<Uuid> = revocations.iter().filter_map(|revocation| revocation.login_id).collect();
        let lasting = self.ended.iter().filter(|(login, entry)| entry.until > now && !listed.contains(login));
        lasting.map(|(login, entry)| (*login, entry.until)).collect()
    }

    /// Users whose name or roles have changed recently.
    pub(super) fn changed_owners(&self) -> Vec<Uuid> {
        self.changed.keys().copied().collect()
    }

    /// Updates the name and roles of users that are remembered as changed.
    pub(super) fn update_owners(&mut self, owners: Vec<OwnerClaims>) {
        for owner in owners {
            if let Some(changed) = self.changed.get_mut(&owner.user_id) {
                changed.now = owner;
            }
        }
    }

    /// Prepares for rows that are the whole feed rather than the new ones.
    pub(super) fn begin_anew(&mut self, position: &PgSnapshotPosition) {
        self.continues_from = self.position.is_some().then(|| position.snapshot.clone());
        self.reading = FeedReading(random_bytes());
        self.changes.clear();
        self.reloads.clear();
        for (login, entry) in &mut self.ended {
            entry.xid = BEFORE_ALL;
            self.changes.insert(ChangeKey { xid: BEFORE_ALL, id: *login }, ChangeKind::LoginEnded);
        }
        for (user, changed) in &mut self.changed {
            changed.xids = vec![BEFORE_ALL];
            self.changes.insert(ChangeKey { xid: BEFORE_ALL, id: *user }, ChangeKind::OwnerChanged);
        }
    }

    /// Adds rows of the feed, which has been read up to this position.
    pub(super) fn add(&mut self, revocations: &[FeedRow], position: PgSnapshotPosition) {
        for revocation in revocations {
            // After a restore from another server a row may have a number that is not assigned yet. It is read again
            // once it is; until then it counts as one that every follower is sent at first.
            let xid = if position.snapshot.has_seen(revocation.xid) { revocation.xid } else { BEFORE_ALL };
            self.add_row(revocation, xid);
        }
        self.position = Some(position);
    }

    fn add_row(&mut self, revocation: &FeedRow, xid: u64) {
        let until = revocation.until;
        if let Some(login) = revocation.login_id {
            let entry = self.ended.entry(login).or_insert(EndedEntry { until, xid });
            // If there are two rows for one login, the later time counts.
            entry.until = until.max(entry.until);
            self.changes.remove(&ChangeKey { xid: entry.xid, id: login });
            entry.xid = xid.max(entry.xid);
            self.changes.insert(ChangeKey { xid: entry.xid, id: login }, ChangeKind::LoginEnded);
        }
        if let Some(now) = &revocation.owner {
            let (user, now) = (now.user_id, now.clone());
            let (known, mut xids) =
                self.changed.remove(&user).map_or((until, Vec::new()), |known| (known.until, known.xids));
            xids.push(xid);
            self.changes.insert(ChangeKey { xid, id: user }, ChangeKind::OwnerChanged);
            self.changed.insert(user, ChangedUser { now, until: until.max(known), xids });
        }
        if revocation.reload {
            self.reloads.insert(xid, until);
        }
    }

    /// Removes expired entries. Runs at most once per [`FORGET_INTERVAL`], since it visits every entry, and also when
    /// the clock was set back. Returns the time of the last clean-up.
    pub(super) fn forget(&mut self, out_by: DateTime<Utc>) -> DateTime<Utc> {
        if (self.forgotten..self.forgotten + FORGET_INTERVAL).contains(&out_by) {
            return self.forgotten;
        }
        let Self { ended, changed, changes, reloads, .. } = self;
        ended.retain(|login, entry| {
            let is_kept = entry.until > out_by;
            if !is_kept {
                changes.remove(&ChangeKey { xid: entry.xid, id: *login });
            }
            is_kept
        });
        changed.retain(|user, owner| {
            let is_kept = owner.until > out_by;
            if !is_kept {
                for xid in &owner.xids {
                    changes.remove(&ChangeKey { xid: *xid, id: *user });
                }
            }
            is_kept
        });
        reloads.retain(|_, until| *until > out_by);
        self.forgotten = out_by;
        out_by
    }

    /// What a follower with this cursor does not know yet, at most about `max_bytes` of it as JSON. With no cursor, or
    /// one that can't be continued, that is everything. `None` before the first poll.
    pub(super) fn changes_since(&self, cursor: Option<&FeedCursor>, max_bytes: usize) -> Option<FeedChanges> {
        let position = self.position.as_ref()?;
        let cursor = cursor.filter(|cursor| self.can_continue(cursor, position));
        let has_sent =
            |xid| cursor.is_some_and(|cursor| cursor.has_sent(&ChangeKey { xid, id: Uuid::nil() }));
        let mut changes = FeedChanges {
            cursor: FeedCursor::complete(position.clone(), self.reading),
            anew: cursor.is_none(),
            more: false,
            ended: Vec::new(),
            roles: Vec::new(),
            keys_changed: cursor.is_none() || self.reloads.keys().any(|xid| !has_sent(*xid)),
        };
        let (mut bytes, mut last) = (0, None);
        for (key, kind) in self.unsent(cursor) {
            if bytes >= max_bytes {
                changes.more = true;
                break;
            }
            bytes += match kind {
                ChangeKind::LoginEnded => self.push_end(key.id, &mut changes.ended),
                ChangeKind::OwnerChanged => self.push_roles(key.id, &mut changes.roles),
            };
            last = Some(*key);
        }
        changes.cursor = match cursor {
            _ if changes.more => FeedCursor { sent_up_to: last, ..changes.cursor },
            Some(cursor) => cursor.advanced_to(position, self.reading),
            None => changes.cursor,
        };
        Some(changes)
    }

    fn can_continue(&self, cursor: &FeedCursor, position: &PgSnapshotPosition) -> bool {
        // The same snapshot may be from before and from after the reading.
        let is_later = |from: &PgSnapshot| {
            let sent = &cursor.position.snapshot;
            sent.covers(from) && (sent != from || cursor.reading == self.reading)
        };
        cursor.position.history == position.history && self.continues_from.as_ref().is_none_or(is_later)
    }

    /// The changes that this cursor's owner was not sent, in their order.
    fn unsent<'a>(
        &'a self,
        cursor: Option<&'a FeedCursor>,
    ) -> impl Iterator<Item = (&'a ChangeKey, ChangeKind)> {
        let none = ChangeKey { xid: BEFORE_ALL, id: Uuid::nil() };
        let (running, from) = cursor.map_or((&[][..], none), FeedCursor::unsent_ranges);
        let of = |xid: u64| {
            let id = |id| ChangeKey { xid, id };
            self.changes.range(id(Uuid::nil())..=id(Uuid::max()))
        };
        let later = self.changes.range(from..);
        let all =
            running.iter().filter(move |xid| **xid < from.xid).flat_map(move |xid| of(*xid)).chain(later);
        let is_unsent = move |key: &ChangeKey| cursor.is_none_or(|cursor| !cursor.has_sent(key));
        all.filter(move |(key, _)| is_unsent(key)).map(|(key, kind)| (key, *kind))
    }

    /// Returns about how many bytes it takes.
    fn push_end(&self, login: Uuid, ended: &mut Vec<EndedLoginId>) -> usize {
        let Some(entry) = self.ended.get(&login) else { return 0 };
        ended.push(EndedLoginId { login, until: entry.until });
        90
    }

    /// Returns about how many bytes it takes.
    fn push_roles(&self, user: Uuid, roles: &mut Vec<ChangedRoles>) -> usize {
        let Some(ChangedUser { now, until, .. }) = self.changed.get(&user) else { return 0 };
        // Two changes of one user are sent as one, unless they are far apart.
        if roles.last().is_some_and(|last| last.user == user) {
            return 0;
        }
        let bytes = 120 + now.username.len() + now.roles.iter().map(|role| role.len() + 3).sum::<usize>();
        let OwnerClaims { username, roles: current, .. } = now.clone();
        roles.push(ChangedRoles { user, username, roles: current, until: *until });
        bytes
    }
}

#[cfg(test)]
mod properties;
