//! `user`: looks after users.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::import::{ImportUsers, import};
use super::{Failure, say};
use crate::app::Storage;
use crate::clock::Clock;
use crate::config::Config;
use crate::users::{Accounts, Field, NewUser, RegisterError};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Open an account. The password is read from standard input
    Create(CreateUser),
    /// Take users over from another system, with the hashes of their passwords
    Import(ImportUsers),
    /// Let nobody sign in as this user any more, and end every login of theirs
    Disable(NamedUser),
    /// Let a disabled user sign in again. No login is revived
    Enable(NamedUser),
    /// End every login of a user, in both modes
    Logout(NamedUser),
    /// Let everybody try this user's password again, after too many failures
    Unlock(NamedUser),
    /// Give a user a role, or take one away
    #[command(subcommand)]
    Role(RoleCommand),
}

#[derive(Subcommand)]
pub(super) enum RoleCommand {
    /// Give a user a role
    Add(UserRole),
    /// Take a role from a user
    Remove(UserRole),
}

#[derive(Args)]
pub(super) struct NamedUser {
    /// A username or an email
    name: String,
}

#[derive(Args)]
pub(super) struct UserRole {
    /// A username or an email
    name: String,
    /// 1 to 64 ASCII letters, digits, and the characters _ . - :
    role: String,
}

#[derive(Args)]
pub(super) struct CreateUser {
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

/// Does one thing to one user, and says what came of it.
pub(super) async fn manage(command: UserCommand, config: &Config) -> Result<(), Failure> {
    let password = match &command {
        UserCommand::Create(_) => Some(read_password()?),
        _ => None,
    };
    let storage = Storage::open(config).await?;
    let accounts = storage.accounts(config, &Clock::system())?;
    let outcome = match (command, password) {
        (UserCommand::Create(user), password) => create(&accounts, user, password.unwrap_or_default()).await,
        (UserCommand::Import(users), _) => import(users, &storage).await,
        (UserCommand::Disable(user), _) => disable(&accounts, &user.name, true).await,
        (UserCommand::Enable(user), _) => disable(&accounts, &user.name, false).await,
        (UserCommand::Logout(user), _) => log_out(&accounts, &user.name).await,
        (UserCommand::Unlock(user), _) => unlock(&accounts, &user.name).await,
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

async fn unlock(accounts: &Accounts, name: &str) -> Result<String, Failure> {
    accounts.unlock(name).await?;
    Ok(format!("{name} may be signed in from everywhere."))
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
