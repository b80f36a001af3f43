//! `mail`: sends a test mail, and lists the mails that wait.

use std::time::Duration;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::app::{self, PostgresStorage};
use crate::clock::Clock;
use crate::config::Config;
use crate::mail::{self, Language, Mail, Message, WaitingMail};

use super::output::to_seconds;
use super::{Failure, print_line};

#[derive(Subcommand)]
pub(super) enum MailCommand {
    /// Send a test mail at once, past the queue, and print what the mail server answers
    Test(TestMailArgs),
    /// List the mails that wait to be sent, oldest first
    List,
}

#[derive(Args)]
pub(super) struct TestMailArgs {
    /// The address to send it to
    address: String,
    /// The language: en or de
    #[arg(long, value_name = "TAG", value_parser = language, default_value = "en")]
    language: Language,
}

/// Maximum number of mails that are listed.
const MOST: usize = 1_000;

const OFF: &str = "mails are off: set SMTP_URL (see docs/operations.md)";

fn language(tag: &str) -> Result<Language, String> {
    Language::of_tag(tag).ok_or_else(|| "expected en or de".to_owned())
}

pub(super) async fn manage(command: MailCommand, config: &Config) -> Result<(), Failure> {
    match command {
        MailCommand::Test(args) => send_test(args, config).await,
        MailCommand::List => list(config).await,
    }
}

async fn send_test(args: TestMailArgs, config: &Config) -> Result<(), Failure> {
    const TIME: Duration = Duration::from_secs(60);
    let delivery = app::mail_delivery(config)?.ok_or(OFF)?;
    let now = Clock::system().now();
    let mail = Mail { to: None, language: args.language, message: Message::Test, expires_at: now + TIME };
    delivery.connect().await?;
    let answer = delivery.send(Uuid::now_v7(), &args.address, &mail, now, TIME).await?;
    delivery.disconnect().await;
    print_line(&format!("sent from {}\n{answer}", delivery.from()))
}

async fn list(config: &Config) -> Result<(), Failure> {
    let storage = PostgresStorage::open(config).await?;
    let listed = listed(&storage, config).await;
    storage.close().await;
    print_line(&listed?)
}

async fn listed(storage: &PostgresStorage, config: &Config) -> Result<String, Failure> {
    let secret = storage.app_secret(config).await?;
    let mails = mail::waiting(&storage.pools.requests, &secret, MOST as i64).await?;
    if mails.is_empty() {
        return Ok("No mail waits.".to_owned());
    }
    let row = |cells: [&str; 5]| {
        let [since, next, until, tries, message] = cells;
        format!("{since:<22}{next:<22}{until:<22}{tries:<7}{message}")
    };
    let header = row(["waits since", "next try", "expires", "tries", "message"]);
    let rows = mails.iter().map(|WaitingMail { created_at, send_at, expires_at, tries, message }| {
        let [since, next, until] = [created_at, send_at, expires_at].map(|at| to_seconds(*at));
        row([&since, &next, &until, &tries.to_string(), message.unwrap_or("(another APP_SECRET)")])
    });
    let more = (mails.len() == MOST).then(|| format!("Only the oldest {MOST} are listed."));
    Ok(std::iter::once(header).chain(rows).chain(more).collect::<Vec<_>>().join("\n"))
}
