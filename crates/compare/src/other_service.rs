//! Another service: it verifies access tokens by itself, with dualauth's library, and follows revocations. How long it accepts a
//! token after a logout is measured.

use std::env::{self, VarError};
use std::net::SocketAddr;

use actix_web::web::Data;
use actix_web::{App, HttpResponse, HttpServer, get};
use dualauth_verify::actix::Authenticated;
use dualauth_verify::{BuildError, Verifier, WhenStale};
use serde_json::json;

use super::CompareError;
use super::test_user::{PreparedRequest, TestUser};

/// The path that is answered by 200 once it has dualauth's keys and revocations.
pub(super) const HEALTH: &str = "/health";

const ISSUER: &str = "FOLLOWED_ISSUER";
const URL: &str = "FOLLOWED_URL";
const CLIENT_ID: &str = "FOLLOWED_CLIENT_ID";
const CLIENT_SECRET: &str = "FOLLOWED_CLIENT_SECRET";

/// Why the other service can't be started.
#[derive(Debug, thiserror::Error)]
pub enum OtherServiceError {
    /// A setting is missing.
    #[error("{0}: {1}")]
    Setting(&'static str, VarError),
    /// The verifier can't be made.
    #[error(transparent)]
    Verifier(#[from] BuildError),
    /// It can't bind its address.
    #[error(transparent)]
    Address(#[from] std::io::Error),
}

/// The id and secret of a registered client.
#[derive(Clone)]
pub(super) struct ClientCredentials {
    id: String,
    secret: String,
}

impl ClientCredentials {
    /// Reads what `dualauth client create` prints. `None` if it is something else.
    pub(super) fn read(printed: &str) -> Option<Self> {
        let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        Some(Self { id: value("client_id: ")?, secret: value("client_secret: ")? })
    }
}

/// Its settings. They travel in the environment: arguments can be read by every user of the machine.
pub(super) struct Settings {
    /// The `iss` and `aud` of tokens.
    pub(super) issuer: String,
    /// Where dualauth is reached.
    pub(super) url: String,
    /// As whom it follows revocations. `None`: it does not, and verifies signatures only.
    pub(super) client: Option<ClientCredentials>,
}

impl Settings {
    /// As names and values of the environment.
    pub(super) fn to_environment(&self) -> Vec<(String, String)> {
        let client =
            self.client.as_ref().map(|client| [(CLIENT_ID, &client.id), (CLIENT_SECRET, &client.secret)]);
        let settings =
            [(ISSUER, &self.issuer), (URL, &self.url)].into_iter().chain(client.into_iter().flatten());
        settings.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    fn from_environment() -> Result<Self, OtherServiceError> {
        let required = |name| env::var(name).map_err(|error| OtherServiceError::Setting(name, error));
        let client = match env::var(CLIENT_ID) {
            Err(VarError::NotPresent) => None,
            _ => Some(ClientCredentials { id: required(CLIENT_ID)?, secret: required(CLIENT_SECRET)? }),
        };
        Ok(Self { issuer: required(ISSUER)?, url: required(URL)?, client })
    }

    fn verifier(self) -> Result<Verifier, BuildError> {
        let verifier = Verifier::builder(&self.issuer, &self.issuer).url(self.url);
        // On a busy machine it may lose touch for a moment: a longer delay is measured then, while a 503 would end the run.
        let verifier = verifier.when_stale(WhenStale::Serve);
        match self.client {
            Some(ClientCredentials { id, secret }) => verifier.client(id, secret),
            None => verifier,
        }
        .build()
    }
}

/// Serves until the process is stopped, once dualauth has answered.
///
/// # Errors
/// When a setting is missing, or it can't bind the address.
pub async fn serve(listen: SocketAddr) -> Result<(), OtherServiceError> {
    let verifier = Settings::from_environment()?.verifier()?;
    verifier.ready().await;
    let verifier = Data::new(verifier);
    let app = move || App::new().app_data(verifier.clone()).service(me).service(health);
    Ok(HttpServer::new(app).workers(1).bind(listen)?.run().await?)
}

#[get("/me")]
async fn me(user: Authenticated) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "sub": user.sub, "username": user.username }))
}

#[get("/health")]
async fn health() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// The request to it with the user's access token, which it takes in `Authorization` only.
pub(super) fn call(user: &TestUser, host: &str) -> Result<PreparedRequest, CompareError> {
    let value = |name| user.value(name).ok_or(CompareError::Internal("no access token"));
    let (token, username) = (value("access")?, value("username")?);
    let request = format!("GET /me HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
    let owner = format!("\"username\":\"{username}\"");
    Ok(PreparedRequest { request: request.into_bytes(), status: 200, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registers_a_client_prints_is_read() {
        let client = ClientCredentials::read("client_id: 7\nclient_secret: duc_x\n").expect("both");
        assert_eq!((client.id.as_str(), client.secret.as_str()), ("7", "duc_x"));
        assert!(ClientCredentials::read("client_id: 7\n").is_none());
    }
}
