//! How a login goes on: refreshes, and step-ups.

use uuid::Uuid;

use crate::audit::{Actor, Entry, Kind};
use crate::database::DatabaseError;

use super::credential_generations::CredentialStatus;
use super::login::{
    HandleHash, Login, LoginState, RefreshTokenClaims, RenewalOutcome, StepUp, StepUpOutcome,
};
use super::store::RenewalKey;
use super::{Logins, store};

impl Logins {
    /// Moves a live login on from this generation to the next, and starts its idle time anew. Every generation that was
    /// replaced within `REFRESH_GRACE` gets the current one: tabs that renew at once, or a client that never saw the
    /// answer, are honest. An older one ends the login.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew(
        &self,
        claimed: &RefreshTokenClaims,
        actor: &Actor,
    ) -> Result<RenewalOutcome, DatabaseError> {
        match self.move_on(RenewalKey::Claims(claimed), claimed.generation).await? {
            Some(login) => Ok(RenewalOutcome::Renewed(Box::new(login))),
            None => self.check(claimed, actor).await,
        }
    }

    /// The same for a login that is looked up by a handle, and which the caller has just found live. An older
    /// generation ends nothing: it opens nothing either, and who it is that shows it can't be told.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn renew_handle(
        &self,
        hash: &HandleHash,
        generation: i32,
    ) -> Result<RenewalOutcome, DatabaseError> {
        if let Some(login) = self.move_on(RenewalKey::Handle(hash), generation).await? {
            self.announce().await;
            return Ok(RenewalOutcome::Renewed(Box::new(login)));
        }
        let found = store::find_by_handle(self.requests(), hash).await?;
        Ok(self.outcome_of(found.map(|login| self.activity.overlay(login, &self.lifetimes)), generation))
    }

    async fn move_on(&self, which: RenewalKey<'_>, generation: i32) -> Result<Option<Login>, DatabaseError> {
        let now = self.clock.now();
        let moved = store::renew(self.requests(), which, generation, now, &self.lifetimes).await?;
        Ok(moved.filter(|login| self.state(login, now) != LoginState::Ended))
    }

    /// What a renewal from this generation would come to, without one; but a generation that is used again ends
    /// the login here as well.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn check(
        &self,
        claimed: &RefreshTokenClaims,
        actor: &Actor,
    ) -> Result<RenewalOutcome, DatabaseError> {
        let renewal = self.inspect(claimed).await?;
        if matches!(renewal, RenewalOutcome::Reused) {
            self.end_reused(claimed.login, actor).await?;
        }
        Ok(renewal)
    }

    /// What a renewal from this generation would come to. Changes nothing.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn inspect(&self, claimed: &RefreshTokenClaims) -> Result<RenewalOutcome, DatabaseError> {
        let found = store::find(self.requests(), claimed.login).await?;
        let is_another =
            |login: &Login| login.token_expires_at.is_none() || login.secret_hash != claimed.secret_hash;
        if let Some(login) = found.as_ref().filter(|login| is_another(login)) {
            return Ok(self.judge_other_secret(login, claimed.generation));
        }
        Ok(self.outcome_of(found, claimed.generation))
    }

    fn outcome_of(&self, found: Option<Login>, generation: i32) -> RenewalOutcome {
        // Whoever asks has proof that there was such a login: it was over for so long that it has been deleted.
        let Some(login) = found else { return RenewalOutcome::Expired };
        let now = self.clock.now();
        match self.state(&login, now) {
            LoginState::Ended => RenewalOutcome::Ended,
            LoginState::Expired => RenewalOutcome::Expired,
            LoginState::Live => {
                match login.generations.standing(generation, self.lifetimes.refresh_grace, now) {
                    CredentialStatus::Current
                    | CredentialStatus::InGrace { .. }
                    | CredentialStatus::Newer => RenewalOutcome::Renewed(Box::new(login)),
                    CredentialStatus::Over => RenewalOutcome::Reused,
                    CredentialStatus::Forgotten => RenewalOutcome::Unknown,
                }
            }
        }
    }

    /// A step-up gives refresh tokens another secret. Those from before it say an older generation, and end nothing: the client may
    /// not have had its answer yet.
    fn judge_other_secret(&self, login: &Login, generation: i32) -> RenewalOutcome {
        if login.token_expires_at.is_none() || generation >= login.generations.current {
            return RenewalOutcome::Unknown;
        }
        match self.state(login, self.clock.now()) {
            LoginState::Live => RenewalOutcome::SteppedUp,
            LoginState::Ended => RenewalOutcome::Ended,
            LoginState::Expired => RenewalOutcome::Expired,
        }
    }

    /// A login, if it is live.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn find_live(&self, id: Uuid) -> Result<Option<Login>, DatabaseError> {
        let found = store::find(self.requests(), id).await?;
        let found = found.map(|login| self.activity.overlay(login, &self.lifetimes));
        Ok(found.filter(|login| self.state(login, self.clock.now()) == LoginState::Live))
    }

    /// Whether this generation presents a login that was just read. Another node may not have told this one yet that it was
    /// replaced.
    pub fn is_presented_by(&self, login: &Login, generation: i32) -> bool {
        let standing = login.generations.standing(generation, self.lifetimes.refresh_grace, self.clock.now());
        !matches!(standing, CredentialStatus::Over | CredentialStatus::Forgotten)
    }

    /// Notes one more proof of who the owner of a live login is, and has everything dead that presented it before, without a grace. Other
    /// nodes are told, as they are of an end.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn step_up(
        &self,
        id: Uuid,
        step_up: &StepUp,
        actor: &Actor,
    ) -> Result<StepUpOutcome, DatabaseError> {
        let raise = store::StepUpUpdate {
            login: id,
            generation: step_up.generation,
            shown: step_up.shown.unwrap_or_default(),
            password_version: step_up.password_version,
            authentication: step_up.authentication,
            secret_hash: step_up.secret_hash.as_ref(),
        };
        let raised = store::raise(self.requests(), raise, self.clock.now(), &self.lifetimes).await?;
        // Also when it was not: that may be for something that happened a moment ago, on another node.
        self.announce().await;
        match raised {
            Some(login) if self.state(&login, self.clock.now()) == LoginState::Live => {
                self.trail.record(Entry::to_oneself(Kind::SteppedUp, actor));
                Ok(StepUpOutcome::SteppedUp(Box::new(login)))
            }
            Some(_) => Ok(StepUpOutcome::Over),
            None => self.why_not_stepped_up(id, step_up.generation).await,
        }
    }

    async fn why_not_stepped_up(&self, id: Uuid, generation: i32) -> Result<StepUpOutcome, DatabaseError> {
        Ok(match self.find_live(id).await? {
            None => StepUpOutcome::Over,
            Some(login) if login.generations.current != generation => StepUpOutcome::Overtaken,
            Some(_) => StepUpOutcome::ProofChanged,
        })
    }
}
