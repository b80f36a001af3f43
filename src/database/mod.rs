//! Postgres: the pool, the migrations, and what an error of it means.

mod commit_check;
mod connection;
mod connection_string;
mod endpoints;
mod error;
mod generated_app_secret;
mod io_runtime;
mod machine_roots;
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
pub use self::schema::{Schema, SchemaError};

/// What a node's connections are called in `pg_stat_activity`. It tells other nodes by itself when there is something to
/// read; for whoever has another name, a trigger does.
pub const NODE: &str = "dualauth";

/// And those of a command.
pub const COMMAND: &str = "dualauth-command";

/// How long a request waits for a connection: sqlx waits 30 s by default, which outlives its client.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a connection may take to show that it is alive.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);
