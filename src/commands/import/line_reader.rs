//! Reads a file line by line with bounded memory; overlong and non-UTF-8 lines are reported, not fatal.

use std::io::{self, BufRead, Read};

/// The maximum length of a line, in bytes.
const MAX_LINE: u64 = 16 * 1024;

/// A line with its number.
pub(super) struct NumberedLine<'a> {
    /// The line number, from 1.
    pub(super) number: u64,
    /// The text without the line break, or why the line can't be read.
    pub(super) text: Result<&'a str, String>,
}

/// The lines of a reader.
pub(super) struct Lines<R = Box<dyn BufRead + Send>> {
    reader: R,
    number: u64,
    bytes: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0, bytes: 0, line: Vec::new() }
    }

    /// The number of bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> io::Result<Option<NumberedLine<'_>>> {
        loop {
            self.line.clear();
            let length = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line)?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += length as u64;
            let is_whole = self.line.ends_with(b"\n");
            let rest = if is_whole { 0 } else { self.reader.skip_until(b'\n')? };
            self.bytes += rest as u64;
            if rest > 0 || !self.line.trim_ascii().is_empty() {
                return Ok(Some(NumberedLine { number: self.number, text: self.text(rest > 0) }));
            }
        }
    }

    fn text(&self, is_cut: bool) -> Result<&str, String> {
        if is_cut {
            return Err(format!("it is longer than {MAX_LINE} bytes"));
        }
        let line = std::str::from_utf8(&self.line).map_err(|_| "it is not UTF-8".to_owned())?;
        Ok(line.trim_end_matches(['\r', '\n']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some(line) = lines.next().expect("memory can be read") {
            found.push((line.number, line.text.map(str::to_owned)));
        }
        assert_eq!(lines.bytes(), bytes.len() as u64);
        found
    }

    #[test]
    fn every_line_has_its_number_and_no_end() {
        let one = |number, text: &str| (number, Ok(text.to_owned()));
        assert_eq!(read(b"a\r\n\n  \nb \n\xef\xbb\xbfc"), [one(1, "a"), one(4, "b "), one(5, "\u{feff}c")]);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_line_that_is_no_text_or_too_long_leaves_the_next_ones_alone() {
        let long = "x".repeat(100_000);
        let lines = read(format!("a\n{long}\nb\n{}\n", &long[..16_383]).as_bytes());
        assert_eq!(lines.iter().map(|(_, text)| text.is_ok()).collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(lines[2], (3, Ok("b".to_owned())));
        let lines = read(b"a\n\xff\nb");
        assert!(lines[1].1.is_err() && lines[2] == (3, Ok("b".to_owned())));
    }
}
