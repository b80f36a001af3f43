//! How much of the feed a follower has been sent, carried by the follower itself.

use uuid::Uuid;

use crate::database::{PgSnapshot, PgSnapshotPosition};
use crate::logins::revocation_index::FeedReading;

/// The place of a change in the feed: by its transaction and, within that, by the id of the login or user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::logins) struct ChangeKey {
    /// The transaction.
    pub(in crate::logins) xid: u64,
    /// The login or user.
    pub(in crate::logins) id: Uuid,
}

/// How much of the feed a follower has been sent. It means the same on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    /// Everything up to this position,
    pub(in crate::logins) position: PgSnapshotPosition,
    /// but, between two pages, only as far as this.
    pub(in crate::logins) sent_up_to: Option<ChangeKey>,
    /// What the node that issued it had read.
    pub(in crate::logins) reading: FeedReading,
}

const WITH_KEY: u8 = 1;
const COMPLETE: u8 = 0;

impl FeedCursor {
    /// The cursor of a follower that was sent everything up to this position.
    pub(in crate::logins) fn complete(position: PgSnapshotPosition, reading: FeedReading) -> Self {
        Self { position, sent_up_to: None, reading }
    }

    /// Whether its owner was sent a change.
    pub(in crate::logins) fn has_sent(&self, change: &ChangeKey) -> bool {
        self.position.snapshot.has_seen(change.xid) && self.sent_up_to.is_none_or(|last| *change <= last)
    }

    /// Where changes can be that its owner was not sent: in these transactions, and from this place on.
    pub(in crate::logins) fn unsent_ranges(&self) -> (&[u64], ChangeKey) {
        let end = ChangeKey { xid: self.position.snapshot.end(), id: Uuid::nil() };
        (self.position.snapshot.running(), self.sent_up_to.map_or(end, |last| last.min(end)))
    }

    /// The cursor after the rest was sent by a node at this position. A node may be behind the one that answered before:
    /// what that one sent stays sent.
    pub(in crate::logins) fn advanced_to(&self, position: &PgSnapshotPosition, reading: FeedReading) -> Self {
        if self.sent_up_to.is_some() {
            return Self::complete(position.clone(), reading);
        }
        let snapshot = self.position.snapshot.union(&position.snapshot);
        Self::complete(PgSnapshotPosition { snapshot, ..*position }, reading)
    }

    /// The cursor as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let PgSnapshotPosition { history, snapshot } = &self.position;
        let mut bytes = history.as_bytes().to_vec();
        bytes.extend(self.reading.0);
        bytes.extend(snapshot.end().to_be_bytes());
        match &self.sent_up_to {
            None => bytes.push(COMPLETE),
            Some(key) => {
                bytes.push(WITH_KEY);
                bytes.extend(key.xid.to_be_bytes());
                bytes.extend(key.id.as_bytes());
            }
        }
        // Postgres stops long before a transaction is this old.
        let age = |xid: &u64| u32::try_from(snapshot.end() - xid).unwrap_or(u32::MAX);
        bytes.extend(snapshot.running().iter().flat_map(|xid| age(xid).to_be_bytes()));
        bytes
    }

    /// Reads [`Self::to_bytes`]. `None` if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (history, rest) = bytes.split_first_chunk()?;
        let (reading, rest) = rest.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (form, rest) = rest.split_first()?;
        let (sent_up_to, rest) = match *form {
            COMPLETE => (None, rest),
            WITH_KEY => {
                let (xid, rest) = rest.split_first_chunk()?;
                let (id, rest) = rest.split_first_chunk()?;
                let key = ChangeKey { xid: u64::from_be_bytes(*xid), id: Uuid::from_bytes(*id) };
                (Some(key), rest)
            }
            _ => return None,
        };
        let end = u64::from_be_bytes(*end);
        let (ages, []) = rest.as_chunks() else { return None };
        let running = ages.iter().map(|age| end.checked_sub(u32::from_be_bytes(*age).into()));
        let snapshot = PgSnapshot::new(end, running.collect::<Option<_>>()?)?;
        let position = PgSnapshotPosition { history: Uuid::from_bytes(*history), snapshot };
        Some(Self { position, sent_up_to, reading: FeedReading(*reading) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(snapshot: &str, sent_up_to: Option<ChangeKey>) -> FeedCursor {
        let snapshot = PgSnapshot::parse(snapshot).expect("a snapshot");
        let position = PgSnapshotPosition { history: Uuid::from_u128(7), snapshot };
        FeedCursor { position, sent_up_to, reading: FeedReading([3; 8]) }
    }

    #[test]
    fn a_cursor_is_read_back() {
        let key = ChangeKey { xid: 5_000_000_000, id: Uuid::from_u128(9) };
        for cursor in [cursor("9:9:", None), cursor("3:9000000000:8999999999,8999999990", Some(key))] {
            assert_eq!(FeedCursor::from_bytes(&cursor.to_bytes()), Some(cursor));
        }
    }

    #[test]
    fn what_is_no_cursor_is_not_read() {
        let bytes = cursor("3:9:4,5", None).to_bytes();
        for length in [0, 15, 20, 24, 32, bytes.len() - 1] {
            assert_eq!(FeedCursor::from_bytes(&bytes[..length]), None, "{length}");
        }
        assert_eq!(FeedCursor::from_bytes(&[&bytes[..], &[0xff; 4]].concat()), None, "older than the first");
    }
}
