//! How recent and how strong a login's authentication must be for a request (RFC 9470).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::{Code, Problem};
use crate::logins::{Acr, Authentication};

/// Requirements on a login beyond being live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationRequirement {
    /// The least assurance level (`acr_values`).
    pub acr: Option<Acr>,
    /// The greatest age of the last authentication (`max_age`), in whole seconds.
    pub max_age: Option<Duration>,
}

impl AuthenticationRequirement {
    /// Returns `true` if a login that was authenticated like this meets the requirements.
    pub fn is_met_by(&self, authentication: &Authentication, now: DateTime<Utc>) -> bool {
        let is_enough = self.acr.is_none_or(|acr| authentication.acr >= acr);
        let is_recent = |max_age| match authentication.time {
            // A time in the future comes from a node whose clock is ahead: age zero.
            Some(time) => (now - time).to_std().unwrap_or_default() <= max_age,
            None => false,
        };
        is_enough && self.max_age.is_none_or(is_recent)
    }

    /// The value of `WWW-Authenticate` (RFC 9470, section 3).
    fn challenge(&self) -> String {
        let mut challenge = r#"Bearer error="insufficient_user_authentication""#.to_owned();
        if let Some(acr) = self.acr {
            challenge += &format!(r#", acr_values="{}""#, acr.as_str());
        }
        if let Some(max_age) = self.max_age {
            challenge += &format!(r#", max_age="{}""#, max_age.as_secs());
        }
        challenge
    }

    /// The refusal of a login that does not meet the requirements. `methods` are those of step-up by which it would.
    pub fn problem(&self, methods: &[&str]) -> Problem {
        let detail = "This needs a more recent or stronger authentication: step up, and try again.";
        let mut problem = Problem::new(Code::InsufficientUserAuthentication, detail).with("methods", methods);
        if let Some(acr) = self.acr {
            problem = problem.with("acr_values", acr.as_str());
        }
        if let Some(max_age) = self.max_age {
            problem = problem.with("max_age", max_age.as_secs());
        }
        problem.with_header("www-authenticate", self.challenge())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logins::Amr;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    #[test]
    fn a_login_is_fresh_up_to_the_last_second_and_one_that_does_not_say_never_is() {
        let wanted = AuthenticationRequirement { acr: None, max_age: Some(Duration::from_secs(600)) };
        let proved = Authentication::new(Amr::PASSWORD, Acr::Aal1, at(1_000));
        assert!(wanted.is_met_by(&proved, at(1_600)));
        assert!(!wanted.is_met_by(&proved, at(1_601)));
        assert!(wanted.is_met_by(&proved, at(990)), "by a clock that is behind");
        assert!(!wanted.is_met_by(&Authentication::default(), at(0)));
        assert!(AuthenticationRequirement::default().is_met_by(&Authentication::default(), at(0)));
    }

    #[test]
    fn an_assurance_is_met_by_itself_and_by_more() {
        for (acr, wanted, is_met) in [
            (Acr::Aal1, Acr::Aal1, true),
            (Acr::Aal1, Acr::Aal2, false),
            (Acr::Aal2, Acr::Aal1, true),
            (Acr::Aal2, Acr::Aal2, true),
        ] {
            let proved = Authentication::new(Amr::PASSWORD, acr, at(0));
            let wanted = AuthenticationRequirement { acr: Some(wanted), max_age: None };
            assert_eq!(wanted.is_met_by(&proved, at(1_000_000)), is_met, "{wanted:?}");
        }
    }

    #[test]
    fn the_challenge_names_what_is_wanted_and_nothing_else() {
        let max_age = Some(Duration::from_secs(600));
        let error = r#"Bearer error="insufficient_user_authentication""#;
        for (wanted, names) in [
            (AuthenticationRequirement { acr: None, max_age }, r#", max_age="600""#),
            (AuthenticationRequirement { acr: Some(Acr::Aal2), max_age: None }, r#", acr_values="aal2""#),
            (
                AuthenticationRequirement { acr: Some(Acr::Aal2), max_age },
                r#", acr_values="aal2", max_age="600""#,
            ),
        ] {
            assert_eq!(wanted.challenge(), format!("{error}{names}"));
        }
    }
}
