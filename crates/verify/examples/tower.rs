//! A service with axum. `cargo run --example tower -- 3000`; the settings are in the environment.

use std::env::{self, VarError};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Json, Router};
use dualauth_verify::tower::VerifyLayer;
use dualauth_verify::{Claims, Verifier, WhenStale};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Whose token came with the request.
async fn me(Extension(claims): Extension<Arc<Claims>>) -> Json<Value> {
    Json(json!({ "sub": claims.sub, "username": claims.username, "roles": claims.roles, "sid": claims.sid }))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let verifier = verifier()?;
    let protected = Router::new().route("/me", get(me)).route_layer(VerifyLayer::new(verifier.clone()));
    let health = move || async move { Json(json!({ "fresh": verifier.is_fresh() })) };
    let app = protected.route("/health", get(health));

    let port: u16 = env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async move {
        terminated.recv().await;
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop).await?)
}

fn verifier() -> anyhow::Result<Verifier> {
    let mut verifier = Verifier::builder(env::var("DUALAUTH_ISSUER")?, env::var("DUALAUTH_AUDIENCE")?);
    if let Some(url) = optional("DUALAUTH_URL")? {
        verifier = verifier.url(url);
    }
    if let Some(id) = optional("DUALAUTH_CLIENT_ID")? {
        verifier = verifier.client(id, env::var("DUALAUTH_CLIENT_SECRET")?);
    }
    if let Some(seconds) = optional("DUALAUTH_STALENESS_BOUND")? {
        verifier = verifier.staleness_bound(Duration::try_from_secs_f64(seconds.parse()?)?);
    }
    match optional("DUALAUTH_WHEN_STALE")?.as_deref() {
        None | Some("refuse") => {}
        Some("serve") => verifier = verifier.when_stale(WhenStale::Serve),
        Some(other) => anyhow::bail!("DUALAUTH_WHEN_STALE is serve or refuse, not {other}"),
    }
    Ok(verifier.build()?)
}

/// A setting, if the environment has it.
fn optional(name: &str) -> Result<Option<String>, VarError> {
    match env::var(name) {
        Err(VarError::NotPresent) => Ok(None),
        value => value.map(Some),
    }
}
