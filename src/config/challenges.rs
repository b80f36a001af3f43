//! `CHALLENGE_TTL`, `EMAIL_SIGN_IN`, `REGISTRATION` and `SECOND_FACTOR`: what codes by mail are good for, and what a sign-in takes.

use std::time::Duration;

use super::mail::MailConfig;
use super::reader::Reader;

/// Settings of challenges.
#[derive(Clone, Copy, Debug)]
pub struct ChallengeConfig {
    /// `CHALLENGE_TTL`: how long one is good; with a code by mail for 10 minutes at most.
    pub ttl: Duration,
    /// `EMAIL_SIGN_IN`: whether a code by mail is a first factor.
    pub email_sign_in: bool,
    /// `SECOND_FACTOR`: whether a login below aal2 may do nothing but get there.
    pub second_factor_required: bool,
    /// `REGISTRATION`; by default `verified` with `SMTP_URL`.
    pub registration: RegistrationPolicy,
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationPolicy {
    /// Anybody, with any address.
    Open,
    /// Anybody who proves to have the address.
    Verified,
    /// Nobody.
    Closed,
}

impl ChallengeConfig {
    pub(super) fn read<V: Fn(&str) -> Option<String>>(reader: &mut Reader<V>, mail: &MailConfig) -> Self {
        use RegistrationPolicy::{Closed, Open, Verified};
        let open = ("open", Open);
        let verified = ("verified", Verified);
        let (default, other) = if mail.smtp.is_some() { (verified, open) } else { (open, verified) };
        Self {
            ttl: reader.duration("CHALLENGE_TTL", "10m"),
            email_sign_in: reader.choice("EMAIL_SIGN_IN", [("off", false), ("on", true)]),
            second_factor_required: reader.choice("SECOND_FACTOR", [("optional", false), ("required", true)]),
            registration: reader.choice("REGISTRATION", [default, other, ("closed", Closed)]),
        }
    }
}
