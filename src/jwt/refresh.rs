//! Use of a refresh token: where the request has it, its CSRF check, and reuse detection, which ends the login when a
//! token is used again after its grace (RFC 9700, section 4.14.2).

use actix_web::FromRequest;
use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use secrecy::ExposeSecret;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::Actor;
use crate::auth::{AuthError, Credential, Identity, LoginSecretBytes, RefreshRequest, Rejection, pick};
use crate::error::{Code, Problem};
use crate::http::body::OptionalJson;
use crate::http::client::Client;
use crate::logins::{Acr, Login, RenewalOutcome, ReplacedLogin, Transport};
use crate::telemetry::{self, RequestUser};

use super::refresh_token::RefreshTokenPayload;
use super::{JwtMode, NAME};

/// Returns `true` if a rejected access token may be replaced by the refresh token of the same request.
fn may_be_by_refresh_token(rejection: &Rejection) -> bool {
    matches!(rejection.problem.code(), Code::NotAuthenticated | Code::TokenExpired)
}

impl JwtMode {
    /// The refresh token of a request: the one in the body or, only if there is none, the one in the cookie.
    pub(super) fn refresh_credential(
        &self,
        body: Option<RefreshRequest>,
        headers: &HeaderMap,
    ) -> Result<Option<Credential>, AuthError> {
        match body.and_then(|body| body.refresh_token) {
            Some(token) => {
                let token = Zeroizing::new(token.expose_secret().to_owned());
                Ok(Some(Credential { token, transport: Transport::Bearer }))
            }
            None => pick(headers, &self.refresh_cookie),
        }
    }

    /// Renews a login: moves it to the next generation of its credential. Returns the login, and the secret for its next
    /// refresh token.
    pub(super) async fn renew(
        &self,
        presented: &Credential,
        request: &HttpRequest,
    ) -> Result<(Login, Option<LoginSecretBytes>), AuthError> {
        let refresh = self.verify_refresh_token(presented, request).await?;
        let login = outcome(self.logins.renew(&refresh.claimed(), &actor_of(request)).await?)?;
        log_user(&login);
        Ok((login, refresh.secret))
    }

    /// The identity that signs out: by the access token or, if there is none or it has expired, by the refresh token.
    pub(super) async fn identify_for_logout(
        &self,
        request: &HttpRequest,
        mut body: Payload,
    ) -> Result<Identity, Rejection> {
        let presented = Identity::extract(request).await;
        let OptionalJson(body) = OptionalJson::<RefreshRequest>::from_request(request, &mut body).await?;
        let rejection = match presented {
            Err(rejection) if may_be_by_refresh_token(&rejection) => rejection,
            presented => return presented,
        };
        let presented = self.refresh_credential(body, request.headers()).map_err(Problem::from)?;
        let Some(presented) = presented else { return Err(rejection) };
        let login = self.login_of_refresh_token(&presented, request).await;
        let login = login.map_err(|error| Rejection::new(error, presented.transport))?;
        Ok(Identity {
            user_id: login.user.id,
            login_id: login.id,
            authentication: login.authentication,
            mode: NAME,
            transport: presented.transport,
            expires_at: login.ends_at(),
            username: login.user.username,
            roles: login.user.roles,
        })
    }

    async fn login_of_refresh_token(
        &self,
        presented: &Credential,
        request: &HttpRequest,
    ) -> Result<Login, AuthError> {
        let refresh = self.verify_refresh_token(presented, request).await?;
        let login =
            outcome(self.logins.check_and_end_if_reused(&refresh.claimed(), &actor_of(request)).await?)?;
        log_user(&login);
        Ok(login)
    }

    /// Whose login a refresh token is of, and what that has come to, if it is live.
    pub(super) async fn assurance_of_refresh_token(
        &self,
        presented: &Credential,
    ) -> Result<Option<(Uuid, Acr)>, AuthError> {
        let Some(refresh) = self.refresh_tokens.decode(&presented.token) else { return Ok(None) };
        let found = self.logins.peek_outcome(&refresh.claimed()).await?;
        Ok(outcome(found).ok().map(|login| (login.user.id, login.authentication.acr)))
    }

    /// Decodes a refresh token; one from a cookie needs a CSRF token. Without a CSRF token, an unusable refresh token still
    /// gets its own error, so that the client learns that it is signed out.
    async fn verify_refresh_token(
        &self,
        presented: &Credential,
        request: &HttpRequest,
    ) -> Result<RefreshTokenPayload, AuthError> {
        let refresh = self.refresh_tokens.decode(&presented.token).ok_or(AuthError::InvalidToken)?;
        let proof = match presented.transport {
            Transport::Cookie => self.csrf.check(refresh.login, request.headers()),
            Transport::Bearer => Ok(()),
        };
        if let Err(missing) = proof {
            outcome(self.logins.check_and_end_if_reused(&refresh.claimed(), &actor_of(request)).await?)?;
            return Err(missing);
        }
        Ok(refresh)
    }

    /// The login whose CSRF token is requested. Accepts the refresh token's cookie as well: a page that is reloaded after the
    /// access token has expired must refresh, and needs a CSRF token for that.
    pub(super) async fn csrf_login(
        &self,
        presented: Result<Identity, Rejection>,
        headers: &HeaderMap,
    ) -> Result<Uuid, Problem> {
        match presented {
            Ok(identity) => Ok(identity.login_id),
            Err(rejection) if may_be_by_refresh_token(&rejection) => {
                self.login_of_refresh_cookie(headers).await?.ok_or(rejection.problem)
            }
            Err(rejection) => Err(rejection.problem),
        }
    }

    /// The login of the cookies in the request, if it is live.
    pub(super) async fn find_login_of_cookies(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<ReplacedLogin>, AuthError> {
        let identity = match pick(headers, &self.access_cookie).ok().flatten() {
            Some(access) => self.identify(&access).await.ok().flatten(),
            None => None,
        };
        let login = match identity {
            Some(identity) => Some(identity.login_id),
            None => self.login_of_refresh_cookie(headers).await?,
        };
        Ok(login.map(ReplacedLogin::Id))
    }

    /// The login of the refresh token's cookie. Only inspects the token: this is no renewal, so it must not count as a use.
    async fn login_of_refresh_cookie(&self, headers: &HeaderMap) -> Result<Option<Uuid>, AuthError> {
        let cookie = pick(headers, &self.refresh_cookie).ok().flatten();
        let Some(refresh) = cookie.and_then(|cookie| self.refresh_tokens.decode(&cookie.token)) else {
            return Ok(None);
        };
        let found = outcome(self.logins.peek_outcome(&refresh.claimed()).await?);
        Ok(found.ok().map(|login| login.id))
    }
}

/// The client of a request, for the audit trail.
fn actor_of(request: &HttpRequest) -> Actor {
    Client::of(request).actor()
}

/// Adds the owner of a refresh token to the request's log line.
fn log_user(login: &Login) {
    telemetry::set_user(RequestUser { user: login.user.id, login: login.id, mode: NAME });
}

fn outcome(renewal: RenewalOutcome) -> Result<Login, AuthError> {
    match renewal {
        RenewalOutcome::Renewed(login) => Ok(*login),
        RenewalOutcome::Reused => Err(AuthError::RefreshTokenReused),
        RenewalOutcome::Ended => Err(AuthError::TokenRevoked),
        RenewalOutcome::Expired => Err(AuthError::LoginExpired),
        RenewalOutcome::SteppedUp => Err(AuthError::SteppedUp),
        RenewalOutcome::Unknown => Err(AuthError::InvalidToken),
    }
}
