//! Many who sign in at once, each with an account and a connection of their own.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;

use crate::{PASSWORD, USERNAME};

/// Makes as many users of the one there is: at one account alone, nobody may try so often.
pub(crate) async fn multiply_users(database: &Url, times: usize) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database.as_str()).await?;
    sqlx::query(
        "insert into dualauth.users (id, username, email, password_hash, roles, created_at)
         select gen_random_uuid(), username || number, number || email, password_hash, roles, created_at
         from dualauth.users, generate_series(1, $1) number",
    )
    .bind(i32::try_from(times)?)
    .execute(&mut connection)
    .await?;
    sqlx::raw_sql("analyze dualauth.users").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Everybody signs in at once, with the right password. Tells how many were let in.
pub(crate) async fn storm(address: SocketAddr, logins: usize) -> anyhow::Result<String> {
    let began = Instant::now();
    let mut attempts = JoinSet::new();
    for number in 1..=logins {
        attempts.spawn(attempt(address, format!("{USERNAME}{number}")));
    }
    let (mut signed_in, mut turned_away) = (0, 0);
    while let Some(answer) = attempts.join_next().await {
        match answer?? {
            true => signed_in += 1,
            false => turned_away += 1,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(format!("{signed_in} signed in, {turned_away} were told to come back, in {seconds:.1} s"))
}

/// Whether it was let in. Any answer but 200, and 503 with `Retry-After`, is an error.
async fn attempt(address: SocketAddr, username: String) -> anyhow::Result<bool> {
    let body = json!({"username": username, "password": PASSWORD, "transport": "bearer"}).to_string();
    let length = body.len();
    let request = format!(
        "POST /jwt/login HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    match answer.get(9..12) {
        Some("200") => Ok(true),
        Some("503") if answer.contains("\r\nretry-after: ") => Ok(false),
        _ => anyhow::bail!("a login was answered by:\n{answer}"),
    }
}
