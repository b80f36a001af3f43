//! A server under test: its own database, its own clock, whatever settings the test is about.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use dualauth::{
    app::{self, RunningService},
    clock::Clock,
    config::Config,
    crypto::random_bytes,
    http::listener::Address,
};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{
    PASSWORD,
    cluster::{self, Database},
    http::{Request, Response},
    proxy::Proxy,
};

/// What every test's server is set to, where the test says nothing else. Hashing is as cheap as it goes; the limits
/// on calls, which have tests of their own, are out of the way.
pub const CHEAP: &[(&str, &str)] = &[
    ("LISTEN", "127.0.0.1:0"),
    ("APP_SECRET", APP_SECRET),
    ("ARGON2_MEMORY_KIB", "64"),
    ("ARGON2_ITERATIONS", "1"),
    ("LOGIN_LIMIT", "1000000/1m"),
    ("REGISTER_LIMIT", "1000000/1m"),
    ("REFRESH_LIMIT", "1000000/1m"),
    ("MAIL_LIMIT", "1000000/1m"),
];

pub const APP_SECRET: &str = "the tests' own secret, 32 bytes and more";

/// The one name of several nodes, which they know each other's tokens by: alone, each is named after its own port.
pub const ONE_NAME: (&str, &str) = ("PUBLIC_URL", "http://auth.example.org");

/// What commands add to the trail has today's date, years before the server's clock: it would sweep that away.
const KEEPS_OLD_EVENTS: (&str, &str) = ("AUDIT_RETENTION", "3650d");

/// Has the server tell its metrics.
pub const METRICS: (&str, &str) = ("METRICS_LISTEN", "127.0.0.1:0");

/// When every test begins; far from now, so that whoever looks at another clock than the server's is found out.
pub fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_925_000_000, 0).expect("a time in 2031")
}

pub struct TestServer {
    node: Option<RunningService>,
    address: SocketAddr,
    database: Arc<Database>,
    settings: HashMap<String, String>,
    /// Where it would keep what belongs to a checkout. It is not there until somebody makes it.
    pub data_folder: PathBuf,
    pub clock: Clock,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Started with these settings; an empty value unsets one.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::on(Arc::new(Database::migrated().await), settings).await
    }

    /// Started on a database that may have other servers.
    pub async fn on(database: Arc<Database>, settings: &[(&str, &str)]) -> Self {
        let url = database.url().to_string();
        let all = [("DATABASE_URL", url.as_str()), KEEPS_OLD_EVENTS];
        let all = all.iter().chain(CHEAP).chain(settings);
        let settings = all.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::launch(database, settings, Clock::manual(beginning())).await
    }

    /// Started with a proxy between it and its Postgres.
    pub async fn behind_a_proxy(settings: &[(&str, &str)]) -> (Self, Proxy) {
        let database = Arc::new(Database::migrated().await);
        let proxy = Proxy::in_front_of(&database).await;
        let url = proxy.url().to_string();
        let settings: Vec<_> = [("DATABASE_URL", url.as_str())].iter().chain(settings).copied().collect();
        (Self::on(database, &settings).await, proxy)
    }

    /// A second node: same database, same settings, same clock.
    pub async fn another_node(&self) -> Self {
        self.another_node_with(&[]).await
    }

    /// A second node that is set to something else.
    pub async fn another_node_with(&self, settings: &[(&str, &str)]) -> Self {
        let mut all = self.settings.clone();
        all.extend(settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        Self::launch(self.database.clone(), all, self.clock.clone()).await
    }

    /// The same, with a proxy between it and the database.
    pub async fn another_node_behind_a_proxy(&self, settings: &[(&str, &str)]) -> (Self, Proxy) {
        let proxy = Proxy::in_front_of(&self.database).await;
        let url = proxy.url().to_string();
        let settings: Vec<_> = [("DATABASE_URL", url.as_str())].iter().chain(settings).copied().collect();
        (self.another_node_with(&settings).await, proxy)
    }

    async fn launch(database: Arc<Database>, settings: HashMap<String, String>, clock: Clock) -> Self {
        let set = |name: &str| settings.get(name).filter(|value| !value.is_empty()).cloned();
        let mut config = Config::from_vars(set).expect("good settings");
        // Nothing of the checkout's own: what is there depends on who has tried what.
        let name = format!("data-{:016x}", u64::from_ne_bytes(random_bytes()));
        config.data_folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let data_folder = config.data_folder.clone();
        // On a runtime that is there when the test's own has gone: the server has to be stopped after it.
        let starting = clock.clone();
        let node = cluster::runtime()
            .spawn_blocking(|| cluster::runtime().block_on(app::start(config, starting)))
            .await
            .expect("no panic")
            .expect("a server that starts");
        let address = node.address().tcp().expect("an address");
        Self { address, node: Some(node), database, settings, data_folder, clock }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are, if they are anywhere: with [`METRICS`].
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        let node = self.node.as_ref().expect("a running server");
        node.metrics_address().and_then(Address::tcp)
    }

    /// A sample of its metrics, by its name with labels; 0 when there is none.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = Request::get("/metrics")
            .send(self.metrics_address().expect("an address"))
            .await
            .expect(200)
            .text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    pub async fn stop(&mut self) {
        self.node.take().expect("a running server").stop().await;
    }

    /// Where its database is, past any proxy.
    pub fn database_url(&self) -> &url::Url {
        self.database.url()
    }

    /// Its database, past the server.
    pub async fn sql(&self) -> PgConnection {
        self.database.connect().await
    }

    pub async fn send(&self, request: Request) -> Response {
        request.send(self.address).await
    }

    /// Adds a user who has everybody's password, and gives their id.
    pub async fn user(&self, name: &str) -> String {
        let request = Request::post("/session/register").json(&registration(name));
        let user = self.send(request).await.expect(201).json();
        super::text(&user["user_id"]).to_owned()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let node = self.node.take();
        let database = self.database.clone();
        cluster::runtime().spawn(async move {
            if let Some(node) = node {
                node.stop().await;
            }
            drop(database);
        });
    }
}

pub fn registration(name: &str) -> Value {
    json!({ "username": name, "email": format!("{name}@example.org"), "password": PASSWORD })
}

pub fn credentials(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD })
}
