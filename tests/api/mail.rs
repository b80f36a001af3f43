//! Mails: queued in Postgres, sent by any node.

mod commands;
mod folder;
mod nodes;
mod quota;
mod sending;
mod templates;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use dualauth::{
    clock::Clock,
    crypto::AppSecret,
    mail::{Language, Mail, MailedCode, Mails, Message, SealedMail},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{
    HOUR, MINUTE, PATIENCE, SECOND,
    cluster::Database,
    eventually,
    mail_server::{Conduct, MailServer},
    server::{APP_SECRET, METRICS, TestServer, beginning},
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
    insert(sql, mails(clock).seal(mail)).await
}

async fn insert(sql: &mut PgConnection, sealed: SealedMail) -> Uuid {
    let SealedMail { id, content, created_at, expires_at } = sealed;
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

pub async fn waiting(sql: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from dualauth.mails").fetch_one(sql).await.expect("a number")
}

/// How often the only mail was tried, and whether it was put off.
async fn waits(sql: &mut PgConnection) -> Option<(i16, bool)> {
    let query = sqlx::query_as("select tries, send_at > created_at from dualauth.mails");
    query.fetch_optional(sql).await.expect("a row or none")
}

/// How many mails had this outcome.
pub async fn sent(server: &TestServer, outcome: &str) -> f64 {
    server.metric(&format!("dualauth_mails_total{{outcome=\"{outcome}\"}}")).await
}

/// What the audit trail tells of mails that were given up.
pub async fn mail_failures(server: &TestServer) -> Vec<Value> {
    let query = sqlx::query_scalar(
        "select detail from dualauth.audit_events where event = 'mail_failed' order by id",
    );
    query.fetch_all(&mut server.sql().await).await.expect("events")
}
