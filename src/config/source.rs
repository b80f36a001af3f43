//! The source of a setting's value: its variable, or the file that `NAME_FILE` names.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Maximum size of a value in a file, in bytes.
const MOST: u64 = 64 * 1024;

/// Settings that must not be empty, with what would silently happen: another database or secret would be used.
const NEVER_EMPTY: [(&str, &str); 3] = [
    ("DATABASE_URL", "a private Postgres is used"),
    ("APP_SECRET", "one is generated and stored in the database"),
    ("JWT_KEY_FILE", "keys are generated and stored in the database"),
];

/// Looks up values of settings by name.
pub(super) struct SettingValues<V> {
    vars: V,
    /// Values that were read, since a pipe can be read only once.
    known: HashMap<String, Option<String>>,
}

impl<V: Fn(&str) -> Option<String>> SettingValues<V> {
    pub(super) fn new(vars: V) -> Self {
        Self { vars, known: HashMap::new() }
    }

    /// The value as it was given. `None` when it is not set, or is empty where that means the same. An error is
    /// reported only once.
    ///
    /// # Errors
    /// What is wrong, for the operator. Contains neither the value nor the file's path, since the operator may have
    /// written the secret in place of the path.
    pub(super) fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        if let Some(value) = self.known.get(name) {
            return Ok(value.clone());
        }
        let value = self.look_up(name);
        self.known.insert(name.to_owned(), value.clone().unwrap_or_default());
        value
    }

    fn look_up(&self, name: &str) -> Result<Option<String>, String> {
        let given = (self.vars)(name);
        let file = format!("{name}_FILE");
        // Settings ending in _FILE, such as JWT_KEY_FILE, are paths themselves.
        let path = if name.ends_with("_FILE") { None } else { (self.vars)(&file) };
        let is_given = |value: &Option<String>| value.as_deref().is_some_and(|value| !is_blank(value));
        if is_given(&given) && is_given(&path) {
            return Err(format!("{name} and {file} are both set: leave one of them out"));
        }
        let given = unless_empty(name, name, given)?;
        let Some(path) = unless_empty(name, &file, path)? else { return Ok(given) };
        let value = read(&path).map_err(|error| format!("{file} can't be read: {error}"))?;
        unless_empty(name, &format!("the file that {file} names"), Some(value))
    }
}

fn is_blank(value: &str) -> bool {
    value.trim().is_empty()
}

/// `None` for an empty value, or an error for the settings in [`NEVER_EMPTY`]. `holder` names the variable or file in
/// it.
fn unless_empty(name: &str, holder: &str, value: Option<String>) -> Result<Option<String>, String> {
    let Some(value) = value else { return Ok(None) };
    if !is_blank(&value) {
        return Ok(Some(value));
    }
    match NEVER_EMPTY.iter().find(|(never, _)| *never == name) {
        Some((_, otherwise)) => {
            Err(format!("{holder} is empty. Give {name} a value, or leave it out: then {otherwise}"))
        }
        None => Ok(None),
    }
}

/// Reads a short file, without the trailing line break that editors and `echo` add.
pub(super) fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(io::Error::other(format!("it is longer than {MOST} bytes")));
    }
    let line = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
    Ok(line.unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random_bytes;

    fn value(name: &str, given: &[(&str, &str)]) -> Result<Option<String>, String> {
        let vars =
            |name: &str| given.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        SettingValues::new(vars).value(name)
    }

    /// The path of a new file with this content.
    fn file(content: &[u8]) -> String {
        let path = std::env::temp_dir()
            .join(format!("dualauth-setting-{:016x}", u64::from_ne_bytes(random_bytes())));
        std::fs::write(&path, content).expect("a file");
        path.to_str().expect("a path").to_owned()
    }

    fn value_in_file(name: &str, content: &[u8]) -> Result<Option<String>, String> {
        let path = file(content);
        let value = value(name, &[(&format!("{name}_FILE"), &path)]);
        std::fs::remove_file(path).expect("it is there");
        value
    }

    #[test]
    fn a_file_s_last_line_break_is_no_part_of_the_value() {
        for (content, expected) in [
            ("a b", "a b"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            (" a$b# \n", " a$b# "),
            ("a\r", "a\r"),
        ] {
            assert_eq!(
                value_in_file("LOG", content.as_bytes()),
                Ok(Some(expected.to_owned())),
                "{content:?}"
            );
        }
        assert_eq!(value_in_file("LOG", b"\n"), Ok(None));
    }

    #[test]
    fn what_can_t_be_read_is_told_without_what_was_given() {
        assert!(
            value_in_file("APP_SECRET", b"hunter2 \xff").expect_err("no text").contains("APP_SECRET_FILE")
        );
        assert!(value_in_file("APP_SECRET", &[b'a'; 65_537]).expect_err("too long").contains("65536 bytes"));
        for path in ["hunter2", "/", "", " "] {
            let told = value("APP_SECRET", &[("APP_SECRET_FILE", path)]).expect_err(path);
            assert!(told.contains("APP_SECRET_FILE") && !told.contains("hunter"), "{told}");
        }
        let told = value("LOG", &[("LOG", "hunter2"), ("LOG_FILE", "hunter3")]).expect_err("both");
        assert!(told.contains("LOG and LOG_FILE") && !told.contains("hunter"), "{told}");
    }

    #[test]
    fn an_empty_value_is_none_unless_it_would_mean_another_database_or_secret() {
        for blank in ["", " ", "\t\n"] {
            assert_eq!(value("SESSION_TTL", &[("SESSION_TTL", blank)]), Ok(None));
            assert_eq!(value("SESSION_TTL", &[("SESSION_TTL_FILE", blank)]), Ok(None));
            assert_eq!(value("APP_SECRET_PREVIOUS", &[("APP_SECRET_PREVIOUS", blank)]), Ok(None));
            for name in ["DATABASE_URL", "APP_SECRET", "JWT_KEY_FILE"] {
                assert!(value(name, &[(name, blank)]).expect_err(name).contains(&format!("{name} is empty")));
            }
            assert!(value_in_file("DATABASE_URL", blank.as_bytes()).expect_err("empty").contains("is empty"));
        }
        for name in ["DATABASE_URL", "APP_SECRET", "JWT_KEY_FILE", "LOG"] {
            assert_eq!(value(name, &[]), Ok(None));
        }
    }

    #[test]
    fn a_setting_that_names_a_file_is_its_name() {
        let given = [("JWT_KEY_FILE", "a"), ("JWT_KEY_FILE_FILE", "b")];
        assert_eq!(value("JWT_KEY_FILE", &given), Ok(Some("a".to_owned())));
    }
}
