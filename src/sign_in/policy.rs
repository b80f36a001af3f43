//! Authentication policy: what proofs are worth, which of them a login needs, and which assurance level they give.

use chrono::{DateTime, Utc};

use crate::challenges::CheckedProof;
use crate::factors::Proof;
use crate::logins::{Acr, Amr, Authentication};
use crate::users::User;

/// Methods that prove a first factor.
const FIRST: [Amr; 3] = [Amr::PASSWORD, Amr::EMAIL, Amr::PROVIDER];

/// Methods that prove a second factor. A key whose owner was verified by it proves both.
const SECOND: [Amr; 4] = [Amr::TOTP, Amr::RECOVERY_CODE, Amr::HARDWARE_KEY, Amr::SOFTWARE_KEY];

/// What the proofs of an attempt come to.
#[derive(Debug)]
pub(super) enum Decision {
    /// The login may start.
    Complete(Authenticated),
    /// The account has two-step sign-in, and the second factor has yet to be proved.
    SecondFactorWanted(Authenticated),
}

/// A user, and what was proved of them.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) user: User,
    /// The methods of the proofs.
    pub(super) amr: Amr,
    /// The account's credential version at the oldest proof. The proofs are valid as long as the account has this version.
    pub(super) version: i32,
    /// The assurance level that the last proof gives by itself.
    least: Acr,
    /// What the login that begins uses up.
    pub(super) checked: CheckedProof,
    /// The time of the last proof.
    at: DateTime<Utc>,
}

impl Authenticated {
    /// After a proof, beside the methods that were proved before it under the same version.
    pub(super) fn new(user: User, before: Amr, proof: Proof, at: DateTime<Utc>) -> Self {
        let (amr, version, least) = (before.and(proof.amr()), proof.version(), proof.acr());
        Self { user, amr, version, least, checked: CheckedProof::default(), at }
    }

    /// By a proof that the login which begins uses up.
    pub(super) fn using(self, checked: CheckedProof) -> Self {
        Self { checked, ..self }
    }

    /// Decides whether a login may start. With two-step sign-in it takes both factors, else any first one.
    pub(super) fn decide(self, has_two_step: bool) -> Decision {
        if has_two_step && assurance(self.amr).max(self.least) < Acr::Aal2 {
            Decision::SecondFactorWanted(self)
        } else {
            Decision::Complete(self)
        }
    }

    /// Whether a first factor was proved.
    pub(super) fn has_first_factor(&self) -> bool {
        [&FIRST[..], &[Amr::USER_VERIFIED]].concat().into_iter().any(|method| self.amr.has_any(method))
    }

    /// The authentication to store with the login.
    pub(super) fn authentication(&self) -> Authentication {
        authentication(self.amr, self.least, self.at)
    }
}

/// A login's authentication after one more proof, by this method, which gives this assurance level by itself.
pub(super) fn with_proof(
    before: Authentication,
    method: Amr,
    least: Acr,
    at: DateTime<Utc>,
) -> Authentication {
    authentication(before.amr.and(method), before.acr.max(least), at)
}

fn authentication(amr: Amr, least: Acr, at: DateTime<Utc>) -> Authentication {
    let acr = assurance(amr).max(least);
    let amr = if acr >= Acr::Aal2 { amr.and(Amr::MULTI_FACTOR) } else { amr };
    Authentication::new(amr, acr, at)
}

/// The assurance level of methods: the higher one with a first factor and a second, or one that is both.
fn assurance(amr: Amr) -> Acr {
    let proves = |methods: &[Amr]| methods.iter().any(|method| amr.has_any(*method));
    let both = amr.has_any(Amr::USER_VERIFIED) || proves(&FIRST) && proves(&SECOND);
    if both { Acr::Aal2 } else { Acr::Aal1 }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user() -> User {
        User {
            id: Uuid::nil(),
            username: "ada".to_owned(),
            email: "ada@example.org".to_owned(),
            email_verified: true,
            roles: Vec::new(),
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    const VERSION: i32 = 7;
    const PROOFS: [Proof; 4] = [
        Proof::Password { version: VERSION },
        Proof::EmailCode { version: VERSION },
        Proof::Totp { version: VERSION },
        Proof::RecoveryCode { version: VERSION },
    ];

    fn names(authentication: Authentication) -> Vec<&'static str> {
        authentication.amr.names().collect()
    }

    #[test]
    fn each_proof_alone_is_one_factor_and_starts_a_login_only_without_two_step_sign_in() {
        for (proof, name) in PROOFS.into_iter().zip(["pwd", "email", "otp", "rc"]) {
            let proved = || Authenticated::new(user(), Amr::default(), proof, DateTime::UNIX_EPOCH);
            let authentication = proved().authentication();
            assert_eq!((names(authentication), authentication.acr), (vec![name], Acr::Aal1));
            assert_eq!(proved().version, VERSION);
            assert!(matches!(proved().decide(false), Decision::Complete(_)), "{name}");
            assert!(matches!(proved().decide(true), Decision::SecondFactorWanted(_)), "{name}");
        }
    }

    #[test]
    fn a_first_factor_and_a_second_come_to_aal2_and_two_of_a_kind_do_not() {
        for (one, first) in PROOFS.into_iter().zip([true, true, false, false]) {
            for (other, also_first) in PROOFS.into_iter().zip([true, true, false, false]) {
                let proved = || Authenticated::new(user(), one.amr(), other, DateTime::UNIX_EPOCH);
                let authentication = proved().authentication();
                let is_both = first != also_first;
                let acr = if is_both { Acr::Aal2 } else { Acr::Aal1 };
                assert_eq!(authentication.acr, acr, "{one:?} {other:?}");
                assert_eq!(names(authentication).contains(&"mfa"), is_both, "{one:?} {other:?}");
                assert_eq!(matches!(proved().decide(true), Decision::Complete(_)), is_both);
            }
        }
    }

    #[test]
    fn a_passkey_is_both_factors_and_a_security_key_a_second_one() {
        let proved = |before, proof| Authenticated::new(user(), before, proof, DateTime::UNIX_EPOCH);
        let version = VERSION;
        for (synced, key) in [(false, "hwk"), (true, "swk")] {
            let (user_verified, user_not_verified) = (true, false);
            let passkey = proved(Amr::default(), Proof::Passkey { synced, user_verified, version });
            let authentication = passkey.authentication();
            assert_eq!((names(authentication), authentication.acr), (vec![key, "user", "mfa"], Acr::Aal2));
            assert!(matches!(passkey.decide(true), Decision::Complete(_)));
            let proof = Proof::Passkey { synced, user_verified: user_not_verified, version };
            let alone = proved(Amr::default(), proof);
            assert_eq!((names(alone.authentication()), alone.authentication().acr), (vec![key], Acr::Aal1));
            assert!(matches!(alone.decide(true), Decision::SecondFactorWanted(_)));
            let after_a_password = proved(Amr::PASSWORD, proof).authentication();
            assert_eq!((names(after_a_password), after_a_password.acr), (vec!["pwd", key, "mfa"], Acr::Aal2));
        }
        let key = Proof::SecurityKey { version };
        for (before, names_then, acr) in [
            (Amr::default(), vec!["hwk"], Acr::Aal1),
            (Amr::TOTP, vec!["otp", "hwk"], Acr::Aal1),
            (Amr::PASSWORD, vec!["pwd", "hwk", "mfa"], Acr::Aal2),
        ] {
            let authenticated = proved(before, key);
            let authentication = authenticated.authentication();
            assert_eq!((names(authentication), authentication.acr), (names_then, acr));
            assert_eq!(matches!(authenticated.decide(true), Decision::Complete(_)), acr == Acr::Aal2);
        }
    }

    #[test]
    fn every_set_of_methods_is_worth_what_its_best_pair_is() {
        for (methods, acr) in [
            (&["fed"][..], Acr::Aal1),
            (&["fed", "otp"], Acr::Aal2),
            (&["hwk"], Acr::Aal1),
            (&["pwd", "hwk"], Acr::Aal2),
            (&["otp", "rc", "hwk"], Acr::Aal1),
            (&["pwd", "email", "fed"], Acr::Aal1),
            (&["hwk", "user"], Acr::Aal2),
            (&["swk", "user"], Acr::Aal2),
            (&["swk"], Acr::Aal1),
            (&["pwd", "swk"], Acr::Aal2),
            (&["otp", "swk"], Acr::Aal1),
            (&["mfa"], Acr::Aal1),
            (&[], Acr::Aal1),
        ] {
            assert_eq!(assurance(Amr::of_names(methods.iter().copied())), acr, "{methods:?}");
        }
    }

    #[test]
    fn a_step_up_adds_its_method_moves_the_time_and_never_lowers() {
        let start = Authentication::new(Amr::PASSWORD, Acr::Aal1, DateTime::UNIX_EPOCH);
        let later = DateTime::from_timestamp(1_000, 0).expect("a time");
        let again = with_proof(start, Amr::PASSWORD, Acr::Aal1, later);
        assert_eq!((names(again), again.acr, again.time), (vec!["pwd"], Acr::Aal1, Some(later)));
        let raised = with_proof(start, Amr::TOTP, Acr::Aal1, later);
        assert_eq!((names(raised), raised.acr), (vec!["pwd", "otp", "mfa"], Acr::Aal2));
        // A level that a later version gave, by methods that are not known here.
        let unknown = Authentication::new(Amr::default(), Acr::Aal2, DateTime::UNIX_EPOCH);
        assert_eq!(with_proof(unknown, Amr::PASSWORD, Acr::Aal1, later).acr, Acr::Aal2);
    }
}
