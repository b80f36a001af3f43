//! A service that is not ours: a process that verifies access tokens by itself, and follows revocations.

use std::net::SocketAddr;
use std::path::Path;

use tokio::process::Command;

use super::eventually;
use super::http::{Request, Response};
use super::program::{PROGRAM, Server};
use super::server::ONE_NAME;
use crate::oauth::Service;

/// The example of `crates/verify`, as a process.
pub struct OtherService(Server);

impl OtherService {
    /// A registered service that follows the node at this address, and knows all there is.
    pub async fn following(node: SocketAddr, client: &Service, settings: &[(&str, &str)]) -> Self {
        let examples = Path::new(PROGRAM).with_file_name("examples");
        let mut command = Command::new(examples.join("tower"));
        let (_, name) = ONE_NAME;
        command
            .env("DUALAUTH_ISSUER", name)
            .env("DUALAUTH_AUDIENCE", name)
            .env("DUALAUTH_URL", format!("http://{node}"))
            .env("DUALAUTH_CLIENT_ID", &client.id)
            .env("DUALAUTH_CLIENT_SECRET", &client.secret)
            .envs(settings.iter().copied())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        let service = Self(Server::of(command).await);
        service.is_to_be_fresh(true).await;
        service
    }

    /// Shows it a token.
    pub async fn me(&self, token: &str) -> Response {
        self.0.send(Request::get("/me").bearer(token)).await
    }

    /// Waits until it says that it knows enough, or that it does not.
    pub async fn is_to_be_fresh(&self, fresh: bool) {
        eventually("a service that knows what it knows", async || {
            self.0.send(Request::get("/health")).await.ok()["fresh"] == fresh
        })
        .await;
    }
}
