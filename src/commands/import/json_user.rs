//! Parses a user from a JSON object in the format of one of the supported systems.

use std::collections::HashMap;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::auth0::Auth0User;
use super::firebase::{FirebaseUser, HashConfig};
use super::format::Format;
use super::keycloak::KeycloakUser;
use super::parsed_row::ParsedRow;

/// A parser of the users of one system.
pub(super) enum JsonUserParser {
    /// Our own format, with the members that CSV has as columns.
    Own,
    Auth0,
    Firebase(HashConfig),
    Keycloak,
}

impl JsonUserParser {
    pub(super) fn row(&self, text: &str) -> ParsedRow {
        match self {
            Self::Own => {
                let shape = "it is not a JSON object of exactly email, password_hash and optionally username, each a string";
                read(text, shape, ParsedRow::of)
            }
            Self::Auth0 => read(text, "it is not a user in Auth0's export or import format", Auth0User::row),
            Self::Firebase(config) => {
                read(text, "it is not a user in Firebase's export format", |user: FirebaseUser| {
                    user.row(config)
                })
            }
            Self::Keycloak => read(text, "it is not a user in Keycloak's export format", KeycloakUser::row),
        }
    }
}

/// Parses one object. Error texts are our own, since a parser's might quote a hash.
fn read<U: DeserializeOwned>(text: &str, shape: &str, row: impl FnOnce(U) -> ParsedRow) -> ParsedRow {
    // serde would also accept an array of the members.
    let object = text.trim_start().starts_with('{').then_some(text);
    let user = object.and_then(|text| serde_json::from_str(text).ok());
    user.map_or_else(|| ParsedRow::unreadable(shape), row)
}

/// Detects the system by the members that only its users have.
pub(super) fn detect_format(user: &str) -> Format {
    let members: HashMap<String, IgnoredAny> = serde_json::from_str(user).unwrap_or_default();
    let marks: [(Format, &[&str]); 3] = [
        (Format::Firebase, &["localId"]),
        (Format::Keycloak, &["credentials", "enabled", "realmRoles", "createdTimestamp"]),
        (
            Format::Auth0,
            &["_id", "user_id", "passwordHash", "custom_password_hash", "email_verified", "blocked"],
        ),
    ];
    let is_marked = |(_, marks): &&(Format, &[&str])| marks.iter().any(|mark| members.contains_key(*mark));
    marks.iter().find(is_marked).map_or(Format::Json, |(format, _)| *format)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn of(users: &JsonUserParser, text: &str) -> Result<(Option<String>, String, String), String> {
        let user = users.row(text).user?;
        Ok((user.username, user.email, user.password_hash.expose_secret().to_owned()))
    }

    #[test]
    fn an_object_of_another_shape_is_refused_and_not_repeated() {
        for text in [
            "\"$2b$x\"",
            "[\"ada\", \"ada@example.org\", \"$2b$x\"]",
            r#"{"username": "ada", "email": "ada@example.org"}"#,
            r#"{"username": "ada", "email": "ada@example.org", "password_hash": null}"#,
            r#"{"username": "ada", "email": "ada@example.org", "password_hash": "$2b$x", "is_active": false}"#,
            r#"{"username": "ada", "username": "a", "email": "ada@example.org", "password_hash": "$2b$x"}"#,
            r#"{"username": "ada", "email": "ada@example.org", "password_hash": "$2b$x"} {}"#,
            "{",
        ] {
            let refused = of(&JsonUserParser::Own, text).expect_err(text);
            assert!(!refused.contains("2b"), "{refused}");
        }
    }

    #[test]
    fn a_username_may_be_absent_or_null() {
        for (username, expected) in
            [(r#""username": "ada","#, Some("ada")), (r#""username": null,"#, None), ("", None)]
        {
            let text = format!(r#" {{{username} "password_hash": "$2b$x", "email": "ada@example.org"}}"#);
            let (username, email, hash) = of(&JsonUserParser::Own, &text).expect("a user");
            assert_eq!(
                (username.as_deref(), email.as_str(), hash.as_str()),
                (expected, "ada@example.org", "$2b$x")
            );
        }
    }

    #[test]
    fn who_wrote_a_user_is_told_by_its_members() {
        for (user, expected) in [
            (r#"{"email": "", "password_hash": ""}"#, Format::Json),
            (r#"{"localId": "1", "email": "", "passwordHash": ""}"#, Format::Firebase),
            (r#"{"id": "1", "username": "ada", "enabled": true}"#, Format::Keycloak),
            (r#"{"_id": {"$oid": "1"}, "email": "", "passwordHash": ""}"#, Format::Auth0),
            (r#"{"email": "", "custom_password_hash": {}}"#, Format::Auth0),
            ("[]", Format::Json),
        ] {
            assert_eq!(detect_format(user), expected, "{user}");
        }
    }
}
