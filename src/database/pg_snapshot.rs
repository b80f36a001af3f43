//! `pg_snapshot`: which transactions had ended at a moment.

use std::fmt;

/// The transactions that had ended at a moment of one server, as `pg_current_snapshot()` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgSnapshot {
    /// The first transaction id that had not been assigned yet, or was not known to have ended.
    end: u64,
    /// The transactions below `end` that were running, in ascending order.
    running: Vec<u64>,
}

impl PgSnapshot {
    /// Transactions below `end` had ended, except for the running ones. `None` if one of those is not below `end`.
    pub fn new(end: u64, mut running: Vec<u64>) -> Option<Self> {
        running.sort_unstable();
        running.last().is_none_or(|last| *last < end).then_some(Self { end, running })
    }

    /// Reads a `pg_snapshot`'s text: `xmin:xmax:xip,xip,…`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':').skip(1);
        let (end, running) = (parts.next()?.parse().ok()?, parts.next()?);
        let running = running.split(',').filter(|xid| !xid.is_empty()).map(str::parse);
        Self::new(end, running.collect::<Result<_, _>>().ok()?)
    }

    /// The first transaction id that it says nothing of.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The transactions that were running, in ascending order.
    pub fn running(&self) -> &[u64] {
        &self.running
    }

    /// Whether a transaction had ended.
    pub fn has_seen(&self, xid: u64) -> bool {
        xid < self.end && self.running.binary_search(&xid).is_err()
    }

    /// Whether every transaction that the other has seen had ended here, too.
    pub fn covers(&self, other: &Self) -> bool {
        let unseen = self.running.iter().filter(|xid| **xid < other.end);
        self.end >= other.end && unseen.into_iter().all(|xid| !other.has_seen(*xid))
    }

    /// The transactions that at least one of the two has seen.
    pub fn union(&self, other: &Self) -> Self {
        let running = self.running.iter().chain(&other.running).copied();
        let mut running: Vec<_> =
            running.filter(|xid| !self.has_seen(*xid) && !other.has_seen(*xid)).collect();
        running.sort_unstable();
        running.dedup();
        Self { end: self.end.max(other.end), running }
    }
}

impl fmt::Display for PgSnapshot {
    /// As `pg_snapshot` reads it: `xmin:xmax:xip,xip,…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.running.first().unwrap_or(&self.end), self.end)?;
        self.running.iter().enumerate().try_for_each(|(place, xid)| match place {
            0 => write!(f, "{xid}"),
            _ => write!(f, ",{xid}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> PgSnapshot {
        PgSnapshot::parse(text).expect("a snapshot")
    }

    fn seen(snapshot: &PgSnapshot) -> Vec<u64> {
        (0..30).filter(|xid| snapshot.has_seen(*xid)).collect()
    }

    #[test]
    fn a_snapshot_has_seen_what_had_ended() {
        assert_eq!(seen(&snapshot("4:4:")), [0, 1, 2, 3]);
        assert_eq!(seen(&snapshot("2:6:2,4")), [0, 1, 3, 5]);
    }

    #[test]
    fn a_snapshot_is_written_as_postgres_writes_it() {
        for text in ["4:4:", "2:6:2,4", "3:9000000000:3,8999999999"] {
            assert_eq!(snapshot(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_snapshot_is_not_read() {
        for bad in ["", "1", "1:2", "a:b:", "1:2:x", "1:2:3", "1:-2:"] {
            assert_eq!(PgSnapshot::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn covering_and_union_go_by_what_was_seen() {
        let all = ["4:4:", "2:4:2", "2:6:2,4", "4:6:4", "3:9:3,7,8", "9:9:"].map(snapshot);
        for one in &all {
            for other in &all {
                let includes = seen(other).iter().all(|xid| one.has_seen(*xid));
                assert_eq!(one.covers(other), includes, "{one:?} {other:?}");
                let either: Vec<_> =
                    (0..30).filter(|xid| one.has_seen(*xid) || other.has_seen(*xid)).collect();
                assert_eq!(seen(&one.union(other)), either, "{one:?} {other:?}");
            }
        }
    }
}
