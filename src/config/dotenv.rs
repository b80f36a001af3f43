//! Reads `.env`. Errors name the line's number, never its content.
//!
//! Values are literal: `$` is not expanded. As in docker compose, ` #` starts a comment after an unquoted value, and
//! quotes around a value are removed.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

const EXPECTED: &str = "can't be read. It must be NAME=value, or NAME='value' for one that begins with a quote, ends with a space or has \" #\" in it";

/// Sets the variables of this file that the environment does not have, and returns the names of all variables in it;
/// none if there is no file.
///
/// # Errors
/// What is wrong with the file, for the operator.
pub(super) fn load(path: &Path) -> Result<Vec<String>, String> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{shown}: {error}")),
    };
    let pairs = parse(&text).map_err(|error| format!("{shown}, {error}"))?;
    // dotenvy can set variables, which would need unsafe code here.
    dotenvy::from_read(escaped(&pairs).as_bytes()).map_err(|_| format!("{shown}: can't be read"))?;
    Ok(pairs.into_iter().map(|(name, _)| name).collect())
}

/// Sets a variable to the empty value, if it is set.
pub(super) fn clear_variable(name: &str) {
    if std::env::var_os(name).is_some() {
        // Can't fail: the format is that of `escaped`.
        let _ = dotenvy::from_read_override(format!("{name}=\"\"\n").as_bytes());
    }
}

/// The names and values, in order.
fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    // Skip a byte order mark.
    let mut rest = text.trim_start_matches('\u{feff}');
    let (mut pairs, mut lines) = (Vec::new(), HashMap::new());
    while !rest.is_empty() {
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let (pair, after) = statement(rest).ok_or_else(|| format!("line {line}: {EXPECTED}"))?;
        if let Some((name, value)) = pair {
            if let Some(earlier) = lines.insert(name.clone(), line) {
                return Err(format!("line {line}: {name} is set in line {earlier} already"));
            }
            pairs.push((name, value));
        }
        rest = after;
    }
    Ok(pairs)
}

/// Parses one assignment, empty line or comment, and returns the rest of the text. `None` when it is none of these.
fn statement(text: &str) -> Option<(Option<(String, String)>, &str)> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Some((None, after));
    }
    let (name, value) = text.split_once('=')?;
    let name = name.trim_start();
    let exported = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let name = exported.unwrap_or(name).trim_matches([' ', '\t']);
    let begins = value.trim_start_matches([' ', '\t']);
    let (value, after) = match begins.chars().next() {
        Some(quote @ ('\'' | '"')) => quoted(&begins[1..], quote)?,
        _ => unquoted(value),
    };
    (is_name(name) && !value.contains('\0')).then(|| (Some((name.to_owned(), value)), after))
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    name.bytes().all(is_part)
        && !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

/// Up to the end of the line, or to a comment.
fn unquoted(text: &str) -> (String, &str) {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with([' ', '\t']));
    let value = comment.map_or(line, |(at, _)| &line[..at]);
    (value.trim().to_owned(), after)
}

/// Up to the closing quote, possibly on a later line. In double quotes, a backslash escapes `"`, `\` and `$`, and a
/// backslash with an `n` is a line break.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let escaped = letters.peek().map(|(_, next)| *next).filter(|_| letter == '\\' && quote == '"');
        match (letter, escaped) {
            (_, Some(next @ ('"' | '\\' | '$'))) => value.push(next),
            (_, Some('n')) => value.push('\n'),
            _ if letter == quote => {
                let (line, after) = text[at + 1..].split_once('\n').unwrap_or((&text[at + 1..], ""));
                let is_over = line.trim().is_empty()
                    || line.starts_with([' ', '\t']) && line.trim_start().starts_with('#');
                return is_over.then_some((value, after));
            }
            _ => {
                value.push(letter);
                continue;
            }
        }
        letters.next();
    }
    None
}

/// The assignments in a format that `dotenvy` does not expand.
fn escaped(pairs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('$', r"\$").replace('\n', r"\n");
        let _ = writeln!(text, "{name}=\"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn value(text: &str) -> String {
        let [(_, value)] = &read(text)[..] else { panic!("one was expected in {text}") };
        value.clone()
    }

    fn told(text: &str) -> String {
        parse(text).expect_err("a line that is wrong")
    }

    #[test]
    fn a_value_is_taken_as_it_is() {
        for text in [
            "a$b${c}$$d$",
            r"back\slash\\n",
            "hash#inside",
            "two  words",
            "a=b=c==",
            "it's \"quoted\"",
            "%24{}[]()&;|<>`!*?~",
            "päß\u{1f980}",
        ] {
            assert_eq!(value(&format!("A={text}")), text);
            assert_eq!(value(&format!("A={text}\r\nB=1").replace("\nB=1", "")), text);
            if !text.contains('\'') {
                assert_eq!(value(&format!("A='{text}'")), text);
            }
        }
        assert_eq!(value("A=\"$B ${C} #d\""), "$B ${C} #d");
        assert_eq!(value("A=\"a\\\"b\\\\c\\$d\\ne\\f\""), "a\"b\\c$d\ne\\f");
        assert_eq!(value("A='\\\"'"), "\\\"");
        assert_eq!(value("A='1\n2'"), "1\n2");
    }

    #[test]
    fn what_is_round_a_value_is_no_part_of_it() {
        for text in [
            "A=b",
            "A=b ",
            " A = b # c",
            "A=b\t#c",
            "export A=b",
            "export\tA='b' # c",
            "A=\"b\"\t",
            "\u{feff}A=b",
        ] {
            assert_eq!(read(text), [("A".to_owned(), "b".to_owned())], "{text}");
        }
        assert_eq!(value("A=#b"), "#b");
        for text in ["A=", "A= ", "A=''", "A=\"\" # c", "A= # c", "A=\n"] {
            assert_eq!(value(text), "", "{text}");
        }
        assert_eq!(read("# A=1\n\n  # B=2\nexport=3\r\nC=4\n").len(), 2);
    }

    #[test]
    fn a_line_that_can_t_be_read_is_told_by_its_number() {
        for (text, line) in [
            ("LOG=info\n\n# a note\nAPP SECRET=hunter2\n", 4),
            ("A=1\r\nhunter2 hunter3\r\n", 2),
            ("hunter2 hunter3", 1),
            ("hunter2\nA=1", 1),
            ("A='hunter2'hunter3", 1),
            ("A=1\n=hunter2", 2),
            ("A=1\n2A=hunter2", 2),
            ("A=hunter2\0", 1),
            // The line of the quote that is not closed.
            ("A=\"1\n2\"\nB='hunter2\nC=1\n", 3),
            ("A=hunter2\nB=1\nA=hunter3", 3),
        ] {
            let told = told(text);
            assert!(told.starts_with(&format!("line {line}: ")), "{text}: {told}");
            assert!(!told.contains("hunter"), "{told}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::property_testing::check;

    #[test]
    fn what_sets_the_variables_reads_what_was_read_here() {
        check("[^\0]{0,20}", |value| {
            let pairs = vec![("A".to_owned(), value)];
            let read = dotenvy::from_read_iter(escaped(&pairs).as_bytes()).collect::<Result<Vec<_>, _>>();
            prop_assert_eq!(read.ok(), Some(pairs));
            Ok(())
        });
    }

    #[test]
    fn whatever_a_file_says_nothing_panics() {
        check("[A-C=#'\"\\\\$ \t\n\r]{0,30}|.{0,20}", |text| {
            let _ = parse(&text);
            Ok(())
        });
    }
}
