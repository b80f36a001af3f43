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
    // An editor may have put a mark of its byte order in front.
    let text = text.trim_start_matches('\u{feff}');
    let describe = |error: dotenvy::Error| format!("{shown}{}", describe(&error, text));
    dotenvy::from_path(path).map_err(describe)?;
    let pairs = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(describe)?;
    Ok(pairs.into_iter().map(|(name, _)| name).collect())
}

/// `dotenvy` quotes what is wrong, and that may be a secret.
fn describe(error: &dotenvy::Error, text: &str) -> String {
    match (error, offending_line(text)) {
        (dotenvy::Error::Io(error), _) => format!(": {error}"),
        (_, Some(line)) => {
            format!(
                ", line {line}: can't be read. It must be NAME=value, the value in quotes if it has spaces"
            )
        }
        (_, None) => ": can't be read".to_owned(),
    }
}

/// The line, counted from one, where what can't be read begins. A value in quotes may go on over several.
fn offending_line(text: &str) -> Option<usize> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_good = |part: &[&str]| dotenvy::from_read_iter(part.concat().as_bytes()).all(|pair| pair.is_ok());
    let mut start = 0;
    while start < lines.len() {
        let end = (start + 1..=lines.len()).find(|end| is_good(&lines[start..*end]));
        match end {
            Some(end) => start = end,
            None => return Some(start + 1),
        }
    }
    None
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
        // Where the quote opens that nobody closes.
        assert!(told("A=\"1\n2\"\nB='hunter2\nC=1\n").starts_with(", line 3: "));
    }

    #[test]
    fn nothing_of_the_line_is_repeated() {
        for text in ["APP SECRET=hunter2", "A='hunter2", "hunter2", "A=hunter2 hunter2"] {
            assert!(!told(text).contains("hunter2"), "{}", told(text));
        }
    }
}
