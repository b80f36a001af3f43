//! Postgres: connections, migrations, and errors.

mod commit_health_check;
mod connect_on_main_runtime;
mod connection_string;
mod error;
mod generated_app_secret;
mod migrations;
mod open;
mod pg_snapshot;
mod pg_snapshot_position;
mod pool;
mod pooler_safe_connection;
mod pooling;
mod request_and_background_pools;
pub mod rights;
mod schema;
mod usual_and_direct_routes;

use std::time::Duration;

pub use self::commit_health_check::CommitHealthCheck;
pub use self::connect_on_main_runtime::set_main_runtime;
pub use self::connection_string::UrlError;
pub use self::error::{DatabaseError, answer};
pub use self::generated_app_secret::{forget_app_secret, made_app_secret, make_app_secret};
pub use self::migrations::{MIGRATOR, migrate};
pub use self::open::{OpenError, open};
pub use self::pg_snapshot::PgSnapshot;
pub use self::pg_snapshot_position::PgSnapshotPosition;
pub use self::pool::ConnectionPool;
pub use self::pooler_safe_connection::{DatabaseConnection, Pooling};
pub use self::request_and_background_pools::{OWN_CONNECTIONS, RequestAndBackgroundPools};
pub use self::schema::{SchemaError, SchemaState};
pub use self::usual_and_direct_routes::{DirectUrl, UsualAndDirectRoutes, check_url};

/// The application name of a node's connections in `pg_stat_activity`. Nodes notify each other of new rows in the
/// feed; for changes by clients with other names, a trigger does.
pub const NODE: &str = "dualauth";

/// The application name of connections of commands.
pub const COMMAND: &str = "dualauth-command";

/// Time limit for getting a connection. sqlx's default of 30 s outlives the client.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for a ping.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);
