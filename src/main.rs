//! The command line.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use dualauth::app::{self, Node, Storage};
use dualauth::clock::Clock;
use dualauth::config::{Config, LogFormat};
use dualauth::telemetry;
use dualauth::users::{Field, NewUser, RegisterError};
use secrecy::SecretString;

type Failure = Box<dyn std::error::Error>;

/// Sessions and JWTs, side by side, over one login record.
///
/// Settings come from the environment and from `.env`; `.env.example` lists them. Without DATABASE_URL a private
/// Postgres runs below .data/.
#[derive(Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service (what happens without a command, too)
    Serve,
    /// Bring the database's schema up to date, and exit
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    /// Look after users
    #[command(subcommand)]
    User(UserCommand),
}

#[derive(Subcommand)]
enum UserCommand {
    /// Open an account. The password is read from standard input
    Create(CreateUser),
}

#[derive(Args)]
struct CreateUser {
    /// 3 to 64 ASCII letters, digits, and the characters _ . -
    #[arg(long, value_name = "NAME")]
    username: String,
    /// The user's address
    #[arg(long, value_name = "EMAIL")]
    email: String,
    /// Give the user the role `admin`
    #[arg(long)]
    admin: bool,
}

fn main() -> ExitCode {
    let command = CommandLine::parse().command.unwrap_or(Command::Serve);
    // Settings first: reading .env sets variables, which is safe only while there is one thread.
    let outcome = Config::from_env().map_err(Failure::from).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(command, config))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where this can't be written, nothing can.
            let _ = writeln!(std::io::stderr(), "dualauth: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, config: Config) -> Result<(), Failure> {
    telemetry::start(&config.log);
    match command {
        Command::Serve => serve(config).await,
        Command::Migrate => migrate(&config).await,
        Command::Openapi => say(&app::document(&config)?),
        Command::User(UserCommand::Create(user)) => create_user(&config, user).await,
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    for setting in &config.ignored {
        tracing::warn!("{setting} is set, but this version does not have that setting: it changes nothing");
    }
    let format = config.log.format;
    let node = app::start(config, Clock::system()).await?;
    greet(&node, format)?;
    stop_signal().await?;
    tracing::info!("stopping");
    node.stop().await;
    Ok(())
}

fn greet(node: &Node, format: LogFormat) -> Result<(), Failure> {
    let url = node.public_url();
    if format == LogFormat::Json {
        tracing::info!(address = %node.address(), url, docs = %format!("{url}/docs/"), "ready");
        return Ok(());
    }
    say(&format!("dualauth {} listens on {}", env!("CARGO_PKG_VERSION"), node.address()))?;
    say(&format!("  Swagger UI  {url}/docs/"))?;
    if let Some(postgres) = node.private_postgres() {
        say(&format!("  Postgres    {postgres}"))?;
    }
    say("Ctrl-C stops it.")
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    Storage::open(config).await?.close().await;
    say("The database is up to date.")
}

async fn create_user(config: &Config, user: CreateUser) -> Result<(), Failure> {
    let password = read_password()?;
    let storage = Storage::open(config).await?;
    let accounts = storage.accounts(config, &Clock::system())?;
    let new = NewUser { username: user.username, email: user.email, password, admin: user.admin };
    let outcome = accounts.register(&new).await;
    storage.close().await;
    let user = outcome.map_err(|error| describe(&error))?;
    say(&format!("user_id: {}\nusername: {}\nroles: {}", user.id, user.username, user.roles.join(", ")))
}

/// From a terminal without showing it; else the first line of standard input.
fn read_password() -> Result<SecretString, Failure> {
    if std::io::stdin().is_terminal() {
        return Ok(SecretString::from(rpassword::prompt_password("Password: ")?));
    }
    let mut input = zeroize::Zeroizing::new(String::new());
    std::io::stdin().read_to_string(&mut input)?;
    Ok(SecretString::from(input.lines().next().unwrap_or_default()))
}

fn describe(error: &RegisterError) -> String {
    let RegisterError::Invalid(invalid) = error else { return error.to_string() };
    let lines = invalid.iter().map(|invalid| {
        let field = match invalid.field {
            Field::Username => "username",
            Field::Email => "email",
            Field::Password => "password",
        };
        format!("{field} {}", invalid.detail)
    });
    lines.collect::<Vec<_>>().join("; ")
}

async fn stop_signal() -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.map_err(Failure::from),
        _ = terminate.recv() => Ok(()),
    }
}

/// To standard output, which may be gone.
fn say(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(Failure::from)
}
