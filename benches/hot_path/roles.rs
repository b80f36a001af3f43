//! What this program is as a child of itself: one of the servers that are compared.

use std::io::{Read, Write};
use std::net::SocketAddr;

use anyhow::Context;
use dualauth::app;
use dualauth::clock::Clock;
use dualauth::config::Config;
use dualauth::telemetry;
use secrecy::SecretString;

use crate::{bare, cpu};

/// Tells a child what it is.
pub(crate) const VARIABLE: &str = "DUALAUTH_BENCH_ROLE";

/// A server.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// An actix handler and nothing else.
    Bare,
    /// One that runs the query of the session look-up.
    BareLookup,
    /// The service as it is shipped.
    Node,
    /// The same, on every core.
    NodeOnAllCores,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareLookup => "bare_lookup",
            Self::Node => "node",
            Self::NodeOnAllCores => "node_on_all_cores",
        }
    }

    pub(crate) fn of_this_process() -> anyhow::Result<Option<Self>> {
        let Ok(name) = std::env::var(VARIABLE) else { return Ok(None) };
        let mut roles = [Self::Bare, Self::BareLookup, Self::Node, Self::NodeOnAllCores].into_iter();
        roles.find(|role| role.name() == name).map(Some).with_context(|| format!("no such role: {name}"))
    }
}

/// Serves, on one core as a rule, says where, and ends when standard input does: when the parent is gone, however it went.
pub(crate) fn play(role: Role) -> anyhow::Result<()> {
    // Before the runtime starts: actix takes as many workers as there are cores to run on.
    if !matches!(role, Role::NodeOnAllCores) {
        cpu::pin_to(&cpu::Cores::of_this_machine()?.servers)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match role {
            Role::Bare => bare::serve(None, announce).await,
            Role::BareLookup => bare::serve(Some(database_url()?), announce).await,
            Role::Node | Role::NodeOnAllCores => serve_node().await,
        }
    })
}

async fn serve_node() -> anyhow::Result<()> {
    let config = Config::from_vars(|name| std::env::var(name).ok())?;
    let _logging = telemetry::start(&config.log);
    let node = app::start(config, Clock::system()).await?;
    announce(node.address())?;
    parent_gone().await;
    node.stop().await;
    Ok(())
}

fn database_url() -> anyhow::Result<SecretString> {
    std::env::var("DATABASE_URL").map(SecretString::from).context("DATABASE_URL")
}

fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{address}")?;
    output.flush().context("telling the parent the address")
}

/// Waits in a thread of its own, which costs no CPU.
pub(crate) async fn parent_gone() {
    // Whatever comes of it, the parent says nothing more.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
}
