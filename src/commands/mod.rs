//! The command line: subcommands, and which module runs each.

mod audit;
mod calibrate;
mod clients;
mod compare;
mod completions;
mod doctor;
mod health;
mod import;
mod keys;
mod mail;
mod manual;
mod output;
mod serve;
mod signals;
mod user_factors;
mod user_list;
mod users;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{self, PostgresStorage};
use crate::config::{Config, ConfigError};
use crate::telemetry;
use crate::version;

use self::output::print_line;

/// Why a command failed, as text for a person.
pub type Failure = Box<dyn std::error::Error>;

/// Sessions and JWTs, side by side, over one login record.
///
/// Settings come from the environment and from `.env`; `.env.example` lists them. Without DATABASE_URL a private
/// Postgres runs below .data/.
#[derive(Parser)]
#[command(version = version::with_commit())]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Other(WithSettings),
    /// Check the configuration, database and keys for common mistakes, and give advice. Changes nothing
    Doctor(doctor::DoctorArgs),
    /// Check whether the service on this machine is ready. Exit code 0: it is; 1: it is not, and standard error says why
    Health(health::HealthArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write a manual page (man, section 1) for each command
    Manual(manual::ManualArgs),
}

/// The subcommands that need valid settings.
#[derive(Subcommand)]
enum WithSettings {
    /// Run the service (the default)
    Serve,
    /// Migrate the database's schema, and exit
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    /// Manage users
    #[command(subcommand)]
    User(users::UserCommand),
    /// Measure the cost of password hashes
    #[command(subcommand)]
    Hash(calibrate::HashCommand),
    /// Manage OAuth clients: services that may introspect and revoke tokens
    #[command(subcommand)]
    Client(clients::ClientCommand),
    /// Manage the signing keys of access tokens
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Send a test mail, and list those that wait to be sent
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// Show the audit trail: who signed in, from where, in which mode, and so on
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Compare sessions and JWTs on this machine: cost, throughput and speed of revocation
    Compare(compare::CompareArgs),
}

/// Parses the command line.
///
/// # Errors
/// The exit code, for `--help` and for usage errors; the text was already printed.
pub fn parse() -> Result<CommandLine, ExitCode> {
    CommandLine::try_parse().map_err(|error| {
        let code = if error.print().is_ok() { error.exit_code() } else { error.exit_code().max(1) };
        u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

/// Runs the subcommand of the command line.
///
/// # Errors
/// The command's failure, or invalid settings.
pub async fn run(command_line: CommandLine, config: Result<Config, ConfigError>) -> Result<(), Failure> {
    match command_line.command {
        // `doctor` reports invalid settings itself, and does not log.
        Some(Command::Doctor(doctor)) => doctor::run(doctor, config).await,
        Some(Command::Health(health)) => health::run(health).await,
        Some(Command::Completions(completions)) => completions::run(&completions),
        Some(Command::Manual(manual)) => manual::run(&manual),
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
        WithSettings::Mail(command) => mail::manage(command, &config).await,
        WithSettings::Audit(command) => audit::manage(command, &config).await,
        WithSettings::Compare(command) => compare::manage(command, &config).await,
    }
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    PostgresStorage::open(config).await?.close().await;
    print_line("The database is up to date.")
}
