//! What a login needs: whether the proofs of an attempt are enough, and what they come to.

use chrono::{DateTime, Utc};

use crate::factors::Proof;
use crate::logins::{Acr, Amr, Authentication};
use crate::users::User;

/// A user who has proved all that a login of theirs needs.
pub(super) struct Authenticated {
    pub(super) user: User,
    /// When the last proof came.
    pub(super) at: DateTime<Utc>,
    pub(super) proofs: Vec<Proof>,
}

/// What is still wanted of somebody who has proved this: one first factor is enough for a login.
pub(super) fn complete(user: User, proofs: Vec<Proof>, at: DateTime<Utc>) -> Authenticated {
    Authenticated { user, at, proofs }
}

/// What a login comes to with one more proof.
pub(super) fn raise(before: Authentication, proof: Proof, at: DateTime<Utc>) -> Authentication {
    let amr = before.amr.and(proof.amr());
    Authentication::new(amr, assurance(amr).max(before.acr), at)
}

/// A password, which is all that there is, is one factor.
fn assurance(_: Amr) -> Acr {
    Acr::Aal1
}

impl Authenticated {
    /// What their login says of it.
    pub(super) fn authentication(&self) -> Authentication {
        let amr = self.proofs.iter().copied().map(Proof::amr).fold(Amr::default(), Amr::and);
        Authentication::new(amr, assurance(amr), self.at)
    }

    /// How often what proves the account had changed when the first of the proofs came: all of them are worth something as long as
    /// that is so.
    pub(super) fn version(&self) -> i32 {
        self.proofs.iter().copied().map(Proof::version).min().unwrap_or(i32::MIN)
    }
}
