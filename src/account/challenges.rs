//! Handlers of challenges: asking for one, and what comes of both halves for an account.

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, post};

use crate::auth::{Identity, UserBody};
use crate::challenges::Purpose;
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

/// Ask for a challenge: something that has to come back another way.
///
/// The answer has one half, `challenge`. The other half is a code by mail, the code of an authenticator, what the browser's passkey
/// says, or a code that a provider sends the browser back with. Both together, once, within ten minutes and five tries, are a proof.
///
/// | `for` | `method` | who | both halves go to |
/// |---|---|---|---|
/// | `reset_password` | `email` | anybody | `POST /account/password/reset` |
/// | `login` | `email`, with `EMAIL_SIGN_IN` | anybody | `POST /session/login`, `POST /jwt/login` |
/// | `login` | `passkey` | anybody, without a name | the same |
/// | `login` | a provider's name, with `return_to` | anybody | the same |
/// | `email` | `email` | a fresh login | `POST /account/email` |
/// | `factor` | `totp`, `passkey`, `security_key` | a fresh login with a proved email | `POST /account/factors` |
/// | `step_up` | `passkey` | a login of an account with a passkey or security key | `POST /session/step-up`, `POST /jwt/step-up` |
/// | `step_up` | `email` | a login of an account with neither a password nor a factor | the same |
/// | `factor` | a provider's name, with `return_to` | a fresh login with a proved email | `POST /account/factors` |
/// | `step_up` | a provider's name, with `return_to` | a login of an account with an identity there | `POST /session/step-up`, `POST /jwt/step-up` |
///
/// With a provider, the browser goes to `authorization_url`, and comes back to `return_to` with the code in the fragment.
///
/// For anybody, no credential is looked at, and the answer is the same whether the address has an account or not.
///
/// To try codes by mail without a mail server: on the private Postgres, mails are kept, and
/// [GET /playground/mails](#/service/local_mails) shows them.
///
/// To try passkeys and security keys, use the [playground](../#second-factors), or this page's console: with the answer's `passkey` as
/// `options`, `(await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })).toJSON()`
/// is the member `passkey` to send for a new one. To use one, it is `get` and `parseRequestOptionsFromJSON`.
///
/// To try one of the [providers](#/service/list_providers), use the [playground](../#second-factors), or this page: send its address, up to
/// the `#`, as `return_to`, and open the answer's `authorization_url` in another tab. That tab ends here, with the code in its
/// address, after `code%3D`: Swagger UI writes it so.
#[utoipa::path(operation_id = "create_challenge", tag = "account",
    request_body(content = ChallengeRequest, examples(
        ("forgotten password" = (value = json!({"for": "reset_password", "method": "email", "email": "ada@example.com"}))),
        ("sign-in by mail" = (value = json!({"for": "login", "method": "email", "email": "ada@example.com"}))),
        ("new authenticator" = (value = json!({"for": "factor", "method": "totp"}))),
        ("new passkey" = (value = json!({"for": "factor", "method": "passkey"}))),
        ("new security key" = (value = json!({"for": "factor", "method": "security_key"}))),
        ("sign-in by passkey" = (value = json!({"for": "login", "method": "passkey"}))),
        ("step-up by passkey" = (value = json!({"for": "step_up", "method": "passkey"}))),
        ("step-up by mail" = (value = json!({"for": "step_up", "method": "email"}))),
        ("sign-in by a provider" = (value = json!({"for": "login", "method": "google", "return_to": "https://app.example.com/in"}))),
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
    use ChallengeMethod::{Email, Passkey, Provider, SecurityKey, Totp};
    if let Provider(name) = &body.method {
        sign_in.check_provider(name)?;
    }
    check_members(&body)?;
    let ChallengeRequest { purpose, method, email, return_to, challenge } = body;
    let (email, return_to) = (email.as_deref(), return_to.as_deref());
    let body = match (purpose, &method) {
        (ChallengePurpose::Login, Provider(name)) => {
            let begun = sign_in.challenge_provider(name, return_to, challenge.as_ref(), &client).await?;
            ChallengeBody::of_provider(begun, purpose, name.clone())
        }
        (ChallengePurpose::Login, Email) if challenge.is_some() => {
            let superseded = challenge.unwrap_or_default();
            let challenge = sign_in.challenge_address_of_identity(&superseded, email, language, &client);
            ChallengeBody::by_mail(&challenge.await?, purpose)
        }
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
        | (ChallengePurpose::Factor, Totp | Passkey | SecurityKey | Provider(_))
        | (ChallengePurpose::StepUp, Passkey | Email | Provider(_)) => {
            let identity = match Identity::from_request(&request, &mut Payload::None).await {
                Ok(identity) => identity,
                Err(rejection) => return Ok(rejection.error_response()),
            };
            challenge_owner(&sign_in, &identity, (purpose, method), (email, return_to), &client).await?
        }
        _ => {
            let error = FieldError::of("method", "is none for this purpose");
            return Err(Problem::validation(vec![error]));
        }
    };
    Ok(HttpResponse::Created().json(body))
}

/// Checks that no member is there that does not go with what is asked for.
fn check_members(request: &ChallengeRequest) -> Result<(), Problem> {
    use ChallengeMethod::{Email, Provider};
    let ChallengeRequest { purpose, method, email, return_to, challenge } = request;
    let is_by_provider = matches!(method, Provider(_));
    let is_of_login = matches!(purpose, ChallengePurpose::Login) && (is_by_provider || *method == Email);
    let is_to_owner = *method == Email && matches!(purpose, ChallengePurpose::StepUp);
    let wrong = [
        ("email", email.is_some() && *method != Email, "goes with the method `email` alone"),
        (
            "email",
            email.is_some() && is_to_owner,
            "does not go with `step_up`: the code goes to the account's address",
        ),
        ("return_to", return_to.is_some() && !is_by_provider, "goes with a provider alone"),
        (
            "challenge",
            challenge.is_some() && !is_of_login,
            "goes with `login` by mail or by a provider alone",
        ),
    ];
    let wrong = wrong.into_iter().filter(|(_, is_wrong, _)| *is_wrong);
    let errors: Vec<_> = wrong.map(|(name, _, detail)| FieldError::of(name, detail)).collect();
    if errors.is_empty() { Ok(()) } else { Err(Problem::validation(errors)) }
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
    (email, return_to): (Option<&str>, Option<&str>),
    client: &Client,
) -> Result<ChallengeBody, Problem> {
    if let ChallengeMethod::Provider(name) = method {
        let purpose_of_challenge = match purpose {
            ChallengePurpose::StepUp => Purpose::StepUp,
            _ => Purpose::Factor,
        };
        let begun = sign_in.challenge_own_provider(identity, purpose_of_challenge, &name, return_to).await?;
        return Ok(ChallengeBody::of_provider(begun, purpose, name));
    }
    let kind = match (purpose, &method) {
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
