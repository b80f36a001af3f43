//! Handlers of challenges: asking for one, and what comes of both halves for an account.

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, post};

use crate::auth::{Identity, UserBody};
use crate::error::{FieldError, Problem};
use crate::factors::passkey::PasskeyKind;
use crate::http::body::Json;
use crate::http::client::Client;
use crate::http::language::PreferredLanguage;
use crate::mail::Language;
use crate::sign_in::{SignIn, StrangerPurpose};

use super::challenge_bodies::{
    ChallengeBody, ChallengeMethod, ChallengePurpose, ChallengeRequest, PasskeyOptions, ProveEmailRequest,
    ResetPasswordRequest,
};

/// Ask for a challenge: a code goes by mail, and comes back with the `challenge` of this answer; or an authenticator answers it.
///
/// Both halves together, once, within ten minutes and five tries, prove that whoever asks reads that mail. The answer is the
/// same whether the address has an account or not. `login` (with `EMAIL_SIGN_IN`) and `reset_password` are for anybody: no
/// credential is looked at. `email` is for a fresh login, and proves the account's address, or another one. `factor` is for a
/// fresh login with a proved email, and enrols an authenticator, whose first code comes back instead of one by mail, or a passkey
/// or security key. `login` with `passkey` is for anybody, without a name: the browser offers the passkeys that it has. `step_up`
/// with `passkey` is for whoever is signed in and has one; with `email`, for whoever has neither a password nor a factor.
///
/// To try it without a mail server: on the private Postgres, mails are kept, and
/// [GET /playground/mails](#/service/local_mails) shows them. Put `challenge` and the mail's code into the route that the challenge is for.
#[utoipa::path(operation_id = "create_challenge", tag = "account",
    request_body(content = ChallengeRequest, examples(
        ("forgotten password" = (value = json!({"for": "reset_password", "method": "email", "email": "ada@example.com"}))),
        ("sign-in" = (value = json!({"for": "login", "method": "email", "email": "ada@example.com"}))),
         ("authenticator" = (value = json!({"for": "factor", "method": "totp"}))),
         ("new passkey" = (value = json!({"for": "factor", "method": "passkey"}))),
         ("new security key" = (value = json!({"for": "factor", "method": "security_key"}))),
         ("sign-in by a passkey" = (value = json!({"for": "login", "method": "passkey"}))),
         ("step-up by a passkey" = (value = json!({"for": "step_up", "method": "passkey"}))),
         ("step-up by mail" = (value = json!({"for": "step_up", "method": "email"}))),
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
    use ChallengeMethod::{Email, Passkey, SecurityKey, Totp};
    let ChallengeRequest { purpose, method, email } = body;
    if method != Email && email.is_some() {
        return Err(Problem::validation(vec![FieldError::of("email", "goes with the method `email` alone")]));
    }
    if matches!(purpose, ChallengePurpose::StepUp) && email.is_some() {
        let detail = "does not go with `step_up`: the code goes to the account's address";
        return Err(Problem::validation(vec![FieldError::of("email", detail)]));
    }
    let email = email.as_deref();
    let body = match (purpose, method) {
        (ChallengePurpose::Login, Email) => {
            let purpose = StrangerPurpose::Login;
            challenge_stranger(&sign_in, purpose, email, language, &client).await?
        }
        (ChallengePurpose::ResetPassword, Email) => {
            let purpose = StrangerPurpose::ResetPassword;
            challenge_stranger(&sign_in, purpose, email, language, &client).await?
        }
        (ChallengePurpose::Login, Passkey) => {
            let (challenge, options) = sign_in.challenge_any_passkey(&client).await?;
            ChallengeBody::of_passkey(&challenge, purpose, method, PasskeyOptions::Request(options))
        }
        (ChallengePurpose::Email, Email)
        | (ChallengePurpose::Factor, Totp | Passkey | SecurityKey)
        | (ChallengePurpose::StepUp, Passkey | Email) => {
            let identity = match Identity::from_request(&request, &mut Payload::None).await {
                Ok(identity) => identity,
                Err(rejection) => return Ok(rejection.error_response()),
            };
            challenge_owner(&sign_in, &identity, (purpose, method), email, &client).await?
        }
        _ => {
            let error = FieldError::of("method", "is none for this purpose");
            return Err(Problem::validation(vec![error]));
        }
    };
    Ok(HttpResponse::Created().json(body))
}

async fn challenge_stranger(
    sign_in: &SignIn,
    purpose: StrangerPurpose,
    email: Option<&str>,
    language: Language,
    client: &Client,
) -> Result<ChallengeBody, Problem> {
    let challenge = sign_in.challenge_stranger(purpose, email, language, client).await?;
    let purpose = match purpose {
        StrangerPurpose::Login => ChallengePurpose::Login,
        StrangerPurpose::ResetPassword => ChallengePurpose::ResetPassword,
    };
    Ok(ChallengeBody::by_mail(&challenge, purpose))
}

async fn challenge_owner(
    sign_in: &SignIn,
    identity: &Identity,
    (purpose, method): (ChallengePurpose, ChallengeMethod),
    email: Option<&str>,
    client: &Client,
) -> Result<ChallengeBody, Problem> {
    let kind = match (purpose, method) {
        (ChallengePurpose::Factor, ChallengeMethod::Passkey) => PasskeyKind::Passkey,
        (ChallengePurpose::Factor, ChallengeMethod::SecurityKey) => PasskeyKind::SecurityKey,
        (ChallengePurpose::Factor, _) => {
            let (challenge, setup) = sign_in.challenge_totp(identity).await?;
            return Ok(ChallengeBody::of_totp(&challenge, &setup));
        }
        (ChallengePurpose::StepUp, ChallengeMethod::Email) => {
            let challenge = sign_in.challenge_own_mail(identity, client).await?;
            return Ok(ChallengeBody::by_mail(&challenge, purpose));
        }
        (ChallengePurpose::StepUp, _) => {
            let (challenge, options) = sign_in.challenge_own_passkey(identity).await?;
            let options = PasskeyOptions::Request(options);
            return Ok(ChallengeBody::of_passkey(&challenge, purpose, method, options));
        }
        _ => {
            let challenge = sign_in.challenge_own_address(identity, email, client).await?;
            return Ok(ChallengeBody::by_mail(&challenge, purpose));
        }
    };
    let (challenge, options) = sign_in.challenge_passkey_enrolment(identity, kind).await?;
    Ok(ChallengeBody::of_passkey(&challenge, purpose, method, PasskeyOptions::Creation(options)))
}

/// Set a new password with a code that came by mail.
///
/// Every login of the user ends, in both modes, and nobody is signed in. The new password is checked before the code is
/// used. It also opens an account that was closed by guessing. With two-step sign-in the answer to a right code is
/// `second_factor_required`: send the same challenge again, with a code of the authenticator or a recovery code, or with
/// what a passkey or security key answers to the options `passkey` of that answer.
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
    let (proof, new_password) = body.parts()?;
    sign_in.reset_password(&proof, &new_password, &client).await?;
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
