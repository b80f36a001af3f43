//! Renewals of a login's credential: refreshes and step-ups.

use uuid::Uuid;

use crate::audit::{Actor, Kind, NewEvent};
use crate::database::DatabaseError;

use super::credential_rotation_history::GenerationStatus;
use super::login::{
    HandleHash, Login, LoginState, RefreshTokenClaims, RenewalOutcome, StepUp, StepUpOutcome,
};
use super::store::RenewalKey;
use super::{Logins, store};

impl Logins {
    /// Renews a live login: moves it from this generation to the next, and restarts its idle time. Generations that
    /// were replaced within `REFRESH_GRACE` get the current one, since tabs that refresh at once and clients that
    /// missed the response are legitimate. Use of an older generation ends the login (RFC 9700, section 4.14.2).
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew(
        &self,
        claimed: &RefreshTokenClaims,
        actor: &Actor,
    ) -> Result<RenewalOutcome, DatabaseError> {
        match self.rotate(RenewalKey::Claims(claimed), claimed.generation).await? {
            Some(login) => Ok(RenewalOutcome::Renewed(Box::new(login))),
            None => self.check_and_end_if_reused(claimed, actor).await,
        }
    }

    /// Like [`Self::renew`], for a login that is looked up by its handle and that the caller has just found live. An
    /// older generation does not end the login: it gives access to nothing, and whether its holder is the owner is
    /// unknown.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew_handle(
        &self,
        hash: &HandleHash,
        generation: i32,
        mode: &'static str,
    ) -> Result<RenewalOutcome, DatabaseError> {
        if let Some(login) = self.rotate(RenewalKey::Handle(hash, mode), generation).await? {
            self.notify_and_catch_up().await;
            return Ok(RenewalOutcome::Renewed(Box::new(login)));
        }
        let found = store::find_by_handle(self.requests(), hash, mode).await?;
        Ok(self.outcome_of(found.map(|login| self.activity.overlay(login, &self.lifetimes)), generation))
    }

    async fn rotate(&self, which: RenewalKey<'_>, generation: i32) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let moved = store::renew(self.requests(), which, generation, now, &self.lifetimes).await?;
        Ok(moved.filter(|login| self.state(login, now) != LoginState::Ended))
    }

    /// Like [`Self::peek_outcome`], but ends the login if a replaced generation is used again. Does not renew.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn check_and_end_if_reused(
        &self,
        claimed: &RefreshTokenClaims,
        actor: &Actor,
    ) -> Result<RenewalOutcome, DatabaseError> {
        let renewal = self.peek_outcome(claimed).await?;
        if matches!(renewal, RenewalOutcome::Reused) {
            self.end_reused(claimed.login, actor).await?;
        }
        Ok(renewal)
    }

    /// The outcome that a renewal from this generation would have. Changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn peek_outcome(&self, claimed: &RefreshTokenClaims) -> Result<RenewalOutcome, DatabaseError> {
        let found = store::find(self.requests(), claimed.login, claimed.mode).await?;
        let is_another = |login: &Login| !login.is_presented || login.secret_hash != claimed.secret_hash;
        if let Some(login) = found.as_ref().filter(|login| is_another(login)) {
            return Ok(self.outcome_of_secret_mismatch(login, claimed.generation));
        }
        Ok(self.outcome_of(found, claimed.generation))
    }

    fn outcome_of(&self, found: Option<Login>, generation: i32) -> RenewalOutcome {
        // The caller has proof that the login existed: it ended so long ago that its row was deleted.
        let Some(login) = found else { return RenewalOutcome::Expired };
        let now = self.clock.now();
        match self.state(&login, now) {
            LoginState::Ended => RenewalOutcome::Ended,
            LoginState::Expired => RenewalOutcome::Expired,
            LoginState::Live => {
                match login.generations.status_of(generation, self.lifetimes.refresh_grace, now) {
                    GenerationStatus::Current
                    | GenerationStatus::InGrace { .. }
                    | GenerationStatus::Newer => RenewalOutcome::Renewed(Box::new(login)),
                    GenerationStatus::Replaced => RenewalOutcome::Reused,
                    GenerationStatus::Unknown => RenewalOutcome::Unknown,
                }
            }
        }
    }

    /// The outcome for a token with another secret than the login's. A step-up changes the secret; tokens from before
    /// it have an older generation. They don't end the login, since the client may not have received its new token
    /// yet.
    fn outcome_of_secret_mismatch(&self, login: &Login, generation: i32) -> RenewalOutcome {
        if !login.is_presented || generation >= login.generations.current {
            return RenewalOutcome::Unknown;
        }
        match self.state(login, self.clock.now()) {
            LoginState::Live => RenewalOutcome::SteppedUp,
            LoginState::Ended => RenewalOutcome::Ended,
            LoginState::Expired => RenewalOutcome::Expired,
        }
    }

    /// The login with this id as this mode presents it, if it is live.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_live(&self, id: Uuid, mode: &str) -> Result<Option<Login>, DatabaseError> {
        let found = store::find(self.requests(), id, mode).await?;
        let found = found.map(|login| self.activity.overlay(login, &self.lifetimes));
        Ok(found.filter(|login| self.state(login, self.clock.now()) == LoginState::Live))
    }

    /// Whether this generation is accepted for a login that was just read. This node may not know yet that another
    /// one has replaced it.
    pub fn is_presented_by(&self, login: &Login, generation: i32) -> bool {
        let status = login.generations.status_of(generation, self.lifetimes.refresh_grace, self.clock.now());
        !matches!(status, GenerationStatus::Replaced | GenerationStatus::Unknown)
    }

    /// Adds an authentication to a live login, replaces this mode's credential without a grace, and ends the other mode's.
    /// Other nodes are notified, as of an end.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn step_up(
        &self,
        id: Uuid,
        step_up: &StepUp,
        actor: &Actor,
    ) -> Result<StepUpOutcome, DatabaseError> {
        let update = store::StepUpUpdate {
            login: id,
            mode: step_up.mode,
            generation: step_up.generation,
            shown: step_up.shown.unwrap_or_default(),
            password_version: step_up.password_version,
            authentication: step_up.authentication,
            secret_hash: step_up.secret_hash.as_ref(),
            proof: &step_up.proof,
        };
        let stepped_up = store::step_up(self.requests(), update, self.clock.now(), &self.lifetimes).await?;
        // Also when nothing was changed: the reason may be a change on another node just now.
        self.notify_and_catch_up().await;
        match stepped_up {
            Some(login) if self.state(&login, self.clock.now()) == LoginState::Live => {
                self.trail.record(NewEvent::to_oneself(Kind::SteppedUp, actor));
                Ok(StepUpOutcome::SteppedUp(Box::new(login)))
            }
            Some(_) => Ok(StepUpOutcome::Ended),
            None => self.why_not_stepped_up(id, step_up).await,
        }
    }

    async fn why_not_stepped_up(&self, id: Uuid, step_up: &StepUp) -> Result<StepUpOutcome, DatabaseError> {
        Ok(match self.find_live(id, step_up.mode).await? {
            None => StepUpOutcome::Ended,
            Some(login) if !login.is_presented => StepUpOutcome::NotPresented,
            Some(login) if login.generations.current != step_up.generation => StepUpOutcome::Overtaken,
            Some(_) => StepUpOutcome::ProofChanged,
        })
    }
}
