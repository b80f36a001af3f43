//! What is known of revocations: which logins have ended, which users have other names or roles, and how old this is.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use crate::Claims;

/// For how long an entry is kept after the last token that it concerns has expired, in seconds: clocks differ.
pub(crate) const KEPT_LONGER: i64 = 5;

/// How often expired entries are dropped, in seconds: it visits each of them.
const DROP_INTERVAL: i64 = 10;

/// An answer of the feed. Unknown members are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) cursor: String,
    /// Forget what was known before this answer.
    pub(crate) anew: bool,
    /// There is more: ask again at once.
    pub(crate) more: bool,
    /// How old the answer's knowledge was when it was sent, in milliseconds.
    pub(crate) age_ms: u64,
    ended: Vec<EndedEntry>,
    roles: Vec<RolesEntry>,
    /// The JWK set is another one.
    pub(crate) keys_changed: bool,
}

impl Answer {
    /// Whether it says anything new.
    pub(crate) fn has_news(&self) -> bool {
        self.anew || self.more || self.keys_changed || !self.ended.is_empty() || !self.roles.is_empty()
    }
}

#[derive(Debug, Deserialize)]
struct EndedEntry {
    sid: Uuid,
    until: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct RolesEntry {
    sub: Uuid,
    /// Absent: it is not known, and not compared.
    username: Option<String>,
    roles: Vec<String>,
    until: DateTime<Utc>,
}

/// What a user is called and may do now. Tokens that say otherwise are dead.
#[derive(Debug)]
struct Owner {
    username: Option<String>,
    roles: Vec<String>,
    until: i64,
}

impl Owner {
    /// Whether a token says the same.
    fn is_as_in(&self, claims: &Claims) -> bool {
        self.username.as_ref().is_none_or(|username| *username == claims.username)
            && self.roles == claims.roles
    }
}

/// What the revocations say about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// Its login has ended, which is final.
    Ended,
    /// Its owner's name or roles are others, or the token is newer than what is known.
    OwnerChanged,
}

/// The logins that have ended and the users that have changed, as long as tokens from before may be valid.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    ended: HashMap<Uuid, i64>,
    owners: HashMap<Uuid, Owner>,
    /// Everything that was acknowledged before this uptime is in here.
    complete_to: Duration,
    /// The latest time of day (seconds since 1970) at which entries were dropped.
    dropped_at: i64,
}

impl Revocations {
    /// Adds what an answer says. The latest answer about a user counts.
    pub(crate) fn add(&mut self, answer: &Answer) {
        for EndedEntry { sid, until } in &answer.ended {
            let until = until.timestamp();
            self.ended.entry(*sid).and_modify(|kept| *kept = until.max(*kept)).or_insert(until);
        }
        for RolesEntry { sub, username, roles, until } in &answer.roles {
            let until = until.timestamp();
            let owner = Owner { username: username.clone(), roles: roles.clone(), until };
            self.owners.insert(*sub, owner);
        }
    }

    /// Notes that it is complete: the request was sent at `sent` (uptime), and what answered it knew everything
    /// until `age_ms` before.
    pub(crate) fn set_complete(&mut self, sent: Duration, age_ms: u64) {
        self.complete_to = sent.saturating_sub(Duration::from_millis(age_ms));
    }

    /// The same, where nothing that was told before can have been taken back.
    pub(crate) fn prolong(&mut self, sent: Duration, age_ms: u64) {
        let before = self.complete_to;
        self.set_complete(sent, age_ms);
        self.complete_to = self.complete_to.max(before);
    }

    /// Whether it has everything from before this uptime.
    pub(crate) fn is_complete_to(&self, uptime: Duration) -> bool {
        self.complete_to >= uptime
    }

    /// How old the knowledge is at this uptime.
    pub(crate) fn age(&self, uptime: Duration) -> Duration {
        uptime.saturating_sub(self.complete_to)
    }

    /// Drops the entries that concern no token that is valid at `now` (seconds since 1970).
    pub(crate) fn drop_expired(&mut self, now: i64) {
        if (self.dropped_at..self.dropped_at.saturating_add(DROP_INTERVAL)).contains(&now) {
            return;
        }
        let is_kept = |until: i64| until.saturating_add(KEPT_LONGER) > now;
        self.ended.retain(|_, until| is_kept(*until));
        self.owners.retain(|_, owner| is_kept(owner.until));
        self.dropped_at = self.dropped_at.max(now);
    }

    /// Whether the time of day was set back so far that entries may have been dropped too early.
    pub(crate) fn lacks_entries(&self, now: i64) -> bool {
        now.saturating_add(KEPT_LONGER) <= self.dropped_at
    }

    pub(crate) fn standing(&self, claims: &Claims) -> Standing {
        if self.ended.contains_key(&claims.sid) {
            return Standing::Ended;
        }
        match self.owners.get(&claims.sub) {
            Some(owner) if !owner.is_as_in(claims) => Standing::OwnerChanged,
            _ => Standing::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{claims, with};

    fn answer(ended: Value, roles: Value) -> Answer {
        let answer = json!({
            "cursor": "a", "anew": false, "more": false, "age_ms": 0, "ended": ended, "roles": roles, "keys_changed": false,
        });
        serde_json::from_value(answer).expect("an answer")
    }

    fn standing(revocations: &Revocations, claims: Value) -> Standing {
        revocations.standing(&serde_json::from_value(claims).expect("claims"))
    }

    #[test]
    fn an_end_is_remembered_until_the_last_token_has_expired_and_five_seconds_longer() {
        let until = DateTime::from_timestamp(100, 0).expect("a time");
        let sid = &claims(0)["sid"];
        for (now, expected) in [(104, Standing::Ended), (105, Standing::Good)] {
            let mut revocations = Revocations::default();
            revocations.add(&answer(json!([{ "sid": sid, "until": until }]), json!([])));
            // An earlier end of the same login takes nothing back.
            revocations
                .add(&answer(json!([{ "sid": sid, "until": "1970-01-01T00:00:00.000000Z" }]), json!([])));
            revocations.drop_expired(now);
            assert_eq!(standing(&revocations, claims(0)), expected);
        }
    }

    #[test]
    fn the_latest_answer_about_a_user_counts() {
        let mut revocations = Revocations::default();
        let entry = |name: Value, roles: &[&str]| {
            let sub = &claims(0)["sub"];
            json!({ "sub": sub, "username": name, "roles": roles, "until": "2999-01-01T00:00:00Z" })
        };
        revocations
            .add(&answer(json!([]), json!([entry(json!("ada"), &["user"]), entry(json!("ada"), &[])])));
        assert_eq!(standing(&revocations, claims(0)), Standing::OwnerChanged);
        revocations.add(&answer(json!([]), json!([entry(json!("grace"), &["user"])])));
        assert_eq!(standing(&revocations, claims(0)), Standing::OwnerChanged);
        revocations.add(&answer(json!([]), json!([entry(json!(null), &["user"])])));
        assert_eq!(standing(&revocations, claims(0)), Standing::Good);
        assert_eq!(
            standing(&revocations, with(claims(0), "roles", json!(["user", "user"]))),
            Standing::OwnerChanged
        );
    }

    #[test]
    fn knowledge_is_as_old_as_the_request_and_what_the_answer_adds() {
        let seconds = Duration::from_secs;
        let mut revocations = Revocations::default();
        revocations.set_complete(seconds(100), 300);
        assert_eq!(revocations.age(seconds(101)), Duration::from_millis(1_300));
        // What was complete stays so.
        revocations.prolong(seconds(100), 900);
        assert_eq!(revocations.age(seconds(101)), Duration::from_millis(1_300));
        // Unless roles may have gone back.
        revocations.set_complete(seconds(100), 900);
        assert_eq!(revocations.age(seconds(101)), Duration::from_millis(1_900));
    }
}
