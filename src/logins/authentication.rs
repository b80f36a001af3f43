//! How the owner of a login authenticated: `amr`, `acr` and `auth_time`, the same for every mode.

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// The names of the authentication methods, one for each bit of [`Amr`]: those of RFC 8176 in use here, plus `email`,
/// `fed` and `rc`.
const NAMES: [&str; 9] = ["pwd", "email", "fed", "otp", "rc", "hwk", "swk", "user", "mfa"];

/// The authentication methods of a login (`amr`: RFC 8176).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amr(u16);

impl Amr {
    /// A password: `pwd`.
    pub const PASSWORD: Self = Self(1);
    /// A code by mail: `email`.
    pub const EMAIL: Self = Self(1 << 1);
    /// What a provider says: `fed`.
    pub const PROVIDER: Self = Self(1 << 2);
    /// A code of an authenticator: `otp`.
    pub const TOTP: Self = Self(1 << 3);
    /// A recovery code: `rc`.
    pub const RECOVERY_CODE: Self = Self(1 << 4);
    /// A key that does not leave its device: `hwk`.
    pub const HARDWARE_KEY: Self = Self(1 << 5);
    /// A key that may leave its device: `swk`.
    pub const SOFTWARE_KEY: Self = Self(1 << 6);
    /// Somebody who was verified by their own device: `user`.
    pub const USER_VERIFIED: Self = Self(1 << 7);
    /// Two factors: `mfa`.
    pub const MULTI_FACTOR: Self = Self(1 << 8);

    /// The methods with these names. Unknown names are ignored, since a newer version may have written them.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().map(Self::of_name).fold(Self::default(), Self::and)
    }

    fn of_name(name: &str) -> Self {
        NAMES.iter().position(|known| *known == name).map_or(Self(0), |bit| Self(1 << bit))
    }

    /// The union of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of these methods is among them.
    pub fn has_any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    /// The names of the methods.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(NAMES).filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name)
    }
}

impl Serialize for Amr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Amr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AmrVisitor)
    }
}

struct AmrVisitor;

impl<'de> Visitor<'de> for AmrVisitor {
    type Value = Amr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names of authentication methods")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Amr, A::Error> {
        let mut amr = Amr::default();
        while let Some(name) = names.next_element::<String>()? {
            amr = amr.and(Amr::of_name(&name));
        }
        Ok(amr)
    }
}

/// The authenticator assurance level of a login (`acr`: OpenID Connect Core, section 2; NIST SP 800-63B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Acr {
    /// One factor was proved.
    #[default]
    Aal1,
    /// Two factors were proved.
    Aal2,
}

impl Acr {
    /// Its name: `aal1` or `aal2`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aal1 => "aal1",
            Self::Aal2 => "aal2",
        }
    }

    /// The level with this name, if it is known.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Aal1, Self::Aal2].into_iter().find(|acr| acr.as_str() == name)
    }

    /// The level for this number in the database.
    pub(super) fn of_level(level: i16) -> Self {
        if level >= 2 { Self::Aal2 } else { Self::Aal1 }
    }

    /// Its number in the database.
    pub fn level(self) -> i16 {
        match self {
            Self::Aal1 => 1,
            Self::Aal2 => 2,
        }
    }
}

impl<'de> Deserialize<'de> for Acr {
    /// An unknown level, which a newer version may have signed, counts as the lowest.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::of_name(&name).unwrap_or_default())
    }
}

/// How a login was authenticated. A refresh does not change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// The methods.
    pub amr: Amr,
    /// The assurance level that the methods add up to.
    pub acr: Acr,
    /// The time of the last authentication, in whole seconds as tokens have it. `None` for an access token signed by
    /// an older version, which does not contain it.
    pub time: Option<DateTime<Utc>>,
}

impl Authentication {
    /// Authentication by these methods, the last of them at this time.
    pub fn new(amr: Amr, acr: Acr, time: DateTime<Utc>) -> Self {
        Self { amr, acr, time: Some(time.trunc_subsecs(0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_known_are_passed_over_and_the_others_kept_once_in_order() {
        let amr = Amr::of_names(["otp", "pwd", "face", "pwd", "mfa"]);
        assert_eq!(amr.names().collect::<Vec<_>>(), ["pwd", "otp", "mfa"]);
        assert_eq!(serde_json::to_string(&amr).expect("JSON"), r#"["pwd","otp","mfa"]"#);
        assert_eq!(serde_json::from_str::<Amr>(r#"["mfa","x","otp","pwd"]"#).expect("names"), amr);
        assert_eq!(Amr::of_names(NAMES).names().collect::<Vec<_>>(), NAMES);
        assert_eq!(Amr::of_names(["pwd"]), Amr::PASSWORD);
        assert_eq!(Amr::of_names(["email"]), Amr::EMAIL);
        assert_eq!(Amr::of_names(["fed"]), Amr::PROVIDER);
        assert_eq!(Amr::of_names(["otp", "rc"]), Amr::TOTP.and(Amr::RECOVERY_CODE));
        assert_eq!(Amr::of_names(["hwk", "user"]), Amr::HARDWARE_KEY.and(Amr::USER_VERIFIED));
        assert_eq!(Amr::of_names(["mfa"]), Amr::MULTI_FACTOR);
    }

    #[test]
    fn an_assurance_that_is_not_known_counts_as_the_least() {
        for (name, acr) in [("aal1", Acr::Aal1), ("aal2", Acr::Aal2), ("aal3", Acr::Aal1), ("", Acr::Aal1)] {
            let read: Acr = serde_json::from_value(name.into()).expect("a string");
            assert_eq!(read, acr, "{name}");
        }
        assert!(Acr::Aal1 < Acr::Aal2);
        assert!([Acr::Aal1, Acr::Aal2].into_iter().all(|acr| Acr::of_level(acr.level()) == acr));
    }
}
