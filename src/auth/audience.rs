//! The audience of a token (`aud`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The audience of a token (RFC 7519, section 4.1.3): a string for one, an array for several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Audience {
    /// A single one.
    One(String),
    /// Two or more.
    Several(Vec<String>),
}

impl Audience {
    /// Whether the two have a name in common. An array with one name never matches: we write that as a string.
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_ours = !matches!(self, Self::Several(names) if names.len() < 2);
        is_ours && self.names().iter().any(|name| other.names().contains(name))
    }

    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl From<Vec<String>> for Audience {
    fn from(mut names: Vec<String>) -> Self {
        match names.pop() {
            Some(name) if names.is_empty() => Self::One(name),
            last => Self::Several(names.into_iter().chain(last).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(names: &[&str]) -> Audience {
        names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().into()
    }

    #[test]
    fn one_is_a_string_and_several_are_an_array() {
        for (names, written) in [(&["api"][..], json!("api")), (&["api", "web"], json!(["api", "web"]))] {
            assert_eq!(serde_json::to_value(of(names)).expect("JSON"), written);
            assert_eq!(serde_json::from_value::<Audience>(written).expect("an audience"), of(names));
        }
        for wrong in [json!(null), json!(1), json!([1]), json!({})] {
            assert!(serde_json::from_value::<Audience>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_in_common_is_enough() {
        let (api, web, both) = (of(&["api"]), of(&["web"]), of(&["api", "web"]));
        assert!(api.overlaps(&both) && both.overlaps(&web) && both.overlaps(&both));
        assert!(!Audience::Several(vec!["api".to_owned()]).overlaps(&api));
        assert!(!api.overlaps(&web) && !of(&[]).overlaps(&both) && !of(&["ap", "API"]).overlaps(&api));
    }
}
