//! Imports users with their password hashes from another system.

use std::collections::{HashMap, HashSet};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent, Trail};
use crate::clock::Clock;
use crate::crypto;
use crate::database::{ConnectionPool, DatabaseError, answer};

use super::derived_username::{self, DerivedNames};
use super::passwords::check_hash;
use super::validation::{check_email, check_username};
use super::{USER_ROLE, store};

/// A user in the format of the import file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignUser {
    /// See `users/validation.rs` for the rules. `None`: derived from the email.
    pub username: Option<String>,
    /// See `users/validation.rs` for the rules.
    pub email: String,
    /// Any supported hash, or [`NO_PASSWORD`](super::NO_PASSWORD).
    pub password_hash: SecretString,
}

impl ForeignUser {
    /// The username, unless it is empty or repeats the email, as in systems where users sign in by email.
    fn own_username(&self) -> Option<&str> {
        let username = self.username.as_deref()?;
        (!username.is_empty() && !username.eq_ignore_ascii_case(&self.email)).then_some(username)
    }
}

/// A user without faults that can be detected from the file alone.
#[derive(Debug)]
pub struct CheckedUser {
    user: ForeignUser,
    /// Its number in the file.
    pub number: u64,
    /// Whether the hash allows to sign in by password.
    pub has_password: bool,
}

/// A reason why a user is not imported.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The invalid member.
    pub field: &'static str,
    /// What is wrong with it, as a continuation of a sentence with its name.
    pub why: String,
}

impl Refusal {
    fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.why)
    }
}

/// A part of a SHA-256 that is long enough for millions of names without collisions.
type NameHash = [u8; 12];

/// An import. Remembers a hash per name seen, to find duplicates.
pub struct Importer {
    pool: ConnectionPool,
    clock: Clock,
    trail: Trail,
    actor: Actor,
    is_dry_run: bool,
    /// Number of accounts that it has created.
    stored: usize,
    /// What users are numbered by: lines or users.
    unit: &'static str,
    /// The number of the user that has the username or email.
    seen: HashMap<NameHash, u64>,
}

impl Importer {
    /// An import into this database. A dry run changes nothing.
    pub fn new(
        pool: ConnectionPool,
        clock: Clock,
        trail: Trail,
        actor: Actor,
        is_dry_run: bool,
        unit: &'static str,
    ) -> Self {
        Self { pool, clock, trail, actor, is_dry_run, stored: 0, unit, seen: HashMap::new() }
    }

    /// Checks a user, and that no earlier one has the same names.
    ///
    /// # Errors
    /// All faults of the user.
    pub fn check(&mut self, number: u64, user: ForeignUser) -> Result<CheckedUser, Vec<Refusal>> {
        let hash = check_hash(user.password_hash.expose_secret());
        let has_password = *hash.as_ref().unwrap_or(&false);
        let checks = [
            ("username", user.own_username().map_or(Ok(()), check_username)),
            ("email", check_email(&user.email)),
            ("password_hash", hash.map(drop).map_err(|unusable| unusable.to_string())),
        ];
        let refusal =
            |(field, check): (_, Result<(), String>)| check.err().map(|why| Refusal::new(field, why));
        let refusals: Vec<Refusal> = checks.into_iter().filter_map(refusal).collect();
        if !refusals.is_empty() {
            return Err(refusals);
        }
        self.record_names(number, &user)?;
        Ok(CheckedUser { user, number, has_password })
    }

    fn record_names(&mut self, number: u64, user: &ForeignUser) -> Result<(), Vec<Refusal>> {
        let email = ("email", name_hash(&user.email));
        let username = user.own_username().map(|username| ("username", name_hash(username)));
        let names: Vec<(&str, NameHash)> = username.into_iter().chain([email]).collect();
        let earlier = |(field, hash): &(&'static str, NameHash)| {
            let earlier = self.seen.get(hash)?;
            Some(Refusal::new(field, format!("is that of {} {earlier}, too", self.unit)))
        };
        let refusals: Vec<Refusal> = names.iter().filter_map(earlier).collect();
        if !refusals.is_empty() {
            return Err(refusals);
        }
        self.seen.extend(names.into_iter().map(|(_, hash)| (hash, number)));
        Ok(())
    }

    /// Inserts accounts for these users in one statement. Returns the index of each user who got none, with the
    /// reasons.
    ///
    /// # Errors
    /// When the database does not respond: then none of them was inserted.
    pub async fn store(
        &mut self,
        users: &[CheckedUser],
    ) -> Result<Vec<(usize, Vec<Refusal>)>, DatabaseError> {
        let users = self.with_usernames(users).await?;
        let left: Vec<usize> = match self.is_dry_run {
            true => (0..users.len()).collect(),
            false => self.insert(&users).await?,
        };
        let taken = self.taken(&left.iter().map(|at| &users[*at]).collect::<Vec<_>>()).await?;
        let refused = left.into_iter().zip(taken).map(|(at, mut refusals)| {
            if refusals.is_empty() && !self.is_dry_run {
                refusals.push(Refusal::new("username", "or email was taken at that moment"));
            }
            (at, refusals)
        });
        Ok(refused.filter(|(_, refusals)| !refusals.is_empty()).collect())
    }

    /// Derives missing usernames.
    async fn with_usernames<'a>(
        &mut self,
        users: &'a [CheckedUser],
    ) -> Result<Vec<UserWithUsername<'a>>, DatabaseError> {
        let derived: Vec<Option<DerivedNames>> =
            users.iter().map(|CheckedUser { user, .. }| derive_missing(user)).collect();
        let wanted: Vec<String> =
            derived.iter().flatten().flat_map(|names| names.preferred.clone()).collect();
        let taken = store::taken_usernames(&self.pool, &wanted).await?;
        let named = users.iter().zip(derived).map(|(checked, derived)| {
            let username = match (derived, checked.user.own_username()) {
                (Some(names), _) => self.first_free_username(checked.number, names, &taken),
                (None, username) => username.unwrap_or_default().to_owned(),
            };
            UserWithUsername { username, user: &checked.user }
        });
        Ok(named.collect())
    }

    /// The first name that is free in the database and in the file so far.
    fn first_free_username(&mut self, number: u64, names: DerivedNames, taken: &HashSet<String>) -> String {
        let is_free = |name: &String| {
            !taken.contains(&name.to_ascii_lowercase()) && !self.seen.contains_key(&name_hash(name))
        };
        let username = names.preferred.into_iter().find(is_free).unwrap_or(names.fallback);
        self.seen.insert(name_hash(&username), number);
        username
    }

    /// Returns the indices of users that were not inserted because a name is taken.
    async fn insert(&mut self, users: &[UserWithUsername<'_>]) -> Result<Vec<usize>, DatabaseError> {
        let ids: Vec<Uuid> = users.iter().map(|_| Uuid::now_v7()).collect();
        let hash = |named: &UserWithUsername<'_>| named.user.password_hash.expose_secret().to_owned();
        let insert = sqlx::query_scalar!(
            "insert into dualauth.users (id, username, email, password_hash, roles, created_at)
             select id, username, email, password_hash, array[$5::text], $6
             from unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
               as new (id, username, email, password_hash)
             on conflict do nothing
             returning id",
            &ids,
            &column(users, |named| named.username.clone()),
            &column(users, |named| named.user.email.clone()),
            &column(users, hash),
            USER_ROLE,
            self.clock.now(),
        );
        let inserted: HashSet<Uuid> = answer(insert.fetch_all(&self.pool)).await?.into_iter().collect();
        self.stored += inserted.len();
        let places = ids.iter().enumerate();
        Ok(places.filter(|(_, id)| !inserted.contains(id)).map(|(at, _)| at).collect())
    }

    /// For each user, which of their names are taken.
    async fn taken(&self, users: &[&UserWithUsername<'_>]) -> Result<Vec<Vec<Refusal>>, DatabaseError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let look = sqlx::query!(
            r#"select
                 exists (select from dualauth.users where lower(users.username collate "C")
                     = lower(new.username collate "C")) as "username!",
                 exists (select from dualauth.users where lower(users.email collate "C")
                     = lower(new.email collate "C")) as "email!"
               from unnest($1::text[], $2::text[]) with ordinality as new (username, email, place)
               order by place"#,
            &column(users, |named| named.username.clone()),
            &column(users, |named| named.user.email.clone()),
        );
        let rows = answer(look.fetch_all(&self.pool)).await?;
        let refusals = rows.into_iter().map(|row| {
            let names = [("username", row.username), ("email", row.email)].into_iter();
            names.filter(|(_, taken)| *taken).map(|(field, _)| Refusal::new(field, "is taken")).collect()
        });
        Ok(refusals.collect())
    }
}

/// One audit event per import, also if it is aborted.
impl Drop for Importer {
    fn drop(&mut self) {
        if self.stored > 0 {
            let imported = NewEvent::new(Kind::UsersImported, &self.actor);
            self.trail.record(imported.with("users", self.stored));
        }
    }
}

/// A user with the final username.
struct UserWithUsername<'a> {
    username: String,
    user: &'a ForeignUser,
}

fn derive_missing(user: &ForeignUser) -> Option<DerivedNames> {
    user.own_username().is_none().then(|| derived_username::derive(&user.email))
}

fn column<U>(users: &[U], member: impl Fn(&U) -> String) -> Vec<String> {
    users.iter().map(member).collect()
}

/// The hash of a name in lower case. Usernames have no `@`, so they can't be equal to an email.
fn name_hash(name: &str) -> NameHash {
    let mut hash = NameHash::default();
    hash.copy_from_slice(&crypto::sha256(name.to_ascii_lowercase().as_bytes())[..12]);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{RequestAndBackgroundPools, UsualAndDirectRoutes};

    const HASH: &str = "$2b$04$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q";

    fn check(import: &mut Importer, line: u64, [username, email, hash]: [&str; 3]) -> Vec<String> {
        let user = ForeignUser {
            username: Some(username.to_owned()),
            email: email.to_owned(),
            password_hash: SecretString::from(hash),
        };
        let refusals = import.check(line, user).err().unwrap_or_default();
        refusals.iter().map(Refusal::to_string).collect()
    }

    fn import() -> Importer {
        let nowhere = UsualAndDirectRoutes::direct_to(&"postgres://nowhere".into(), "test").expect("a URL");
        let pools = RequestAndBackgroundPools::new(nowhere, 1);
        let trail = Trail::new(pools.upkeep, Clock::system());
        Importer::new(pools.requests, Clock::system(), trail, Actor::OPERATOR, true, "line")
    }

    #[tokio::test]
    async fn everything_that_is_wrong_with_a_line_is_said_and_no_hash_is_repeated() {
        let refusals = check(&mut import(), 2, ["a b", "nobody", "$1$a$secret"]);
        let fields: Vec<&str> = refusals.iter().filter_map(|refusal| refusal.split(' ').next()).collect();
        assert_eq!(fields, ["username", "email", "password_hash"]);
        assert!(!refusals.concat().contains("secret"), "{refusals:?}");
    }

    #[tokio::test]
    async fn a_name_is_that_of_the_first_line_that_is_right() {
        let import = &mut import();
        assert_eq!(check(import, 2, ["ada", "ada@example.org", "-"]).len(), 1);
        assert_eq!(check(import, 3, ["ada", "ada@example.org", HASH]), [""; 0]);
        let again = check(import, 4, ["ADA", "Ada@Example.org", HASH]);
        assert_eq!(again, ["username is that of line 3, too", "email is that of line 3, too"]);
        assert_eq!(check(import, 5, ["ada", "grace@example.org", HASH]).len(), 1);
        assert_eq!(check(import, 6, ["grace", "grace@example.org", HASH]), [""; 0]);
    }
}
