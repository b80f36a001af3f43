//! `.env`: read before anything else, and told of by the number of a line, never by what is in it.

use std::path::Path;

/// Sets the variables of this file that the environment does not have, and gives the names of all that it has. None is
/// there without the file.
///
/// # Errors
/// What is wrong with it, for a person to read.
pub(super) fn load(path: &Path) -> Result<Vec<String>, String> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{shown}: {error}")),
    };
    let describe = |error: dotenvy::Error| format!("{shown}{}", describe(&error, &text));
    dotenvy::from_path(path).map_err(describe)?;
    let pairs = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(describe)?;
    // An editor may have put a mark of its byte order in front.
    Ok(pairs.into_iter().map(|(name, _)| name.trim_start_matches('\u{feff}').to_owned()).collect())
}

/// `dotenvy` quotes the offending line, and that line may hold a secret.
fn describe(error: &dotenvy::Error, text: &str) -> String {
    match error {
        dotenvy::Error::LineParse(line, at) => match place(text, line, *at) {
            Some((line, character)) => {
                format!(", line {line}: can't be read, from character {character} on. Is a quote missing?")
            }
            None => ": a line can't be read".to_owned(),
        },
        dotenvy::Error::Io(error) => format!(": {error}"),
        _ => ": can't be read".to_owned(),
    }
}

/// Where it is, line and character, each counted from one. A value in quotes may have several lines.
fn place(text: &str, offending: &str, at: usize) -> Option<(usize, usize)> {
    let offending = offending.trim_end_matches(['\r', '\n']);
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let (number, _) = starts.enumerate().find(|(_, start)| {
        let rest = text[*start..].trim_start_matches('\u{feff}').strip_prefix(offending);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['\r', '\n']))
    })?;
    let before = offending.get(..at).unwrap_or(offending);
    let (lines, last) = (before.matches('\n').count(), before.rsplit('\n').next().unwrap_or_default());
    Some((number + 1 + lines, last.chars().count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let error =
            dotenvy::from_read_iter(text.as_bytes()).find_map(Result::err).expect("a line that is wrong");
        describe(&error, text)
    }

    #[test]
    fn a_line_that_can_t_be_read_is_told_by_its_number() {
        assert!(told("LOG=info\n\n# a note\nAPP SECRET=hunter2\n").starts_with(", line 4: "));
        assert!(told("A=1\r\nB=hunter2 hunter3\r\n").starts_with(", line 2: "));
        assert!(told("hunter2 hunter3").starts_with(", line 1: "));
        assert!(told("A=\"1\n2\"\nB='hunter2").contains(", line 3: "));
        assert!(told("\u{feff}A B=hunter2\n").starts_with(", line 1"));
    }

    #[test]
    fn nothing_of_the_line_is_repeated() {
        for text in ["APP SECRET=hunter2", "A='hunter2", "hunter2", "A=hunter2 hunter2"] {
            assert!(!told(text).contains("hunter2"), "{}", told(text));
        }
    }
}
