//! `user`: manages users.

use std::io::{IsTerminal, Read};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::audit::escape_control_chars;
use super::import::{ImportUsersArgs, import};
use super::user_factors::{self, UserFactorsArgs};
use super::user_list::{ListUsersArgs, list};
use super::{Failure, print_line};
use crate::app::PostgresStorage;
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::Config;
use crate::mail::Language;
use crate::users::{Accounts, Field, RegisterError, RegistrationInput, ThreadPriority, UserWithDisabledAt};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Create an account. The password is read from standard input
    Create(CreateUserArgs),
    /// Import users from another system, with their password hashes
    Import(ImportUsersArgs),
    /// Print every user: id, username, email, roles, time of registration, and whether they are disabled
    List(ListUsersArgs),
    /// Print a user's account
    Show(UserNameArgs),
    /// Set a user's password, which is read from standard input, and end all their logins
    SetPassword(UserNameArgs),
    /// Delete a user with all their data, and end all their logins. The audit trail stays
    Delete(UserNameArgs),
    /// Disable a user: they can't sign in any more, and all their logins end
    Disable(UserNameArgs),
    /// Enable a disabled user: they can sign in again. Ended logins stay ended
    Enable(UserNameArgs),
    /// End every login of a user, in both modes
    Logout(UserNameArgs),
    /// Unlock an account that is locked after too many failed sign-ins
    Unlock(UserNameArgs),
    /// Declare a user's email to be theirs, as if they had proved it
    VerifyEmail(UserNameArgs),
    /// Print what a user can sign in with, or remove it all but the password
    Factors(UserFactorsArgs),
    /// Give a user a role, or take one away
    #[command(subcommand)]
    Role(RoleCommand),
}

#[derive(Subcommand)]
pub(super) enum RoleCommand {
    /// Give a user a role
    Add(RoleArgs),
    /// Take a role from a user
    Remove(RoleArgs),
}

#[derive(Args)]
pub(super) struct UserNameArgs {
    /// A username or an email
    #[arg(allow_hyphen_values = true)]
    name: String,
}

#[derive(Args)]
pub(super) struct RoleArgs {
    /// A username or an email
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// 1 to 64 ASCII letters, digits, and the characters _ . - :
    #[arg(allow_hyphen_values = true)]
    role: String,
}

#[derive(Args)]
pub(super) struct CreateUserArgs {
    /// 3 to 64 ASCII letters, digits, and the characters _ . - +; by default derived from the email
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// The user's address
    #[arg(long, value_name = "EMAIL", allow_hyphen_values = true)]
    email: String,
    /// Give the user the role `admin`
    #[arg(long)]
    admin: bool,
}

/// Runs a subcommand, and prints its result.
pub(super) async fn manage(command: UserCommand, config: &Config) -> Result<(), Failure> {
    let password = match &command {
        UserCommand::Create(_) | UserCommand::SetPassword(_) => read_password()?,
        _ => SecretString::default(),
    };
    let storage = PostgresStorage::open(config).await?;
    let mails = Arc::new(storage.mails(config, &Clock::system()).await?);
    let factors = storage.factor_administration(&Clock::system(), Arc::clone(&mails));
    let accounts = storage.accounts(config, &Clock::system(), mails, ThreadPriority::Normal)?;
    let outcome = match command {
        UserCommand::Create(user) => create(&accounts, user, password).await.map(Some),
        UserCommand::Import(users) => import(users, &storage).await.map(Some),
        UserCommand::List(args) => list(&accounts, &args).await.map(|()| None),
        UserCommand::Show(user) => show(&accounts, &user.name).await.map(Some),
        UserCommand::SetPassword(user) => set_password(&accounts, &user.name, &password).await.map(Some),
        UserCommand::Delete(user) => delete(&accounts, &user.name).await.map(Some),
        UserCommand::Disable(user) => set_disabled(&accounts, &user.name, true).await.map(Some),
        UserCommand::Enable(user) => set_disabled(&accounts, &user.name, false).await.map(Some),
        UserCommand::Logout(user) => log_out(&accounts, &user.name).await.map(Some),
        UserCommand::Unlock(user) => unlock(&accounts, &user.name).await.map(Some),
        UserCommand::VerifyEmail(user) => verify_email(&accounts, &user.name).await.map(Some),
        UserCommand::Factors(args) => {
            let rp_id = config.passkeys.rp_id.as_deref();
            let providers: Vec<_> = config.providers.iter().map(|provider| &*provider.name).collect();
            user_factors::manage(&factors, &args, rp_id, &providers).await.map(Some)
        }
        UserCommand::Role(command) => change_role(&accounts, command).await.map(Some),
    };
    storage.trail.write_all().await;
    storage.close().await;
    outcome?.map_or(Ok(()), |text| print_line(&text))
}

async fn create(
    accounts: &Accounts,
    user: CreateUserArgs,
    password: SecretString,
) -> Result<String, Failure> {
    let new = RegistrationInput {
        username: user.username,
        email: user.email,
        password,
        admin: user.admin,
        language: Language::default(),
    };
    let user = accounts.create(&new, &Actor::OPERATOR).await.map_err(|error| describe(&error))?;
    Ok(format!("user_id: {}\nusername: {}\nroles: {}", user.id, user.username, user.roles.join(", ")))
}

async fn show(accounts: &Accounts, name: &str) -> Result<String, Failure> {
    let (UserWithDisabledAt { user, disabled_at }, logins) = accounts.show(name).await?;
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let disabled = disabled_at.map_or_else(|| "no".to_owned(), |at| format!("since {}", time(at)));
    let [username, email] = [&user.username, &user.email].map(|text| escape_control_chars(text));
    Ok(format!(
        "user_id: {}\nusername: {username}\nemail: {email}\nemail_verified: {}\nroles: {}\ncreated_at: {}\ndisabled: {disabled}\nlive logins: {logins}",
        user.id,
        if user.email_verified { "yes" } else { "no" },
        escape_control_chars(&user.roles.join(", ")),
        time(user.created_at),
    ))
}

async fn set_password(accounts: &Accounts, name: &str, password: &SecretString) -> Result<String, Failure> {
    let ended = accounts.set_password(name, password, &Actor::OPERATOR).await?;
    Ok(format!("{name} has a new password, and is signed out everywhere. Logins ended: {ended}"))
}

async fn delete(accounts: &Accounts, name: &str) -> Result<String, Failure> {
    let ended = accounts.delete(name, &Actor::OPERATOR).await?;
    Ok(format!("{name} is deleted, and signed out everywhere. Logins ended: {ended}"))
}

async fn set_disabled(accounts: &Accounts, name: &str, disabled: bool) -> Result<String, Failure> {
    accounts.set_disabled(name, disabled, &Actor::OPERATOR).await?;
    Ok(match disabled {
        true => format!("{name} is disabled, and signed out everywhere."),
        false => format!("{name} may sign in again."),
    })
}

async fn log_out(accounts: &Accounts, name: &str) -> Result<String, Failure> {
    let ended = accounts.sign_out_by_name(name, &Actor::OPERATOR).await?;
    Ok(format!("{name} is signed out everywhere. Logins ended: {ended}"))
}

async fn unlock(accounts: &Accounts, name: &str) -> Result<String, Failure> {
    accounts.unlock(name, &Actor::OPERATOR).await?;
    Ok(format!("{name} is unlocked."))
}

async fn verify_email(accounts: &Accounts, name: &str) -> Result<String, Failure> {
    accounts.verify_email(name, &Actor::OPERATOR).await?;
    Ok(format!("The email of {name} is verified."))
}

async fn change_role(accounts: &Accounts, command: RoleCommand) -> Result<String, Failure> {
    let (name, roles) = match command {
        RoleCommand::Add(RoleArgs { name, role }) => {
            let roles = accounts.add_role(&name, &role, &Actor::OPERATOR).await?;
            (name, roles)
        }
        RoleCommand::Remove(RoleArgs { name, role }) => {
            let roles = accounts.remove_role(&name, &role, &Actor::OPERATOR).await?;
            (name, roles)
        }
    };
    Ok(format!("username: {name}\nroles: {}", roles.join(", ")))
}

/// Reads a password: from a terminal without echo, else the first line of standard input.
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
