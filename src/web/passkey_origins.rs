//! Related origin requests (WebAuthn Level 3, section 5.11): websites of other domains that may use the passkeys of this one.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

/// The websites that may use passkeys of the relying party id, although it does not cover their hosts.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({ "origins": ["https://example.org"] }))]
pub struct PasskeyRelatedOrigins {
    /// Their origins.
    origins: Vec<String>,
}

impl PasskeyRelatedOrigins {
    /// These origins, serialized.
    pub fn new(origins: Vec<String>) -> Self {
        Self { origins }
    }
}

/// Related origins of passkeys (WebAuthn Level 3, section 5.11).
///
/// The origins in `PASSKEY_ORIGINS` whose hosts `PASSKEY_RP_ID` does not cover. Browsers ask the host that `PASSKEY_RP_ID` names, over
/// https. The document may be cached for five minutes.
#[utoipa::path(operation_id = "passkey_related_origins", tag = "service", responses(
    (status = 200, description = "The websites of other domains that may use passkeys of this one.", body = PasskeyRelatedOrigins,
        headers(("Cache-Control" = String, description = "It may be remembered for five minutes."))),
))]
#[get("/.well-known/webauthn")]
pub(super) async fn related_origins(related: Data<PasskeyRelatedOrigins>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(related)
}
