//! Mails: queued in Postgres, sent by any node.

mod sending;

use std::sync::Arc;

use chrono::Utc;
use dualauth::{
    clock::Clock,
    crypto::AppSecret,
    mail::{Language, Mail, MailedCode, Mails, Message, SealedMail},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{
    MINUTE,
    cluster::Database,
    mail_server::MailServer,
    server::{APP_SECRET, METRICS, TestServer},
};

/// Canaries: nobody else says them.
const ADDRESS: &str = "canary-address@example.org";
const CODE: &str = "31415926";

/// A server whose mails go to this one.
async fn server(mails: &MailServer) -> TestServer {
    TestServer::with(&[("SMTP_URL", &mails.url()), METRICS]).await
}

fn secret() -> AppSecret {
    AppSecret::new(APP_SECRET.into()).expect("long enough")
}

fn mails(clock: &Clock) -> Mails {
    Mails::new(None, &secret(), clock.clone())
}

fn code_for(to: Option<&str>, clock: &Clock) -> Mail {
    let message = Message::SignInCode(MailedCode { challenge: Uuid::nil(), code: CODE.to_owned() });
    mail(to, message, clock)
}

/// A mail that expires in ten minutes.
fn mail(to: Option<&str>, message: Message, clock: &Clock) -> Mail {
    let to = to.map(str::to_owned);
    Mail { to, language: Language::En, message, expires_at: clock.now() + 10 * MINUTE }
}

/// Queues a mail as a statement with a reason for one does.
async fn queue(sql: &mut PgConnection, mail: &Mail, clock: &Clock) -> Uuid {
    let SealedMail { id, content, created_at, expires_at } = mails(clock).seal(mail);
    sqlx::query(
        "insert into dualauth.mails (id, content, created_at, send_at, expires_at) values ($1, $2, $3, $3, $4)",
    )
    .bind(id)
    .bind(content)
    .bind(created_at)
    .bind(expires_at)
    .execute(sql)
    .await
    .expect("a row");
    id
}

async fn waiting(sql: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from dualauth.mails").fetch_one(sql).await.expect("a number")
}
