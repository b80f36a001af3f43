//! `user list`: every user, as many as there are.

use chrono::SecondsFormat;
use clap::Args;
use serde_json::json;

use super::audit::{in_ascii, printable};
use super::output::is_no_longer_read;
use super::{Failure, print_line};
use crate::users::{Account, Accounts};

#[derive(Args)]
pub(super) struct ListUsers {
    /// A JSON object for each user
    #[arg(long)]
    json: bool,
}

/// Prints them as they are read, in the order in which they were added. Whoever stops reading has read enough.
pub(super) async fn list(accounts: &Accounts, how: &ListUsers) -> Result<(), Failure> {
    match print(accounts, how).await {
        Err(failure) if is_no_longer_read(&failure) => Ok(()),
        outcome => outcome,
    }
}

async fn print(accounts: &Accounts, how: &ListUsers) -> Result<(), Failure> {
    let mut last = None;
    loop {
        let users = accounts.page(last).await?;
        let Some(end) = users.last() else { return Ok(()) };
        last = Some(end.user.id);
        for account in &users {
            print_line(&if how.json { object(account)? } else { line(account) })?;
        }
    }
}

/// Id, username, email, roles, since when, and whether they are disabled, with tabs in between.
fn line(Account { user, disabled_at }: &Account) -> String {
    let [username, email] = [&user.username, &user.email].map(|text| printable(text));
    let (roles, created_at) =
        (user.roles.join(","), user.created_at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let disabled = if disabled_at.is_some() { "disabled" } else { "-" };
    format!("{}\t{username}\t{email}\t{}\t{created_at}\t{disabled}", user.id, printable(&roles))
}

fn object(Account { user, disabled_at }: &Account) -> Result<String, Failure> {
    let time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    in_ascii(&json!({
        "user_id": user.id,
        "username": user.username,
        "email": user.email,
        "roles": user.roles,
        "created_at": time(user.created_at),
        "disabled_at": disabled_at.map(time),
    }))
}
