//! `user list`: prints every user, page by page.

use chrono::SecondsFormat;
use clap::Args;
use serde_json::json;

use super::audit::{escape_control_chars, to_ascii_json};
use super::output::is_broken_pipe;
use super::{Failure, print_line};
use crate::users::{Accounts, UserWithDisabledAt};

#[derive(Args)]
pub(super) struct ListUsersArgs {
    /// Print each user as a JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the users as they are read, in the order of registration. A broken pipe is no failure.
pub(super) async fn list(accounts: &Accounts, args: &ListUsersArgs) -> Result<(), Failure> {
    match print(accounts, args).await {
        Err(failure) if is_broken_pipe(&failure) => Ok(()),
        outcome => outcome,
    }
}

async fn print(accounts: &Accounts, args: &ListUsersArgs) -> Result<(), Failure> {
    let mut last = None;
    loop {
        let users = accounts.page(last).await?;
        let Some(end) = users.last() else { return Ok(()) };
        last = Some(end.user.id);
        for account in &users {
            print_line(&if args.json { object(account)? } else { line(account) })?;
        }
    }
}

/// Id, username, email, roles, time of registration and `disabled` or `-`, separated by tabs.
fn line(UserWithDisabledAt { user, disabled_at }: &UserWithDisabledAt) -> String {
    let [username, email] = [&user.username, &user.email].map(|text| escape_control_chars(text));
    let (roles, created_at) =
        (user.roles.join(","), user.created_at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let disabled = if disabled_at.is_some() { "disabled" } else { "-" };
    format!("{}\t{username}\t{email}\t{}\t{created_at}\t{disabled}", user.id, escape_control_chars(&roles))
}

fn object(UserWithDisabledAt { user, disabled_at }: &UserWithDisabledAt) -> Result<String, Failure> {
    let time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    to_ascii_json(&json!({
        "user_id": user.id,
        "username": user.username,
        "email": user.email,
        "roles": user.roles,
        "created_at": time(user.created_at),
        "disabled_at": disabled_at.map(time),
    }))
}
