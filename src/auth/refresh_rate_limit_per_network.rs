//! The rate limit for refreshes, in every mode.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;

use crate::error::Problem;
use crate::http::client::Client;
use crate::network_rate_limits::Limits;

/// Middleware that counts calls of a refresh route.
///
/// # Errors
/// `rate_limited`.
pub async fn limit_refresh_rate<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let client = request.extract::<Client>().await?;
    if let Some(limits) = request.app_data::<Data<Limits>>() {
        limits.refresh.count(client.network()).map_err(Problem::from)?;
    }
    next.call(request).await
}
