//! Format and layout of an import file: as the operator says, or else detected by its name and beginning.

use std::collections::HashMap;
use std::path::Path;

use clap::ValueEnum;
use serde::de::IgnoredAny;

/// The system that wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// CSV; its first line names the columns username (optional), email, password_hash
    Csv,
    /// JSON objects with these members, one a line or in an array
    Json,
    /// Auth0's export with hashes, or the input of its bulk import
    Auth0,
    /// The JSON output of `firebase auth:export`; needs --firebase-hash-config
    Firebase,
    /// The output of `kc.sh export`
    Keycloak,
}

/// How the users are laid out in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One user per line, below a header.
    Csv,
    /// One JSON object per line.
    JsonLines,
    /// One JSON document with all users.
    Document,
}

impl Layout {
    pub(super) fn of(asked: Option<Format>, path: &Path, head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head);
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match (asked, extension.to_ascii_lowercase().as_str()) {
            (Some(Format::Csv), _) | (None, "csv") => Self::Csv,
            (_, "jsonl" | "ndjson") => Self::JsonLines,
            _ if is_json_lines(&head) => Self::JsonLines,
            (Some(_), _) => Self::Document,
            (None, _) if head.trim_start().starts_with(['{', '[']) => Self::Document,
            (None, _) => Self::Csv,
        }
    }
}

/// Returns `true` if the first line is an object by itself, but not one with a member `users`. If that line is malformed
/// but looks like an object, the next line decides.
fn is_json_lines(head: &str) -> bool {
    let mut lines = head.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(first) = lines.next().filter(|line| line.starts_with('{')) else { return false };
    match serde_json::from_str::<HashMap<String, IgnoredAny>>(first) {
        Ok(members) => !members.contains_key("users"),
        Err(_) => first.ends_with('}') && lines.next().is_some_and(|line| line.starts_with('{')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_beginning_tells_how_users_stand_in_it_unless_its_name_does() {
        let user = r#"{"email": "ada@example.org"}"#;
        for (name, head, expected) in [
            ("users.csv", "{}", Layout::Csv),
            ("users.txt", "username,email,password_hash\n", Layout::Csv),
            ("-", "email,password_hash", Layout::Csv),
            ("users.jsonl", "[", Layout::JsonLines),
            ("users.NDJSON", "{", Layout::JsonLines),
            ("users.json", user, Layout::JsonLines),
            ("-", &format!("\n {user}\r\n{user}"), Layout::JsonLines),
            ("-", "{\"email\": ada}\n{}", Layout::JsonLines),
            ("users.json", "[", Layout::Document),
            ("-", &format!("[{user}]"), Layout::Document),
            ("-", &format!("{{\"users\": [{user}]}}"), Layout::Document),
            ("-", "{\n  \"realm\": \"main\",\n", Layout::Document),
            ("-", &format!("{{\"realm\": \"{}", "x".repeat(20_000)), Layout::Document),
        ] {
            assert_eq!(Layout::of(None, Path::new(name), head.as_bytes()), expected, "{name}: {head}");
        }
    }

    #[test]
    fn the_operator_has_the_last_word_on_the_format() {
        let of = |format, name: &str, head: &str| Layout::of(Some(format), Path::new(name), head.as_bytes());
        assert_eq!(of(Format::Csv, "users.jsonl", "{}"), Layout::Csv);
        assert_eq!(of(Format::Keycloak, "users.csv", "{\n"), Layout::Document);
        assert_eq!(of(Format::Auth0, "users.csv", "{}\n"), Layout::JsonLines);
    }
}
