//! What a session keeps on the server: the variables that the other mode has no place for.
//!
//! Read from Postgres and merged there, key by key: two requests that write two keys at once both keep their write.

use std::fmt::Write;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use crate::database::{ConnectionPool, DatabaseError, answer};
use crate::error::{FieldError, Problem};

/// What a key may be, for the API's document.
pub(super) const KEY: &str = "1 to 64 ASCII letters, digits, and the characters `_ . -`.";

const MAX_KEY: usize = 64;

/// The largest value, in bytes of its JSON text.
const MAX_VALUE: usize = 4 * 1024;

/// The largest object of all keys, in bytes of its JSON text.
const MAX_TOTAL: i64 = 64 * 1024;

/// The name of a variable, from the path.
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

/// What became of a value that was to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PutOutcome {
    Kept,
    /// It is too large, or all together would be.
    TooLarge(&'static str),
    /// The login has ended.
    Over,
}

/// The variables of all sessions.
#[derive(Clone, Debug)]
pub struct SessionDataStore(ConnectionPool);

impl SessionDataStore {
    /// In this database.
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
            // A key has no character that JSON would escape. Writing to a string can't fail.
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

    /// Keeps a value, given as its JSON text.
    pub(super) async fn put(
        &self,
        login: Uuid,
        key: &VariableName,
        value: &str,
    ) -> Result<PutOutcome, DatabaseError> {
        if value.len() > MAX_VALUE {
            return Ok(PutOutcome::TooLarge("A value has 4 KiB at most."));
        }
        // A second writer waits for the first at the row, and is then judged by what the first one left. Each
        // member costs two quotes, a colon and a comma beside its key and its value.
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
            (_, true) => PutOutcome::Kept,
            (true, false) => PutOutcome::TooLarge("All that a session keeps has 64 KiB at most."),
            (false, false) => PutOutcome::Over,
        })
    }

    /// Forgets a key, if it is there.
    pub(super) async fn delete(&self, login: Uuid, key: &VariableName) -> Result<(), DatabaseError> {
        let delete = sqlx::query!(
            "update dualauth.session_data set data = data - $2::text where login_id = $1",
            login,
            key.0
        );
        answer(delete.execute(&self.0)).await.map(drop)
    }
}
