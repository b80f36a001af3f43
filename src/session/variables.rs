//! Session data: a user's variables on the server, by key, as JSON values.
//!
//! They are read from Postgres and merged there, key by key, so that concurrent writes of different keys don't overwrite
//! each other.

use std::fmt::Write;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::error::{FieldError, Problem};

/// The format of a key, for the OpenAPI document and errors.
pub(super) const KEY: &str = "1 to 64 ASCII letters, digits, and the characters `_ . -`.";

const MAX_KEY: usize = 64;

/// The maximum size of a value, in bytes of its JSON text.
const MAX_VALUE: usize = 4 * 1024;

/// The maximum size of the object of all keys, in bytes of its JSON text.
const MAX_TOTAL: i64 = 64 * 1024;

/// A key, from the path.
#[derive(Debug)]
pub(super) struct VariableName(String);

impl FromRequest for VariableName {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let key = request.match_info().query("key");
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let is_key = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(allowed);
        let wrong = || FieldError { pointer: String::new(), detail: format!("the key must be {KEY}") };
        ready(if is_key { Ok(Self(key.to_owned())) } else { Err(Problem::validation(vec![wrong()])) })
    }
}

/// The outcome of storing a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoreOutcome {
    Stored,
    /// The value is too large, or the object would be.
    TooLarge(&'static str),
    /// The login has ended.
    LoginEnded,
}

/// The variables of all sessions.
#[derive(Clone, Debug)]
pub struct SessionDataStore(ConnectionPool);

impl SessionDataStore {
    /// The session data in a database.
    pub fn new(pool: ConnectionPool) -> Self {
        Self(pool)
    }

    /// The JSON text of an object with a member for each key.
    pub(super) async fn all(&self, login: Uuid) -> Result<String, DatabaseError> {
        let query = sqlx::query!(
            r#"select key as "key!", value as "value!"
               from dualauth.session_data, jsonb_each_text(data) where login_id = $1 order by key"#,
            login,
        );
        let mut object = String::from("{");
        for row in answer(query.fetch_all(&self.0)).await? {
            let comma = if object.len() > 1 { "," } else { "" };
            // Keys need no escaping in JSON (see `VariableName`). Writing to a string can't fail.
            let _ = write!(object, "{comma}\"{}\":{}", row.key, row.value);
        }
        object.push('}');
        Ok(object)
    }

    /// The JSON text of one value.
    pub(super) async fn get(&self, login: Uuid, key: &VariableName) -> Result<Option<String>, DatabaseError> {
        let query = sqlx::query_scalar!(
            "select data ->> $2 from dualauth.session_data where login_id = $1",
            login,
            key.0
        );
        Ok(answer(query.fetch_optional(&self.0)).await?.flatten())
    }

    /// Stores a value, given as its JSON text.
    pub(super) async fn put(
        &self,
        login: Uuid,
        key: &VariableName,
        value: &str,
    ) -> Result<StoreOutcome, DatabaseError> {
        if value.len() > MAX_VALUE {
            return Ok(StoreOutcome::TooLarge("A value has 4 KiB at most."));
        }
        // A concurrent writer waits for the row lock, and its total size is then computed with the first one's data. Each
        // member takes two quotes, a colon and a comma besides its key and value.
        let put = sqlx::query!(
            r#"with live as (
                 select id from dualauth.logins where id = $1 and ended_at is null
               ), kept as (
                 insert into dualauth.session_data as old (login_id, data)
                 select id, jsonb_build_object($2::text, $3::text) from live
                 on conflict (login_id) do update set data = old.data || excluded.data
                 where (select 1 + sum(octet_length(key) + octet_length(value) + 4)
                        from jsonb_each_text(old.data || excluded.data)) <= $4
                 returning 1
               )
               select exists (select from live) as "live!", exists (select from kept) as "kept!""#,
            login,
            key.0,
            value,
            MAX_TOTAL as f64,
        );
        let row = answer(put.fetch_one(&self.0)).await?;
        Ok(match (row.live, row.kept) {
            (_, true) => StoreOutcome::Stored,
            (true, false) => StoreOutcome::TooLarge("All that a session keeps has 64 KiB at most."),
            (false, false) => StoreOutcome::LoginEnded,
        })
    }

    /// Deletes a key, if it exists.
    pub(super) async fn delete(&self, login: Uuid, key: &VariableName) -> Result<(), DatabaseError> {
        let delete = sqlx::query!(
            "update dualauth.session_data set data = data - $2::text where login_id = $1",
            login,
            key.0
        );
        answer(delete.execute(&self.0)).await.map(drop)
    }
}
