//! What is asked, and how long the answer takes, over one connection that stays open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use url::Url;

/// What may be asked about an address that somebody else has.
#[derive(Clone, Copy)]
pub(crate) enum Question {
    ResetPassword,
    Login,
    Register,
}

impl Question {
    pub(crate) const ALL: [Self; 3] = [Self::ResetPassword, Self::Login, Self::Register];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset_password",
            Self::Login => "login",
            Self::Register => "register",
        }
    }

    /// As it is sent. Every address is asked about once, and both kinds are of one length.
    pub(crate) fn request(self, whose: Whose, number: usize) -> String {
        let email = format!("{}{number:06}@example.com", whose.name());
        let (path, body) = match self {
            Self::Register => ("/jwt/register", registration(&email)),
            _ => ("/challenges", json!({"for": self.name(), "method": "email", "email": email})),
        };
        let body = body.to_string();
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// Whose address it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// An account's.
    Known,
    /// Nobody's.
    Unknown,
}

impl Whose {
    fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "other",
        }
    }
}

/// With a username that nobody has.
fn registration(email: &str) -> Value {
    let username = format!("new-{}", email.split('@').next().unwrap_or_default());
    json!({"username": username, "email": email, "password": "a quiet lantern over the weir"})
}

/// Adds as many accounts, whose addresses are the known ones.
pub(crate) async fn add_accounts(database: &Url, number: usize) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database.as_str()).await?;
    sqlx::query(
        "insert into dualauth.users (id, username, email, password_hash, roles, created_at)
         select gen_random_uuid(), name, name || '@example.com', 'none', '{user}', now()
         from (select 'known' || lpad(number::text, 6, '0') as name from generate_series(0, $1) number) names",
    )
    .bind(i32::try_from(number)?)
    .execute(&mut connection)
    .await?;
    sqlx::raw_sql("analyze dualauth.users").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Somebody with one connection.
pub(crate) struct Asker {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Asker {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: vec![0; 16_384] })
    }

    /// How long it takes until the whole answer is there, which has to be a challenge.
    pub(crate) fn ask(&mut self, request: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let mut length = 0;
        loop {
            let read = self.stream.read(self.answer.get_mut(length..).unwrap_or_default())?;
            let time = began.elapsed();
            ensure!(read > 0, "no whole answer");
            length += read;
            let answer = std::str::from_utf8(self.answer.get(..length).unwrap_or_default())?;
            if is_whole(answer)? {
                match answer.get(9..12) {
                    Some("201" | "202") => return Ok(time),
                    _ => bail!("{request}\nwas answered by\n{answer}"),
                }
            }
        }
    }
}

fn is_whole(answer: &str) -> anyhow::Result<bool> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Ok(false) };
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    Ok(body.len() >= length.trim().parse::<usize>()?)
}
