//! `serve`: runs the service until a signal stops it.

use super::signals::StopSignals;
use super::{Failure, doctor, print_line};
use crate::app::{self, RunningService};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::http::listener::Address;

/// Runs the service until a stop signal. A second signal, at least a second later, ends it at once.
pub(super) async fn serve(config: Config) -> Result<(), Failure> {
    for mistake in doctor::likely_mistakes(&config) {
        tracing::warn!("{mistake}");
    }
    let format = config.log.format;
    let mut signals = StopSignals::new()?;
    let node = tokio::select! {
        node = app::start(config, Clock::system()) => node?,
        () = signals.next() => return Ok(()),
    };
    // The service runs even if nobody reads its output.
    let _ = announce_ready(&node, format);
    signals.next().await;
    tracing::info!("stopping");
    tokio::select! {
        () = node.stop() => {}
        () = signals.next() => return Err("second stop signal: exiting immediately, shutdown incomplete".into()),
    }
    tracing::info!("stopped");
    Ok(())
}

fn announce_ready(node: &RunningService, format: LogFormat) -> Result<(), Failure> {
    let url = node.pages_url();
    let metrics = node.metrics_address().map(|address| match address {
        Address::Tcp(address) => format!("http://{address}/metrics"),
        Address::Unix(_) => format!("{address}, /metrics"),
    });
    if format == LogFormat::Json {
        tracing::info!(address = %node.address(), url, playground = %format!("{url}/"), docs = %format!("{url}/docs/"), metrics, "ready");
        return Ok(());
    }
    print_line(&format!("dualauth {} listens on {}", env!("CARGO_PKG_VERSION"), node.address()))?;
    print_line(&format!("  Playground  {url}/"))?;
    print_line(&format!("  Swagger UI  {url}/docs/"))?;
    if let Some(metrics) = metrics {
        print_line(&format!("  Metrics     {metrics}"))?;
    }
    if let Some(postgres) = node.private_postgres() {
        print_line(&format!("  Postgres    {postgres}"))?;
    }
    print_line("Ctrl-C stops it.")
}
