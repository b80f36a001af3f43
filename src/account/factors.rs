//! Handlers of the signed-in user's factors.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, post};
use uuid::Uuid;

use crate::auth::{ChallengeAnswer, Identity};
use crate::challenges::Purpose;
use crate::error::{Code, FieldError, Problem};
use crate::http::body::{IgnoredBody, Json};
use crate::http::client::Client;
use crate::sign_in::SignIn;

use super::factor_bodies::{EnrolFactorRequest, EnrolledFactorBody, FactorsBody, RecoveryCodesBody};

/// The ways to sign in to the account.
///
/// The `id` of one is what `DELETE /account/factors/{id}` takes. Passkeys are listed as well if this service can't use them any more.
#[utoipa::path(operation_id = "list_factors", tag = "account",
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The factors.", body = FactorsBody),
    (status = 503, description = "unavailable"),
))]
#[get("/account/factors")]
pub(super) async fn list_factors(identity: Identity, sign_in: Data<SignIn>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(FactorsBody::from(sign_in.list_factors(&identity).await?)))
}

/// Enrol a factor: an authenticator, a passkey, a security key, or an identity at a provider.
///
/// Takes a [challenge](#/account/create_challenge) for `factor`, with the first code of the authenticator that has its `totp`, with
/// what the browser makes of its `passkey`, or with the code with which a provider has sent the browser back. The first authenticator or security key turns two-step sign-in on, and signs every
/// other device out; a passkey does not. It counts as a proof of this login.
#[utoipa::path(operation_id = "enrol_factor", tag = "account", request_body(content = EnrolFactorRequest, examples(
        ("authenticator" = (value = json!({"challenge": "dac_…", "code": "123456", "name": "Phone"}))),
        ("passkey or security key" = (value = json!({
            "challenge": "dac_…", "passkey": {"id": "…", "type": "public-key"}, "name": "Laptop",
        }))),
    )),
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 201, description = "The factor, and recovery codes.", body = EnrolledFactorBody),
    (status = 401, description = "invalid_code, challenge_expired"),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/account/factors")]
pub(super) async fn enrol_factor(
    identity: Identity,
    sign_in: Data<SignIn>,
    client: Client,
    Json(body): Json<EnrolFactorRequest>,
) -> Result<HttpResponse, Problem> {
    let (proof, name) = body.parts()?;
    let enrolled = match proof {
        ChallengeAnswer::Code(halves)
            if sign_in.is_of_provider(&identity, &halves, Purpose::Factor).await? =>
        {
            if name.is_some() {
                let detail = "does not go with a provider";
                return Err(Problem::validation(vec![FieldError::of("name", detail)]));
            }
            EnrolledFactorBody::Provider(sign_in.link_own(&identity, &halves, &client).await?.into())
        }
        ChallengeAnswer::Code(halves) => {
            EnrolledFactorBody::from(sign_in.enrol_totp(&identity, &halves, name, &client).await?)
        }
        ChallengeAnswer::Passkey(answer) => {
            EnrolledFactorBody::from(sign_in.enrol_passkey(&identity, &answer, name, &client).await?)
        }
    };
    Ok(HttpResponse::Created().json(enrolled))
}

/// Remove a factor, and sign every other device out.
///
/// Without an authenticator and a security key two-step sign-in is off, and the recovery codes are dead. A factor stays if nothing
/// else would be left to sign in with; with `SECOND_FACTOR=required` the last second factor stays, too.
#[utoipa::path(operation_id = "remove_factor", tag = "account",
    params(("id" = Uuid, Path, description = "The factor's id, from the list of factors.")),
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 204, description = "The factor was removed."),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 404, description = "not_found"),
    (status = 409, description = "last_factor"),
    (status = 503, description = "unavailable"),
))]
#[delete("/account/factors/{id}")]
pub(super) async fn remove_factor(
    identity: Identity,
    sign_in: Data<SignIn>,
    client: Client,
    id: Path<String>,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    let missing = |_| Problem::new(Code::NotFound, "You have no such factor.");
    let id: Uuid = id.parse().map_err(missing)?;
    sign_in.remove_factor(&identity, id, &client).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Make new recovery codes, and sign every other device out.
///
/// The old ones are dead. Without two-step sign-in there are none: 409.
#[utoipa::path(operation_id = "renew_recovery_codes", tag = "account",
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "Ten new codes, shown once.", body = RecoveryCodesBody),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 409, description = "conflict"),
    (status = 503, description = "unavailable"),
))]
#[post("/account/recovery-codes")]
pub(super) async fn renew_recovery_codes(
    identity: Identity,
    sign_in: Data<SignIn>,
    client: Client,
    _: IgnoredBody,
) -> Result<HttpResponse, Problem> {
    let codes = sign_in.renew_recovery_codes(&identity, &client).await?;
    Ok(HttpResponse::Ok().json(RecoveryCodesBody::new(&codes)))
}
