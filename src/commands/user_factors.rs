//! `user factors`: prints the factors of a user, and resets those of somebody who has lost them.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::Failure;
use super::audit::escape_control_chars;
use super::output::to_seconds;
use crate::audit::Actor;
use crate::factors::administration::{AccountFactors, FactorAdministration};
use crate::factors::passkey::ListedPasskey;
use crate::factors::provider::StoredIdentity;
use crate::factors::second_factor::ListedTotp;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct UserFactorsArgs {
    #[command(subcommand)]
    command: Option<UserFactorsCommand>,
    /// A username or an email
    #[arg(required = true)]
    name: Option<String>,
}

#[derive(Subcommand)]
enum UserFactorsCommand {
    /// Remove every second factor, passkey and recovery code of a user, and end all their logins. The password stays
    Reset {
        /// A username or an email
        name: String,
    },
}

/// Runs the subcommand. `rp_id` is the one under which passkeys can be used, `providers` are the names of today's.
pub(super) async fn manage(
    factors: &FactorAdministration,
    args: &UserFactorsArgs,
    rp_id: Option<&str>,
    providers: &[&str],
) -> Result<String, Failure> {
    match (&args.command, &args.name) {
        (Some(UserFactorsCommand::Reset { name }), _) => reset(factors, name).await,
        (None, name) => {
            let account = factors.show(name.as_deref().unwrap_or_default()).await?;
            Ok(lines(&account, rp_id, providers).join("\n"))
        }
    }
}

async fn reset(factors: &FactorAdministration, name: &str) -> Result<String, Failure> {
    let reset = factors.reset(name, &Actor::OPERATOR).await?;
    let told = format!(
        "{name} has no second factor and no passkey any more, and is signed out everywhere. Logins ended: {}",
        reset.logins
    );
    Ok(match reset.has_password {
        true => told,
        false => format!("{told}\nThere is no password, either: `dualauth user set-password` sets one."),
    })
}

fn lines(account: &AccountFactors, rp_id: Option<&str>, providers: &[&str]) -> Vec<String> {
    let AccountFactors { user, factors } = account;
    let yes_or_no = |is_so| if is_so { "yes" } else { "no" };
    let mut lines = vec![
        format!("user_id: {}", user.id),
        format!("username: {}", escape_control_chars(&user.username)),
        format!("password: {}", yes_or_no(factors.has_password)),
        format!("email_verified: {}", yes_or_no(factors.email_verified)),
        format!("two_step: {}", yes_or_no(factors.two_step)),
    ];
    lines.push(factors.totp.as_ref().map_or_else(|| "totp: no".to_owned(), totp));
    lines.extend(factors.passkeys.iter().map(|key| passkey(key, rp_id)));
    lines.extend(factors.providers.iter().map(|linked| provider(linked, providers)));
    lines.push(format!("recovery codes left: {}", factors.recovery_codes_left));
    lines
}

fn totp(totp: &ListedTotp) -> String {
    let ListedTotp { id, name, created_at, last_used_at } = totp;
    format!("totp: {id}, {}, name: {}", times(*created_at, *last_used_at), escape_control_chars(name))
}

/// The name comes last: it may be any text.
fn passkey(key: &ListedPasskey, rp_id: Option<&str>) -> String {
    let ListedPasskey { id, kind, name, synced, rp_id: registered, created_at, last_used_at } = key;
    let synced = if *synced { "synced" } else { "not synced" };
    let usable = if rp_id == Some(registered) { "" } else { " (can't be used: the RP ID has changed)" };
    format!(
        "{}: {id}, {synced}, RP ID {}{usable}, {}, name: {}",
        kind.as_str(),
        escape_control_chars(registered),
        times(*created_at, *last_used_at),
        escape_control_chars(name)
    )
}

/// The address comes last: a provider may say anything.
fn provider(linked: &StoredIdentity, providers: &[&str]) -> String {
    let StoredIdentity { id, provider, email, created_at, last_used_at, .. } = linked;
    let usable = if providers.contains(&&**provider) { "" } else { " (can't be used: not in PROVIDERS)" };
    format!(
        "provider: {id}, {}{usable}, {}, email: {}",
        escape_control_chars(provider),
        times(*created_at, *last_used_at),
        email.as_deref().map_or_else(|| "none".into(), escape_control_chars)
    )
}

fn times(created_at: DateTime<Utc>, last_used_at: Option<DateTime<Utc>>) -> String {
    let last_used = last_used_at
        .map_or_else(|| "never used since".to_owned(), |at| format!("last used {}", to_seconds(at)));
    format!("created {}, {last_used}", to_seconds(created_at))
}
