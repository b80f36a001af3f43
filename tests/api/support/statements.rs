//! Which statements Postgres is asked to execute, read off what a client sends it (Postgres, sections 55.2 and 55.7).

use std::collections::HashMap;

/// What one connection's client has sent so far.
#[derive(Default)]
pub struct Frontend {
    unread: Vec<u8>,
    has_begun: bool,
    /// The text of each prepared statement, and of what each portal would execute, by their names.
    prepared: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, String>,
}

impl Frontend {
    /// Takes in what comes next, and gives the statements that are executed by it.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.unread.extend_from_slice(bytes);
        let mut executed = Vec::new();
        while let Some(message) = self.next_message() {
            if self.has_begun {
                executed.extend(self.take_in(message[0], &message[5..]));
            }
            // The first message has no letter for its type.
            self.has_begun = true;
        }
        executed
    }

    fn next_message(&mut self) -> Option<Vec<u8>> {
        let head = usize::from(self.has_begun);
        let length: [u8; 4] = self.unread.get(head..head + 4)?.try_into().ok()?;
        let end = head + usize::try_from(u32::from_be_bytes(length)).ok()?;
        (self.unread.len() >= end).then(|| self.unread.drain(..end).collect())
    }

    fn take_in(&mut self, kind: u8, payload: &[u8]) -> Option<String> {
        let mut strings = payload.split(|byte| *byte == 0).map(<[u8]>::to_vec);
        let mut next = || strings.next().unwrap_or_default();
        match kind {
            b'Q' => Some(text(&next())),
            b'P' => {
                let (name, sql) = (next(), next());
                self.prepared.insert(name, text(&sql));
                None
            }
            b'B' => {
                let (portal, name) = (next(), next());
                let sql = self.prepared.get(&name).cloned().expect("a statement that was prepared");
                self.portals.insert(portal, sql);
                None
            }
            b'E' => Some(self.portals.get(&next()).cloned().expect("a portal that was bound")),
            _ => None,
        }
    }
}

/// On one line, however it is laid out in the source.
fn text(sql: &[u8]) -> String {
    String::from_utf8_lossy(sql).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The statements of some while.
#[derive(Debug)]
pub struct Statements(pub Vec<String>);

impl Statements {
    /// Those that contain this.
    pub fn count(&self, part: &str) -> usize {
        self.0.iter().filter(|sql| sql.contains(part)).count()
    }

    /// Those that requests caused, and not the node's own upkeep.
    pub fn of_requests(&self) -> Vec<&str> {
        let upkeep = [
            FEED,
            LAST_SEEN,
            TRAIL,
            NOTIFY,
            CONNECTING,
            "LISTEN ",
            "with due as",
            "with old as",
            "delete from dualauth.audit_events",
            "delete from dualauth.challenges",
            "delete from dualauth.mail_quotas",
            "from dualauth.mails",
            "update dualauth.mails",
            "delete from dualauth.custom_tokens where id in",
            "delete from dualauth.handoffs where code_hash in",
        ];
        let upkeep = |sql: &&str| upkeep.iter().any(|it| sql.contains(it));
        self.0.iter().map(String::as_str).filter(|sql| !upkeep(sql)).collect()
    }
}

/// In every look at the revocation feed.
pub const FEED: &str = "current_history()";

/// In every call to other nodes.
pub const NOTIFY: &str = "pg_notify";

/// What a connection begins with, whoever opens it.
pub const CONNECTING: &str = "select pg_backend_pid()";

/// In every batch of the audit trail.
pub const TRAIL: &str = "insert into dualauth.audit_events";

/// In every note of when logins were used.
pub const LAST_SEEN: &str = "unnest($1::uuid[], $2::timestamptz[])";
