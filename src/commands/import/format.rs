//! What a file is written in: told by the operator, or else by its name and its beginning.

use std::collections::HashMap;
use std::path::Path;

use clap::ValueEnum;
use serde::de::IgnoredAny;

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// CSV; its first line names the columns username (optional), email, password_hash
    Csv,
    /// JSON objects with these members, one a line or in an array
    Json,
    /// What Auth0 exports with hashes, or what its bulk import takes
    Auth0,
    /// What `firebase auth:export` writes as JSON; needs --firebase-hash-config
    Firebase,
    /// What `kc.sh export` writes
    Keycloak,
}

/// How users stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One a line, below a header.
    Csv,
    /// An object a line.
    JsonLines,
    /// One JSON document with all of them.
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

/// A line that is an object by itself is a user, unless it has users in it. One that is broken does not make a document of
/// the lines that follow.
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
