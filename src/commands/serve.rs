//! `serve`: the service, from its greeting to the signal that stops it.

use super::{Failure, say};
use crate::app::{self, Node};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};

/// Runs the service until a signal stops it.
pub(super) async fn serve(config: Config) -> Result<(), Failure> {
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
    let metrics = node.metrics_address().map(|address| format!("http://{address}/metrics"));
    if format == LogFormat::Json {
        tracing::info!(address = %node.address(), url, docs = %format!("{url}/docs/"), metrics, "ready");
        return Ok(());
    }
    say(&format!("dualauth {} listens on {}", env!("CARGO_PKG_VERSION"), node.address()))?;
    say(&format!("  Swagger UI  {url}/docs/"))?;
    if let Some(metrics) = metrics {
        say(&format!("  Metrics     {metrics}"))?;
    }
    if let Some(postgres) = node.private_postgres() {
        say(&format!("  Postgres    {postgres}"))?;
    }
    say("Ctrl-C stops it.")
}

async fn stop_signal() -> Result<(), Failure> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.map_err(Failure::from),
        _ = terminate.recv() => Ok(()),
    }
}
