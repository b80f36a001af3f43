//! Health: is the process up, and can it do its work?

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::auth::Modes;
use crate::database::answer;
use crate::error::Problem;
use crate::logins::Logins;

/// The service is well.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(super) struct HealthBody {
    /// Always `ok`: anything else is a problem document.
    #[schema(example = "ok")]
    status: &'static str,
}

const OK: HealthBody = HealthBody { status: "ok" };

/// The process is up.
#[utoipa::path(operation_id = "health_live", tag = "service", responses(
    (status = 200, description = "It is.", body = HealthBody),
))]
#[get("/health/live")]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(OK)
}

/// The service can do its work: the database answers, what was revoked is known, and tokens can be signed.
#[utoipa::path(operation_id = "health_ready", tag = "service", responses(
    (status = 200, description = "It can.", body = HealthBody),
    (status = 503, description = "unavailable"),
))]
#[get("/health/ready")]
pub(super) async fn ready(
    pool: Data<PgPool>,
    logins: Data<Logins>,
    modes: Data<Modes>,
) -> Result<HttpResponse, Problem> {
    answer(sqlx::query_scalar!("select 1").fetch_one(pool.get_ref())).await?;
    if !logins.is_fresh().await {
        return Err(Problem::unavailable("the revocation feed can't be read"));
    }
    if let Some(trouble) = modes.iter().find_map(|mode| mode.trouble()) {
        return Err(Problem::unavailable(trouble));
    }
    Ok(HttpResponse::Ok().json(OK))
}
