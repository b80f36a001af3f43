//! What the service is compared with: a handler that gives the same answer, without any middleware; and one that runs
//! the query of the session look-up first.

use std::net::SocketAddr;

use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use anyhow::Context;
use chrono::{DateTime, Utc};
use dualauth::database;
use dualauth::tokens::sha256;
use secrecy::SecretString;
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::roles::parent_gone;
use crate::variants::USERNAME;

/// Of the same shape and size as the service's answer.
#[derive(Serialize)]
struct Profile {
    user_id: Uuid,
    username: String,
    roles: Vec<String>,
    auth: Auth,
}

#[derive(Serialize)]
struct Auth {
    mode: String,
    transport: String,
    login_id: Uuid,
    expires_at: DateTime<Utc>,
}

/// A copy of the row behind `logins::store::find_by_handle`.
#[derive(sqlx::FromRow)]
#[expect(dead_code, reason = "the service reads all of it, so this does too")]
struct Row {
    id: Uuid,
    mode: String,
    transport: String,
    remember_me: bool,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    renewed_at: DateTime<Utc>,
    generation: i32,
    token_expires_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    user_id: Uuid,
    username: String,
    email: String,
    roles: Vec<String>,
    user_created_at: DateTime<Utc>,
    user_disabled: bool,
}

/// Its query.
const LOOKUP: &str =
    "select l.id, l.mode, l.transport, l.remember_me, l.created_at, l.last_seen_at, l.idle_expires_at,
            l.expires_at, l.renewed_at, l.generation, l.token_expires_at, l.ended_at, l.user_id, u.username, u.email, u.roles,
            u.created_at as user_created_at, u.disabled_at is not null as user_disabled
     from logins l join users u on u.id = l.user_id
     where l.handle_hash = $1";

impl From<Row> for Profile {
    fn from(row: Row) -> Self {
        Self {
            user_id: row.user_id,
            username: row.username,
            roles: row.roles,
            auth: Auth {
                mode: row.mode,
                transport: row.transport,
                login_id: row.id,
                expires_at: row.idle_expires_at.min(row.expires_at),
            },
        }
    }
}

/// Serves until the parent is gone; with a database, by looking up.
pub(crate) async fn serve(
    database: Option<SecretString>,
    announce: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let sample = Data::new(sample());
    let pool = match database {
        Some(url) => Some(Data::new(database::open(&url).await?.requests)),
        None => None,
    };
    let server = HttpServer::new(move || match &pool {
        Some(pool) => App::new().app_data(pool.clone()).route("/profile", web::get().to(looked_up)),
        None => App::new().app_data(sample.clone()).route("/profile", web::get().to(known)),
    });
    let server = server.disable_signals().bind("127.0.0.1:0")?;
    let address = *server.addrs().first().context("an address")?;
    let server = server.run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    announce(address)?;
    parent_gone().await;
    handle.stop(false).await;
    serving.await?.context("serving")
}

async fn known(profile: Data<Profile>) -> HttpResponse {
    respond(&profile)
}

async fn looked_up(request: HttpRequest, pool: Data<PgPool>) -> HttpResponse {
    match look_up(&request, &pool).await {
        Some(profile) => respond(&profile),
        None => HttpResponse::Unauthorized().finish(),
    }
}

async fn look_up(request: &HttpRequest, pool: &PgPool) -> Option<Profile> {
    let token = request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    let hash = sha256(token.as_bytes());
    let row = sqlx::query_as::<_, Row>(LOOKUP).bind(hash.as_slice()).fetch_optional(pool).await;
    row.ok()?.map(Profile::from)
}

fn respond(profile: &Profile) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .json(profile)
}

fn sample() -> Profile {
    Profile {
        user_id: Uuid::now_v7(),
        username: USERNAME.to_owned(),
        roles: vec!["user".to_owned()],
        auth: Auth {
            mode: "session".to_owned(),
            transport: "bearer".to_owned(),
            login_id: Uuid::now_v7(),
            expires_at: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap_or_default(),
        },
    }
}
