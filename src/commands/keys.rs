//! `keys`: lists, rotates, retires and resets the signing keys, while nodes are running.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use crate::app::PostgresStorage;
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::{Config, JwtAlgorithm};
use crate::jwt::{Keys, ListedKey, Rotated};

use super::output::to_seconds;
use super::{Failure, print_line};

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// List every key, with its state and dates
    List,
    /// Make the next key the active one, and publish a new next key
    Rotate(RotateKeyArgs),
    /// Retire a key that is not active: its tokens are refused from now on
    Retire(RetireKeyArgs),
    /// Generate new keys, and refuse every access token issued so far: for an APP_SECRET that is lost or compromised
    Reset,
}

#[derive(Args)]
pub(super) struct RotateKeyArgs {
    /// The algorithm of the new next key: HS256, EdDSA, ES256 or RS256; by default the same as before
    #[arg(long, value_name = "NAME", value_parser = algorithm)]
    algorithm: Option<JwtAlgorithm>,
}

#[derive(Args)]
pub(super) struct RetireKeyArgs {
    /// The key's id, as in `keys list`
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true)]
    kid: String,
}

const RESET: &str = "New keys were generated, and every access token issued so far is refused.
Nodes that run with another APP_SECRET can't sign any more: restart them with this one.";

fn algorithm(name: &str) -> Result<JwtAlgorithm, String> {
    JwtAlgorithm::of_name(name).ok_or_else(|| "expected HS256, EdDSA, ES256 or RS256".to_owned())
}

pub(super) async fn manage(command: KeysCommand, config: &Config) -> Result<(), Failure> {
    let storage = PostgresStorage::open(config).await?;
    let outcome = run(&storage, command, config).await;
    storage.trail.write_all().await;
    storage.close().await;
    print_line(&outcome?)
}

async fn run(storage: &PostgresStorage, command: KeysCommand, config: &Config) -> Result<String, Failure> {
    let secret = storage.app_secret(config).await?;
    let keys = storage.keys(config, &secret, &Clock::system())?;
    match command {
        KeysCommand::List => list(&keys).await,
        KeysCommand::Rotate(RotateKeyArgs { algorithm }) => {
            Ok(describe(&keys.rotate(algorithm, &Actor::OPERATOR).await?))
        }
        KeysCommand::Retire(RetireKeyArgs { kid }) => {
            keys.retire(&kid, &Actor::OPERATOR).await?;
            Ok(format!("{kid} is retired: its tokens are refused."))
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
        let until = to_seconds(*until);
        text.push_str(&format!(
            "\nThe active key was published only recently: services with a cached jwks.json may not know it until {until}."
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
        let date = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), to_seconds);
        let dates = [Some(created_at), activated_at, superseded_at, verify_until].map(date);
        let [published, active, superseded, until] = dates.each_ref().map(String::as_str);
        lines.push(row([&kid, &algorithm, state.as_str(), published, active, superseded, until]));
    }
    Ok(lines.join("\n"))
}
