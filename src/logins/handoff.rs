//! One login in two modes: hand-off codes, by which a login is presented in the other mode as well, and access tokens of logins of
//! another mode.
//!
//! Whatever the mode, there is one login: nothing of it changes but that it was used. A login has at most one handle and one chain of
//! refresh tokens, each with a generation of its own. A credential of before the last step-up is not exchanged: it would come to mean
//! more than was proved to whoever has it.

use chrono::TimeDelta;
use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::database::DatabaseError;
use crate::tokens::OpaqueToken;

use super::authentication::Acr;
use super::login::{ClaimedLogin, Login, LoginState, Presentation};
use super::store::{NewPresentation, PresentedBy};
use super::{Logins, store};

/// Prefix that distinguishes hand-off codes from other secrets.
const PREFIX: &str = "dah_";

/// The lifetime of a hand-off code.
pub const HANDOFF_LIFETIME: TimeDelta = TimeDelta::seconds(60);

/// A hand-off code, once and within [`HANDOFF_LIFETIME`].
#[derive(Clone, Debug)]
pub struct HandoffCode(OpaqueToken);

impl HandoffCode {
    /// Parses a code from a client. `None` when it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        OpaqueToken::parse(PREFIX, text).map(Self)
    }

    /// The code itself, for the response to its maker.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

/// Why a credential was not exchanged for one of another mode.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The login has ended or expired.
    #[error("the login has ended")]
    LoginEnded,
    /// The login was authenticated again since the credential was issued.
    #[error("the login was authenticated again since")]
    Outdated,
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What a hand-off code came to.
#[derive(Debug)]
pub enum HandoffOutcome {
    /// The login, which the mode presents from now on.
    Presented(Box<Login>),
    /// The mode has a credential of the login already. The code can still be used in another mode.
    PresentedBefore,
    /// The login was authenticated too weakly; its user.
    BelowLeastAcr(Uuid),
    /// The code is unknown, used or expired; or the login has ended, or was authenticated again since.
    Unusable,
}

impl Logins {
    /// Creates a hand-off code for a login, by its credential in this mode.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub async fn create_handoff(
        &self,
        login: ClaimedLogin,
        mode: &str,
        actor: &Actor,
    ) -> Result<HandoffCode, ExchangeError> {
        // The code is worth as much as the login: its idle time counts from the last use.
        self.flush_last_seen(login.id).await?;
        let (code, now) = (HandoffCode(OpaqueToken::generate(PREFIX)), self.clock.now());
        let (hash, expires_at) = (code.0.hash(), now + HANDOFF_LIFETIME);
        if !store::insert_code(self.requests(), &hash, login, now, expires_at).await? {
            return Err(self.why_not_exchanged(login.id, mode).await?);
        }
        self.trail.record(NewEvent::to_oneself(Kind::HandoffCreated, actor));
        Ok(code)
    }

    /// The live login behind a code, as this mode presents it. Changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_handoff(&self, code: &HandoffCode, mode: &str) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let found = store::find_by_code(self.requests(), &code.0.hash(), mode, now).await?;
        let found = found.map(|login| self.activity.overlay(login, &self.lifetimes));
        Ok(found.filter(|login| self.state(login, now) == LoginState::Live))
    }

    /// Presents the login behind a code in another mode, and uses the code up. The login must have at least this assurance level.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn redeem_handoff(
        &self,
        code: &HandoffCode,
        presentation: Presentation,
        least_acr: Acr,
        actor: &Actor,
    ) -> Result<HandoffOutcome, DatabaseError> {
        let hash = code.0.hash();
        if let Some(login) = self.present(PresentedBy::Code(&hash), presentation, least_acr).await? {
            self.trail.record(login.handed_off(Kind::HandoffRedeemed, presentation, actor));
            if presentation.replaces.is_some() {
                self.notify_and_catch_up().await;
            }
            return Ok(HandoffOutcome::Presented(Box::new(login)));
        }
        Ok(match self.find_handoff(code, presentation.mode).await? {
            None => HandoffOutcome::Unusable,
            Some(login) if login.authentication.acr < least_acr => {
                HandoffOutcome::BelowLeastAcr(login.user.id)
            }
            Some(login) if login.is_presented => HandoffOutcome::PresentedBefore,
            Some(_) => HandoffOutcome::Unusable,
        })
    }

    /// Presents a login in another mode than that of its credential, `by_mode`. A credential that the mode has of it is replaced, and
    /// dead at once.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub async fn open_in(
        &self,
        login: ClaimedLogin,
        presentation: Presentation,
        by_mode: &str,
        actor: &Actor,
    ) -> Result<Login, ExchangeError> {
        self.flush_last_seen(login.id).await?;
        let opened = self.present(PresentedBy::Credential(login), presentation, Acr::Aal1).await?;
        let Some(login) = opened else { return Err(self.why_not_exchanged(login.id, by_mode).await?) };
        self.trail.record(login.handed_off(Kind::SessionOpened, presentation, actor));
        self.notify_and_catch_up().await;
        Ok(login)
    }

    async fn present(
        &self,
        by: PresentedBy<'_>,
        presentation: Presentation,
        least_acr: Acr,
    ) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let new = NewPresentation { by, presentation, least_acr };
        let presented = store::present(self.requests(), new, now, &self.lifetimes).await?;
        Ok(presented.filter(|login| self.state(login, now) == LoginState::Live))
    }

    /// Notes that an access token of a login is about to be issued, which counts as a use of the login: its revocation is then kept for
    /// as long as the token may be valid. By its credential in this mode.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub async fn note_access_token(&self, login: ClaimedLogin, mode: &str) -> Result<Login, ExchangeError> {
        let now = self.clock.now();
        let noted = store::note_token(self.requests(), login, mode, now, &self.lifetimes).await?;
        match noted.filter(|login| self.state(login, now) == LoginState::Live) {
            Some(login) => Ok(login),
            None => Err(self.why_not_exchanged(login.id, mode).await?),
        }
    }

    async fn why_not_exchanged(&self, id: Uuid, mode: &str) -> Result<ExchangeError, DatabaseError> {
        // Another node may have ended or changed it just now.
        self.notify_and_catch_up().await;
        let live = self.find_live(id, mode).await?;
        Ok(live.map_or(ExchangeError::LoginEnded, |_| ExchangeError::Outdated))
    }
}

impl Login {
    fn handed_off(&self, kind: Kind, presentation: Presentation, actor: &Actor) -> NewEvent {
        NewEvent::new(kind, actor)
            .of_user(self.user.id, &self.user.username)
            .in_login(self.id)
            .in_mode(presentation.mode)
            .by_transport(presentation.transport.as_str())
    }
}
