//! The command line: what it may say, and which file does it.

mod audit;
mod calibrate;
mod clients;
mod compare;
mod doctor;
mod import;
mod keys;
mod output;
mod serve;
mod signals;
mod user_list;
mod users;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{self, Storage};
use crate::config::{Config, ConfigError};
use crate::telemetry;

use self::output::print_line;

/// Why a command was not done, for a person to read.
pub type Failure = Box<dyn std::error::Error>;

/// Sessions and JWTs, side by side, over one login record.
///
/// Settings come from the environment and from `.env`; `.env.example` lists them. Without DATABASE_URL a private
/// Postgres runs below .data/.
#[derive(Parser)]
#[command(version)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Other(WithSettings),
    /// Look for what people get wrong, and say what to do about it. Changes nothing
    Doctor(doctor::DoctorArgs),
}

/// Those that can do nothing without.
#[derive(Subcommand)]
enum WithSettings {
    /// Run the service (what happens without a command, too)
    Serve,
    /// Bring the database's schema up to date, and exit
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    /// Look after users
    #[command(subcommand)]
    User(users::UserCommand),
    /// Find out what a password hash may cost
    #[command(subcommand)]
    Hash(calibrate::HashCommand),
    /// Look after the services that may ask about tokens
    #[command(subcommand)]
    Client(clients::ClientCommand),
    /// Look after the keys that access tokens are signed with
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show what has happened: who signed in, from where, in which mode, and so on
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Measure what sessions and JWTs cost on this machine, and how soon they end
    Compare(compare::CompareArgs),
}

/// Reads the command line.
///
/// # Errors
/// The exit code, when it asks for help, or can't be read: that has been said.
pub fn parse() -> Result<CommandLine, ExitCode> {
    CommandLine::try_parse().map_err(|error| {
        let code = if error.print().is_ok() { error.exit_code() } else { error.exit_code().max(1) };
        u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

/// Does what the command line says, by these settings.
///
/// # Errors
/// Whatever kept it from being done.
pub async fn run(command_line: CommandLine, config: Result<Config, ConfigError>) -> Result<(), Failure> {
    match command_line.command {
        // Wrong settings are among what it looks for. It says all that there is to say itself.
        Some(Command::Doctor(doctor)) => doctor::run(doctor, config).await,
        Some(Command::Other(command)) => with_settings(command, config?).await,
        None => with_settings(WithSettings::Serve, config?).await,
    }
}

async fn with_settings(command: WithSettings, config: Config) -> Result<(), Failure> {
    let _logging = telemetry::start(&config.log);
    match command {
        WithSettings::Serve => serve::serve(config).await,
        WithSettings::Migrate => migrate(&config).await,
        WithSettings::Openapi => print_line(&app::document(&config)?),
        WithSettings::User(command) => users::manage(command, &config).await,
        WithSettings::Hash(command) => calibrate::run(command, &config).await,
        WithSettings::Client(command) => clients::manage(command, &config).await,
        WithSettings::Keys(command) => keys::manage(command, &config).await,
        WithSettings::Audit(command) => audit::manage(command, &config).await,
        WithSettings::Compare(command) => compare::manage(command, &config).await,
    }
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    Storage::open(config).await?.close().await;
    print_line("The database is up to date.")
}
