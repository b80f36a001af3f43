//! Health checks: liveness and readiness.

use std::fmt;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use futures_util::future::join;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::auth::AcceptedAuthModes;
use crate::database::{CommitHealthCheck, ConnectionPool, DatabaseError, answer};
use crate::error::{Code, Problem};
use crate::logins::Logins;
use crate::upkeep::TasksAwaitingRestart;

/// The time limit of a component's check: probes rarely wait longer than a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// The status of a component of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ComponentStatus {
    /// The component works.
    Ok,
    /// The component can't be used.
    Down,
    /// The component can be read, but not written.
    ReadOnly,
}

/// The status of each component of the service. Without details, because the route is public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"database": "ok", "feed": "ok", "keys": "ok", "upkeep": "ok"}))]
pub(super) struct HealthReport {
    /// Postgres answers, and accepts writes.
    database: ComponentStatus,
    /// The node is up to date with the revocations of other nodes.
    feed: ComponentStatus,
    /// There is a key for signing access tokens.
    keys: ComponentStatus,
    /// All background tasks are running.
    upkeep: ComponentStatus,
}

/// The response of liveness.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(super) struct LiveBody {
    /// Always `ok`.
    #[schema(schema_with = only_ok)]
    status: &'static str,
}

fn only_ok() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["ok"])).build()
}

/// The response of readiness.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "checks": {"database": "ok", "feed": "ok", "keys": "ok", "upkeep": "ok"}}))]
pub(super) struct ReadyBody {
    /// Always `ok`: anything else is a problem document.
    #[schema(schema_with = only_ok)]
    status: &'static str,
    /// The status of each component.
    checks: HealthReport,
}

/// Liveness: the process is up.
///
/// Nothing else is checked: a restart would not repair anything that readiness reports.
#[utoipa::path(operation_id = "health_live", tag = "service", responses(
    (status = 200, description = "The process is up.", body = LiveBody),
))]
#[get("/health/live")]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(LiveBody { status: "ok" })
}

/// Readiness: the database answers and accepts writes, revocations are up to date, tokens can be signed, and all
/// background tasks are running.
///
/// Answers within a few seconds, even if the database does not. `checks` in the problem document shows which component is
/// down; the log has the reason.
#[utoipa::path(operation_id = "health_ready", tag = "service", responses(
    (status = 200, description = "The service is ready.", body = ReadyBody),
    (status = 503, description = "unavailable"),
))]
#[get("/health/ready")]
pub(super) async fn ready(
    pool: Data<ConnectionPool>,
    commits: Data<CommitHealthCheck>,
    logins: Data<Logins>,
    modes: Data<AcceptedAuthModes>,
    tasks: Data<TasksAwaitingRestart>,
) -> Result<HttpResponse, Problem> {
    let (database, feed) = join(database(&pool, &commits), feed(&logins)).await;
    match (HealthReport { database, feed, keys: keys(&modes), upkeep: upkeep(&tasks) }) {
        checks @ HealthReport {
            database: ComponentStatus::Ok,
            feed: ComponentStatus::Ok,
            keys: ComponentStatus::Ok,
            upkeep: ComponentStatus::Ok,
        } => Ok(HttpResponse::Ok().json(ReadyBody { status: "ok", checks })),
        checks => Err(not_ready(&checks)),
    }
}

fn not_ready(checks: &HealthReport) -> Problem {
    let detail = "A part of the service can't be used at the moment: see `checks`.";
    Problem::new(Code::Unavailable, detail).with("checks", checks)
}

async fn database(pool: &ConnectionPool, commits: &CommitHealthCheck) -> ComponentStatus {
    let checks = async {
        match is_read_only(pool).await {
            Ok(false) => {}
            Ok(true) => return log_down("database", ComponentStatus::ReadOnly, "read-only (standby?)"),
            Err(error) => return log_down("database", ComponentStatus::Down, error),
        }
        match commits.check().await {
            Ok(()) => ComponentStatus::Ok,
            Err(error) => log_down("database", ComponentStatus::Down, error),
        }
    };
    let late = |_| {
        let cause = format!("no answer or no commit within {TIME_LIMIT:?} (synchronous standby away?)");
        log_down("database", ComponentStatus::Down, cause)
    };
    timeout(TIME_LIMIT, checks).await.unwrap_or_else(late)
}

/// Also `true` for a server in recovery and for a standby.
async fn is_read_only(pool: &ConnectionPool) -> Result<bool, DatabaseError> {
    let query =
        sqlx::query_scalar!(r#"select current_setting('transaction_read_only') = 'on' as "is_read_only!""#);
    answer(query.fetch_one(pool)).await
}

async fn feed(logins: &Logins) -> ComponentStatus {
    match timeout(TIME_LIMIT, logins.is_fresh()).await {
        Ok(true) => ComponentStatus::Ok,
        Ok(false) | Err(_) => log_down("feed", ComponentStatus::Down, "the revocation feed can't be read"),
    }
}

fn keys(modes: &AcceptedAuthModes) -> ComponentStatus {
    match modes.iter().find_map(|mode| mode.unavailable_reason()) {
        None => ComponentStatus::Ok,
        Some(trouble) => log_down("keys", ComponentStatus::Down, trouble),
    }
}

fn upkeep(tasks: &TasksAwaitingRestart) -> ComponentStatus {
    match tasks.names() {
        down if down.is_empty() => ComponentStatus::Ok,
        down => log_down("upkeep", ComponentStatus::Down, format!("not running: {}", down.join(", "))),
    }
}

/// Logs the cause. It is not in the response, because the route is public.
fn log_down(part: &str, check: ComponentStatus, cause: impl fmt::Display) -> ComponentStatus {
    tracing::warn!(part, %cause, "not ready");
    check
}
