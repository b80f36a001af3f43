//! Postgres: connections, migrations, and errors.

mod commit_check;
mod connection;
mod connection_string;
mod endpoints;
mod error;
mod generated_app_secret;
mod io_runtime;
mod migrations;
mod open;
mod pool;
mod pooling;
mod pools;
mod read_position;
pub mod rights;
mod schema;

use std::time::Duration;

pub use self::commit_check::CommitCheck;
pub use self::connection::{DatabaseConnection, Pooling};
pub use self::connection_string::UrlError;
pub use self::endpoints::{DirectUrl, Endpoints, check_url};
pub use self::error::{DatabaseError, answer};
pub use self::generated_app_secret::{forget_app_secret, made_app_secret, make_app_secret};
pub use self::io_runtime::set_io_runtime;
pub use self::migrations::{MIGRATOR, migrate};
pub use self::open::{OpenError, open};
pub use self::pool::ConnectionPool;
pub use self::pools::{OWN_CONNECTIONS, Pools};
pub use self::read_position::ReadPosition;
pub use self::schema::{SchemaError, SchemaState};

/// The application name of a node's connections in `pg_stat_activity`. Nodes notify each other of new rows in the
/// feed; for changes by clients with other names, a trigger does.
pub const NODE: &str = "dualauth";

/// The application name of connections of commands.
pub const COMMAND: &str = "dualauth-command";

/// Time limit for getting a connection. sqlx's default of 30 s outlives the client.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for a ping.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);
