//! The command line.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use dualauth::app::{self, Node, Storage};
use dualauth::clock::Clock;
use dualauth::config::{Config, LogFormat};
use dualauth::telemetry;
use dualauth::users::{Accounts, Field, NewUser, RegisterError};
use secrecy::SecretString;

/// What a request allocates for a moment and what is remembered for hours come in turns. glibc lets them lie side by
/// side, and a remembered session then holds four times its own weight.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// Let nobody sign in as this user any more, and end every login of theirs
    Disable(NamedUser),
    /// Let a disabled user sign in again. No login is revived
    Enable(NamedUser),
    /// End every login of a user, in both modes
    Logout(NamedUser),
    /// Give a user a role, or take one away
    #[command(subcommand)]
    Role(RoleCommand),
}

#[derive(Subcommand)]
enum RoleCommand {
    /// Give a user a role
    Add(UserRole),
    /// Take a role from a user
    Remove(UserRole),
}

#[derive(Args)]
struct NamedUser {
    /// A username or an email
    name: String,
}

#[derive(Args)]
struct UserRole {
    /// A username or an email
    name: String,
    /// 1 to 64 ASCII letters, digits, and the characters _ . - :
    role: String,
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
    let _logging = telemetry::start(&config.log);
    match command {
        Command::Serve => serve(config).await,
        Command::Migrate => migrate(&config).await,
        Command::Openapi => say(&app::document(&config)?),
        Command::User(command) => manage(command, &config).await,
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
    tracing::info!("stopped");
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

async fn manage(command: UserCommand, config: &Config) -> Result<(), Failure> {
    let password = match &command {
        UserCommand::Create(_) => Some(read_password()?),
        _ => None,
    };
    let storage = Storage::open(config).await?;
    let accounts = storage.accounts(config, &Clock::system())?;
    let outcome = match (command, password) {
        (UserCommand::Create(user), password) => create(&accounts, user, password.unwrap_or_default()).await,
        (UserCommand::Disable(user), _) => disable(&accounts, &user.name, true).await,
        (UserCommand::Enable(user), _) => disable(&accounts, &user.name, false).await,
        (UserCommand::Logout(user), _) => log_out(&accounts, &user.name).await,
        (UserCommand::Role(command), _) => change_role(&accounts, command).await,
    };
    storage.close().await;
    say(&outcome?)
}

async fn create(accounts: &Accounts, user: CreateUser, password: SecretString) -> Result<String, Failure> {
    let new = NewUser { username: user.username, email: user.email, password, admin: user.admin };
    let user = accounts.register(&new).await.map_err(|error| describe(&error))?;
    Ok(format!("user_id: {}\nusername: {}\nroles: {}", user.id, user.username, user.roles.join(", ")))
}

async fn disable(accounts: &Accounts, name: &str, disabled: bool) -> Result<String, Failure> {
    accounts.set_disabled(name, disabled).await?;
    Ok(match disabled {
        true => format!("{name} is disabled, and signed out everywhere."),
        false => format!("{name} may sign in again."),
    })
}

async fn log_out(accounts: &Accounts, name: &str) -> Result<String, Failure> {
    let ended = accounts.sign_out_by_name(name).await?;
    Ok(format!("{name} is signed out everywhere. Logins ended: {ended}"))
}

async fn change_role(accounts: &Accounts, command: RoleCommand) -> Result<String, Failure> {
    let (name, roles) = match command {
        RoleCommand::Add(UserRole { name, role }) => {
            let roles = accounts.add_role(&name, &role).await?;
            (name, roles)
        }
        RoleCommand::Remove(UserRole { name, role }) => {
            let roles = accounts.remove_role(&name, &role).await?;
            (name, roles)
        }
    };
    Ok(format!("username: {name}\nroles: {}", roles.join(", ")))
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
            Field::Password | Field::NewPassword => "password",
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
