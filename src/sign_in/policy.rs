//! Authentication policy: which proofs a login needs, and which assurance level they give.

use chrono::{DateTime, Utc};

use crate::factors::Proof;
use crate::logins::{Acr, Amr, Authentication};
use crate::users::User;

/// A user whose proofs suffice for a login.
pub(super) struct Authenticated {
    pub(super) user: User,
    /// The time of the last proof.
    pub(super) at: DateTime<Utc>,
    pub(super) proofs: Vec<Proof>,
}

/// Evaluates the proofs of an attempt. Any one first factor is enough for a login.
pub(super) fn evaluate(user: User, proofs: Vec<Proof>, at: DateTime<Utc>) -> Authenticated {
    Authenticated { user, at, proofs }
}

/// A login's authentication after a step-up with one more proof.
pub(super) fn with_step_up(before: Authentication, proof: Proof, at: DateTime<Utc>) -> Authentication {
    let amr = before.amr.and(proof.amr());
    Authentication::new(amr, assurance(amr).max(before.acr), at)
}

/// The assurance level of methods: always one factor, since none of the methods so far is a second one.
fn assurance(_: Amr) -> Acr {
    Acr::Aal1
}

impl Authenticated {
    /// The authentication to store with the login.
    pub(super) fn authentication(&self) -> Authentication {
        let amr = self.proofs.iter().copied().map(Proof::amr).fold(Amr::default(), Amr::and);
        Authentication::new(amr, assurance(amr), self.at)
    }

    /// The account's credential version at the oldest proof. The proofs are valid as long as the account has this version.
    pub(super) fn version(&self) -> i32 {
        self.proofs.iter().copied().map(Proof::version).min().unwrap_or(i32::MIN)
    }
}
