//! Property test of what followers are sent: transactions commit in any order, nodes read at any time and begin anew, and a
//! follower asks now this one, now that one, a part at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::property_testing::check;

const NODES: usize = 2;
const HISTORY: Uuid = Uuid::from_u128(1);

#[derive(Clone, Debug)]
enum Step {
    /// A transaction begins that ends a login.
    BeginEnd,
    /// A transaction begins that changes the roles of one of a few users.
    BeginChange(u8),
    Commit(Index),
    Abort(Index),
    Poll(usize),
    /// The node is another process from now on.
    Restart(usize),
    /// The node reads everything again.
    ReadAnew(usize),
    Ask(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::BeginEnd),
        2 => (0..3_u8).prop_map(Step::BeginChange),
        4 => any::<Index>().prop_map(Step::Commit),
        1 => any::<Index>().prop_map(Step::Abort),
        4 => (0..NODES).prop_map(Step::Poll),
        1 => (0..NODES).prop_map(Step::Restart),
        1 => (0..NODES).prop_map(Step::ReadAnew),
        6 => (0..NODES).prop_map(Step::Ask),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    End(Uuid),
    Roles(Uuid),
}

/// What Postgres has: transactions that run, and rows of those that were committed.
#[derive(Default)]
struct Database {
    next: u64,
    completed: u64,
    running: BTreeMap<u64, Change>,
    rows: Vec<(u64, Change)>,
    /// How often the roles of each user were changed.
    versions: BTreeMap<Uuid, usize>,
}

impl Database {
    fn begin(&mut self, change: Change) {
        // Whoever changes a user waits for who does.
        if !self.running.values().any(|running| *running == change) {
            self.next += 1;
            self.running.insert(self.next, change);
        }
    }

    fn complete(&mut self, which: &Index, commits: bool) {
        if self.running.is_empty() {
            return;
        }
        let xid = *self.running.keys().nth(which.index(self.running.len())).expect("one of them");
        let Some(change) = self.running.remove(&xid) else { return };
        self.completed = self.completed.max(xid);
        if commits {
            self.rows.push((xid, change));
            if let Change::Roles(user) = change {
                *self.versions.entry(user).or_default() += 1;
            }
        }
    }

    fn snapshot(&self) -> PgSnapshot {
        let end = self.completed + 1;
        PgSnapshot::new(end, self.running.range(..end).map(|(xid, _)| *xid).collect()).expect("a snapshot")
    }

    /// The rows that a node with this snapshot has not read, as it reads them now.
    fn rows_since(&self, last: Option<&PgSnapshot>) -> Vec<FeedRow> {
        let is_new = |xid: u64| last.is_none_or(|last| !last.has_seen(xid));
        let owner = |user_id: Uuid| {
            let roles = vec![self.versions[&user_id].to_string()];
            OwnerClaims { user_id, username: "ada".to_owned(), roles }
        };
        let row = |(xid, change): &(u64, Change)| FeedRow {
            login_id: match change {
                Change::End(login) => Some(*login),
                Change::Roles(_) => None,
            },
            handle_hash: None,
            owner: match change {
                Change::End(_) => None,
                Change::Roles(user) => Some(owner(*user)),
            },
            reload: false,
            until: DateTime::<Utc>::MAX_UTC,
            xid: *xid,
            lag: Duration::ZERO,
        };
        self.rows.iter().filter(|(xid, _)| is_new(*xid)).map(row).collect()
    }
}

#[derive(Default)]
struct Node {
    index: RevocationIndex,
    /// What it has read: ended logins, and the version of each user's roles.
    ended: BTreeSet<Uuid>,
    versions: BTreeMap<Uuid, usize>,
}

impl Node {
    fn poll(&mut self, database: &Database, reads_all: bool) {
        let position = PgSnapshotPosition { history: HISTORY, snapshot: database.snapshot() };
        let last = self.index.position.as_ref().map(|last| last.snapshot.clone()).filter(|_| !reads_all);
        if last.is_none() {
            self.index.begin_anew(&position);
        }
        self.index.add(&database.rows_since(last.as_ref()), position);
        self.ended = database
            .rows
            .iter()
            .filter_map(|(_, change)| match change {
                Change::End(login) => Some(*login),
                Change::Roles(_) => None,
            })
            .collect();
        self.versions = database.versions.clone();
    }
}

#[derive(Default)]
struct Follower {
    cursor: Option<FeedCursor>,
    ended: BTreeSet<Uuid>,
    versions: BTreeMap<Uuid, usize>,
}

impl Follower {
    /// Asks for one part, and returns whether it was the last one.
    fn ask(&mut self, node: &Node) -> Option<bool> {
        let changes = node.index.changes_since(self.cursor.as_ref(), 1)?;
        if changes.anew {
            (self.ended, self.versions) = Default::default();
        }
        self.ended.extend(changes.ended.iter().map(|ended| ended.login));
        for changed in changes.roles {
            self.versions.insert(changed.user, changed.roles[0].parse().expect("a version"));
        }
        // As it travels.
        self.cursor = FeedCursor::from_bytes(&changes.cursor.to_bytes());
        Some(!changes.more)
    }

    /// Whether it knows all that the node knows.
    fn knows(&self, node: &Node) -> bool {
        let is_known =
            |(user, version): (&Uuid, &usize)| self.versions.get(user).is_some_and(|own| own >= version);
        self.ended.is_superset(&node.ended) && node.versions.iter().all(is_known)
    }
}

#[test]
fn a_follower_knows_all_that_a_node_knew_whose_last_part_it_was_told() {
    check(proptest::collection::vec(step(), 0..80), |steps| {
        let (mut database, mut follower) = (Database::default(), Follower::default());
        let mut nodes: [Node; NODES] = Default::default();
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::BeginEnd => database.begin(Change::End(Uuid::from_u128(100 + number as u128))),
                Step::BeginChange(user) => {
                    database.begin(Change::Roles(Uuid::from_u128(2 + u128::from(*user))))
                }
                Step::Commit(which) => database.complete(which, true),
                Step::Abort(which) => database.complete(which, false),
                Step::Poll(node) => nodes[*node].poll(&database, false),
                Step::Restart(node) => {
                    nodes[*node] = Node::default();
                    nodes[*node].poll(&database, true);
                }
                Step::ReadAnew(node) => nodes[*node].poll(&database, true),
                Step::Ask(node) => {
                    let is_complete = follower.ask(&nodes[*node]) == Some(true);
                    prop_assert!(!is_complete || follower.knows(&nodes[*node]), "at step {number}");
                }
            }
        }
        nodes[0].poll(&database, false);
        while follower.ask(&nodes[0]) == Some(false) {}
        prop_assert!(follower.knows(&nodes[0]));
        prop_assert_eq!(&follower.versions, &database.versions);
        Ok(())
    });
}
