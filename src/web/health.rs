//! Health: is the process up, and can it do its work?

use std::fmt;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use futures_util::future::join;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::auth::AcceptedModes;
use crate::database::{CommitCheck, ConnectionPool, DatabaseError, answer};
use crate::error::{Code, Problem};
use crate::logins::Logins;
use crate::upkeep::StoppedTasks;

/// How long a part may take to show that it is well: what asks seldom waits for longer than a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// How a part of the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ComponentStatus {
    /// It is well.
    Ok,
    /// It can't be used.
    Down,
    /// It can be read, and not written.
    ReadOnly,
}

/// How each part of the service is. No more than that: who asks may be anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"database": "ok", "feed": "ok", "keys": "ok", "upkeep": "ok"}))]
pub(super) struct HealthReport {
    /// Postgres answers, and takes what is written.
    database: ComponentStatus,
    /// What was revoked on other nodes is known here.
    feed: ComponentStatus,
    /// There is a key to sign access tokens with.
    keys: ComponentStatus,
    /// What the node does by itself is being done.
    upkeep: ComponentStatus,
}

/// The process is up.
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

/// The service is well.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "checks": {"database": "ok", "feed": "ok", "keys": "ok", "upkeep": "ok"}}))]
pub(super) struct ReadyBody {
    /// Always `ok`: anything else is a problem document.
    #[schema(schema_with = only_ok)]
    status: &'static str,
    /// And so is each part.
    checks: HealthReport,
}

/// The process is up.
///
/// Nothing else is looked at: to restart it mends nothing that this does not show.
#[utoipa::path(operation_id = "health_live", tag = "service", responses(
    (status = 200, description = "It is.", body = LiveBody),
))]
#[get("/health/live")]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(LiveBody { status: "ok" })
}

/// The service can do its work: the database answers and takes writes, what was revoked is known, tokens can be signed,
/// and what the node does by itself is being done.
///
/// It answers within a few seconds, also when the database does not. The problem document says in `checks` which part is
/// down; why is in the log.
#[utoipa::path(operation_id = "health_ready", tag = "service", responses(
    (status = 200, description = "It can.", body = ReadyBody),
    (status = 503, description = "unavailable"),
))]
#[get("/health/ready")]
pub(super) async fn ready(
    pool: Data<ConnectionPool>,
    commits: Data<CommitCheck>,
    logins: Data<Logins>,
    modes: Data<AcceptedModes>,
    stopped: Data<StoppedTasks>,
) -> Result<HttpResponse, Problem> {
    let (database, feed) = join(database(&pool, &commits), feed(&logins)).await;
    match (HealthReport { database, feed, keys: keys(&modes), upkeep: upkeep(&stopped) }) {
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

async fn database(pool: &ConnectionPool, commits: &CommitCheck) -> ComponentStatus {
    let checks = async {
        match is_read_only(pool).await {
            Ok(false) => {}
            Ok(true) => return log_down("database", ComponentStatus::ReadOnly, "it takes no writes"),
            Err(error) => return log_down("database", ComponentStatus::Down, error),
        }
        match commits.check().await {
            Ok(()) => ComponentStatus::Ok,
            Err(error) => log_down("database", ComponentStatus::Down, error),
        }
    };
    let late = |_| log_down("database", ComponentStatus::Down, "it gives no answer, or makes no commit");
    timeout(TIME_LIMIT, checks).await.unwrap_or_else(late)
}

/// One that recovers, or stands by for another, takes no writes either.
async fn is_read_only(pool: &ConnectionPool) -> Result<bool, DatabaseError> {
    let question =
        sqlx::query_scalar!(r#"select current_setting('transaction_read_only') = 'on' as "is_read_only!""#);
    answer(question.fetch_one(pool)).await
}

async fn feed(logins: &Logins) -> ComponentStatus {
    match timeout(TIME_LIMIT, logins.is_fresh()).await {
        Ok(true) => ComponentStatus::Ok,
        Ok(false) | Err(_) => log_down("feed", ComponentStatus::Down, "the revocation feed can't be read"),
    }
}

fn keys(modes: &AcceptedModes) -> ComponentStatus {
    match modes.iter().find_map(|mode| mode.unavailable_reason()) {
        None => ComponentStatus::Ok,
        Some(trouble) => log_down("keys", ComponentStatus::Down, trouble),
    }
}

fn upkeep(stopped: &StoppedTasks) -> ComponentStatus {
    match stopped.names() {
        down if down.is_empty() => ComponentStatus::Ok,
        down => log_down("upkeep", ComponentStatus::Down, format!("not running: {}", down.join(", "))),
    }
}

/// To the log alone: who asks may be anybody.
fn log_down(part: &str, check: ComponentStatus, cause: impl fmt::Display) -> ComponentStatus {
    tracing::warn!(part, %cause, "not ready");
    check
}
