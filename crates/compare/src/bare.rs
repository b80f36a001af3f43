//! The bare handler, which every cost is compared with: an actix handler with a response of the same size and no logic.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::proc_usage::cpu_of_this_thread;

/// The owner of the profile.
pub(super) const USERNAME: &str = "nobody";

/// Same shape and size as the response of `GET /profile`.
#[derive(Serialize)]
struct Profile {
    user_id: Uuid,
    username: &'static str,
    roles: Vec<&'static str>,
    auth: AuthInfo,
}

#[derive(Serialize)]
struct AuthInfo {
    mode: &'static str,
    transport: &'static str,
    login_id: Uuid,
    expires_at: DateTime<Utc>,
}

/// CPU time injected into each request.
#[derive(Clone, Copy)]
struct Spin(Duration);

/// Serves until the process is stopped. `spin` is CPU time added to each request, for the self-check.
///
/// # Errors
/// When it can't bind the address.
pub async fn serve(listen: SocketAddr, spin: Duration) -> std::io::Result<()> {
    let profile = Data::new(Profile {
        user_id: Uuid::now_v7(),
        username: USERNAME,
        roles: vec!["user"],
        auth: AuthInfo {
            mode: "session",
            transport: "bearer",
            login_id: Uuid::now_v7(),
            expires_at: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap_or_default(),
        },
    });
    HttpServer::new(move || {
        App::new()
            .app_data(profile.clone())
            .app_data(Data::new(Spin(spin)))
            .route("/profile", web::get().to(profile_handler))
    })
    .bind(listen)?
    .run()
    .await
}

async fn profile_handler(profile: Data<Profile>, spin: Data<Spin>) -> HttpResponse {
    if !spin.0.is_zero() {
        burn_cpu(spin.0);
    }
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .json(&*profile)
}

/// Uses up CPU time of this thread. Wall time would not do: other threads may use the core meanwhile.
fn burn_cpu(time: Duration) {
    let end = cpu_of_this_thread() + time;
    while cpu_of_this_thread() < end {
        std::hint::spin_loop();
    }
}
