//! `client`: manages the registered OAuth clients, that is services that may introspect and revoke tokens.

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{Failure, output, print_line};
use crate::app::PostgresStorage;
use crate::audit::Actor;
use crate::clients::{Clients, RegisteredClient};
use crate::clock::Clock;
use crate::config::Config;
use crate::tokens::OpaqueToken;

#[derive(Subcommand)]
pub(super) enum ClientCommand {
    /// Register a service, and print its secret, which is shown only once
    Create(CreateClientArgs),
    /// List the registered services: id, name and time of registration, separated by tabs
    List,
    /// Delete a service: its secret is refused from now on
    Delete(ClientIdArgs),
}

#[derive(Args)]
pub(super) struct CreateClientArgs {
    /// The service's name: 1 to 64 printable characters
    name: String,
}

#[derive(Args)]
pub(super) struct ClientIdArgs {
    /// The id that `create` printed
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs a subcommand, and prints its result.
pub(super) async fn manage(command: ClientCommand, config: &Config) -> Result<(), Failure> {
    if matches!(command, ClientCommand::Create(_)) && output::is_dev_null() {
        return Err(
            "standard output is closed or /dev/null: the secret would be lost, so nothing was registered"
                .into(),
        );
    }
    let storage = PostgresStorage::open(config).await?;
    let clock = Clock::system();
    let clients = storage.clients(storage.logins(config, &clock), &clock);
    let outcome = match command {
        ClientCommand::Create(new) => create(&clients, &new.name).await,
        ClientCommand::List => list(&clients).await,
        ClientCommand::Delete(client) => delete(&clients, &client.id).await,
    };
    storage.trail.write_all().await;
    storage.close().await;
    outcome?.iter().try_for_each(|line| print_line(line))
}

async fn create(clients: &Clients, name: &str) -> Result<Vec<String>, Failure> {
    let print = |client: &RegisteredClient, secret: &OpaqueToken| {
        print_line(&format!("client_id: {}\nclient_secret: {}", client.id, secret.reveal()))
    };
    clients.create(name, &Actor::OPERATOR, print).await?;
    Ok(Vec::new())
}

async fn list(clients: &Clients) -> Result<Vec<String>, Failure> {
    let line = |client: &RegisteredClient| {
        let created_at = client.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!("{}\t{}\t{created_at}", client.id, client.name)
    };
    Ok(clients.list().await?.iter().map(line).collect())
}

async fn delete(clients: &Clients, id: &str) -> Result<Vec<String>, Failure> {
    let parsed: Uuid = id.parse().map_err(|_| format!("there is no client {id:?}: an id is a UUID"))?;
    clients.delete(parsed, &Actor::OPERATOR).await?;
    Ok(vec![format!("{parsed} is deleted: its secret is refused from now on.")])
}
