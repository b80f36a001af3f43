//! Handlers of challenges: asking for one, and what comes of both halves for an account.

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, post};

use crate::auth::{Identity, UserBody};
use crate::error::{FieldError, Problem};
use crate::http::body::Json;
use crate::http::client::Client;
use crate::http::language::PreferredLanguage;
use crate::sign_in::{SignIn, StrangerPurpose};

use super::challenge_bodies::{
    ChallengeBody, ChallengeMethod, ChallengePurpose, ChallengeRequest, ProveEmailRequest,
    ResetPasswordRequest,
};

/// Ask for a challenge: a code goes by mail, and comes back with the `challenge` of this answer.
///
/// Both halves together, once, within ten minutes and five tries, prove that whoever asks reads that mail. The answer is the
/// same whether the address has an account or not. `login` (with `EMAIL_SIGN_IN`) and `reset_password` are for anybody: no
/// credential is looked at. `email` is for a fresh login, and proves the account's address, or another one. `factor` is for a
/// fresh login with a proved email, and enrols an authenticator: its first code comes back instead of one by mail.
///
/// To try it without a mail server: on the private Postgres, mails are kept, and
/// [GET /playground/mails](#/service/local_mails) shows them. Put `challenge` and the mail's code into the route that the challenge is for.
#[utoipa::path(operation_id = "create_challenge", tag = "account",
    request_body(content = ChallengeRequest, examples(
        ("forgotten password" = (value = json!({"for": "reset_password", "method": "email", "email": "ada@example.com"}))),
        ("sign-in" = (value = json!({"for": "login", "method": "email", "email": "ada@example.com"}))),
         ("authenticator" = (value = json!({"for": "factor", "method": "totp"}))),
         ("proof of an address" = (value = json!({"for": "email", "method": "email", "email": "ada@example.net"}))),
    )),
    security((), ("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 201, description = "The challenge.", body = ChallengeBody),
    (status = 401, description = "insufficient_user_authentication"),
    (status = 403, description = "email_not_verified"),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/challenges")]
pub(super) async fn create_challenge(
    sign_in: Data<SignIn>,
    client: Client,
    PreferredLanguage(language): PreferredLanguage,
    request: HttpRequest,
    Json(body): Json<ChallengeRequest>,
) -> Result<HttpResponse, Problem> {
    use ChallengeMethod::{Email, Totp};
    let ChallengeRequest { purpose, method, email } = body;
    let email = email.as_deref();
    let stranger = match (purpose, method) {
        (ChallengePurpose::Login, Email) => StrangerPurpose::Login,
        (ChallengePurpose::ResetPassword, Email) => StrangerPurpose::ResetPassword,
        (ChallengePurpose::Email, Email) | (ChallengePurpose::Factor, Totp) => {
            let identity = match Identity::from_request(&request, &mut Payload::None).await {
                Ok(identity) => identity,
                Err(rejection) => return Ok(rejection.error_response()),
            };
            let body = create_own_challenge(&sign_in, &identity, purpose, email, &client).await?;
            return Ok(HttpResponse::Created().json(body));
        }
        (ChallengePurpose::Factor, Email) | (_, Totp) => {
            let error = FieldError::of("method", "is none for this purpose");
            return Err(Problem::validation(vec![error]));
        }
    };
    let challenge = sign_in.challenge_stranger(stranger, email, language, &client).await?;
    Ok(HttpResponse::Created().json(ChallengeBody::by_mail(&challenge, purpose)))
}

async fn create_own_challenge(
    sign_in: &SignIn,
    identity: &Identity,
    purpose: ChallengePurpose,
    email: Option<&str>,
    client: &Client,
) -> Result<ChallengeBody, Problem> {
    match (purpose, email) {
        (ChallengePurpose::Factor, None) => {
            let (challenge, setup) = sign_in.challenge_totp(identity).await?;
            Ok(ChallengeBody::of_totp(&challenge, &setup))
        }
        (ChallengePurpose::Factor, Some(_)) => {
            Err(Problem::validation(vec![FieldError::of("email", "does not go with `totp`")]))
        }
        _ => {
            let challenge = sign_in.challenge_own_address(identity, email, client).await?;
            Ok(ChallengeBody::by_mail(&challenge, purpose))
        }
    }
}

/// Set a new password with a code that came by mail.
///
/// Every login of the user ends, in both modes, and nobody is signed in. The new password is checked before the code is
/// used. It also opens an account that was closed by guessing. With two-step sign-in the answer to a right code is
/// `second_factor_required`: send the same challenge again, with a code of the authenticator or a recovery code.
#[utoipa::path(operation_id = "reset_password", tag = "account", request_body = ResetPasswordRequest, responses(
    (status = 204, description = "The password was set, and every login has ended."),
    (status = 401, description = "invalid_code, challenge_expired, second_factor_required"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/account/password/reset")]
pub(super) async fn reset_password(
    sign_in: Data<SignIn>,
    client: Client,
    Json(body): Json<ResetPasswordRequest>,
) -> Result<HttpResponse, Problem> {
    let (halves, new_password) = body.parts();
    sign_in.reset_password(&halves, &new_password, &client).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Prove an address with a code that came by mail. The account has it from then on.
///
/// If it is another one, every other login and challenge of the user ends, and the address of before gets a notice.
#[utoipa::path(operation_id = "prove_email", tag = "account", request_body = ProveEmailRequest,
    security(("bearer" = []), ("access_token_cookie" = []), ("session_cookie" = [])), responses(
    (status = 200, description = "The user, with the proved address.", body = UserBody),
    (status = 401, description = "invalid_code, challenge_expired"),
    (status = 409, description = "conflict"),
    (status = 429, description = "rate_limited"),
    (status = 503, description = "unavailable"),
))]
#[post("/account/email")]
pub(super) async fn prove_email(
    identity: Identity,
    sign_in: Data<SignIn>,
    client: Client,
    Json(body): Json<ProveEmailRequest>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(sign_in.prove_address(&identity, &body.halves(), &client).await?))
}
