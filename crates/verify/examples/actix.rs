//! A service with actix-web. `cargo run --example actix -- 3000`; the settings are in the environment.

use std::env::{self, VarError};
use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::web::{Data, Json};
use actix_web::{App, HttpServer, get};
use dualauth_verify::actix::Authenticated;
use dualauth_verify::{Verifier, WhenStale};
use serde_json::{Value, json};

/// Whose token came with the request.
#[get("/me")]
async fn me(user: Authenticated) -> Json<Value> {
    Json(json!({ "sub": user.sub, "username": user.username, "roles": user.roles, "sid": user.sid }))
}

#[get("/health")]
async fn health(verifier: Data<Verifier>) -> Json<Value> {
    Json(json!({ "fresh": verifier.is_fresh() }))
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    // One for all workers.
    let verifier = Data::new(verifier()?);
    let app = move || App::new().app_data(verifier.clone()).service(me).service(health);

    let port: u16 = env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(app).workers(1).listen(listener)?.run();
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    Ok(server.await?)
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
