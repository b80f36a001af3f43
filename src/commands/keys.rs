//! Looking after signing keys, while nodes sign with them.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};

use crate::app::Storage;
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::{Config, JwtAlgorithm};
use crate::jwt::{Keys, ListedKey, Rotated};

use super::{Failure, print_line};

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// List every key, with its state and dates
    List,
    /// Have the next key sign from now on, and publish another one as the next
    Rotate(RotateKeyArgs),
    /// Refuse what a key has signed from now on, if it does not sign any more
    Retire(Retire),
    /// Make new keys, and refuse every access token that is out: for an APP_SECRET that is lost, or known to others
    Reset,
}

#[derive(Args)]
pub(super) struct RotateKeyArgs {
    /// What the key that becomes the next one is for: HS256, EdDSA, ES256 or RS256. As before, if it is not given
    #[arg(long, value_name = "NAME", value_parser = algorithm)]
    algorithm: Option<JwtAlgorithm>,
}

#[derive(Args)]
pub(super) struct Retire {
    /// The key's name, as `keys list` has it
    kid: String,
}

const RESET: &str = "New keys were made, and every access token that was out is refused.
A node that runs with another APP_SECRET can't sign any more: restart it with this one.";

fn algorithm(name: &str) -> Result<JwtAlgorithm, String> {
    JwtAlgorithm::of_name(name).ok_or_else(|| "expected HS256, EdDSA, ES256 or RS256".to_owned())
}

pub(super) async fn manage(command: KeysCommand, config: &Config) -> Result<(), Failure> {
    let storage = Storage::open(config).await?;
    let outcome = with(&storage, command, config).await;
    storage.trail.write_all().await;
    storage.close().await;
    print_line(&outcome?)
}

async fn with(storage: &Storage, command: KeysCommand, config: &Config) -> Result<String, Failure> {
    let secret = storage.app_secret(config).await?;
    let keys = storage.keys(config, &secret, &Clock::system())?;
    match command {
        KeysCommand::List => list(&keys).await,
        KeysCommand::Rotate(RotateKeyArgs { algorithm }) => {
            Ok(describe(&keys.rotate(algorithm, &Actor::OPERATOR).await?))
        }
        KeysCommand::Retire(Retire { kid }) => {
            keys.retire(&kid, &Actor::OPERATOR).await?;
            Ok(format!("{kid} is retired: what it has signed is refused."))
        }
        KeysCommand::Reset => {
            keys.reset(&Actor::OPERATOR).await?;
            Ok(RESET.to_owned())
        }
    }
}

fn describe(rotated: &Rotated) -> String {
    let Rotated { active, next, superseded, unknown_until } = rotated;
    let mut text = format!("active: {active}\nnext: {next}\nverifying: {superseded}");
    if let Some(until) = unknown_until {
        let until = time(*until);
        text.push_str(&format!(
            "\nThe active key was published a moment ago: who remembers jwks.json may not know it until {until}."
        ));
    }
    text
}

async fn list(keys: &Keys) -> Result<String, Failure> {
    let row = |cells: [&str; 7]| {
        let [kid, algorithm, state, dates @ ..] = cells;
        let dates = dates.map(|date| format!("{date:<21}")).concat();
        format!("{kid:<44}{algorithm:<11}{state:<11}{dates}").trim_end().to_owned()
    };
    let header = ["kid", "algorithm", "state", "published", "active from", "superseded", "verifies until"];
    let mut lines = vec![row(header)];
    for key in keys.list().await? {
        let ListedKey { kid, algorithm, state, created_at, activated_at, superseded_at, verify_until } = key;
        let date = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), time);
        let dates = [Some(created_at), activated_at, superseded_at, verify_until].map(date);
        let [published, active, superseded, until] = dates.each_ref().map(String::as_str);
        lines.push(row([&kid, &algorithm, state.as_str(), published, active, superseded, until]));
    }
    Ok(lines.join("\n"))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
