//! Iterates over the users of an import file, in any of its layouts.

use std::io::{self, Read};
use std::iter::Enumerate;
use std::path::Path;
use std::vec::IntoIter;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::csv::Columns;
use super::firebase::HashConfig;
use super::format::{Format, Layout};
use super::input::ImportFile;
use super::json_user::{JsonUserParser, detect_format};
use super::line_reader::Lines;
use super::parsed_row::ParsedRow;

/// The operator's options.
pub(super) struct ImportOptions<'a> {
    pub(super) path: &'a Path,
    pub(super) format: Option<Format>,
    pub(super) firebase: Option<HashConfig>,
}

/// An open import file. Lines are read one at a time; a JSON document is held in memory as a whole.
pub(super) enum Rows {
    Csv(Lines, Columns),
    JsonLines(Lines, JsonUserParser),
    Document(Enumerate<IntoIter<Box<RawValue>>>, JsonUserParser),
}

impl Rows {
    /// Detects the layout, and opens the file.
    ///
    /// # Errors
    /// If the file as a whole can't be read.
    pub(super) fn open(source: ImportFile, options: ImportOptions<'_>) -> Result<Self, String> {
        if source.head().trim_ascii().is_empty() {
            return Err("it is empty".to_owned());
        }
        match Layout::of(options.format, options.path, source.head()) {
            Layout::Csv => {
                options.without_firebase()?;
                Self::csv(Lines::new(source.reader()))
            }
            Layout::JsonLines => {
                let first =
                    String::from_utf8_lossy(source.head()).trim_start().lines().next().map(str::to_owned);
                let users = options.json_users(&first.unwrap_or_default())?;
                Ok(Self::JsonLines(Lines::new(source.reader()), users))
            }
            Layout::Document => {
                let objects = parse_document(source)?;
                let users = options.json_users(objects.first().map_or("", |object| object.get()))?;
                Ok(Self::Document(objects.into_iter().enumerate(), users))
            }
        }
    }

    fn csv(mut lines: Lines) -> Result<Self, String> {
        let unreadable = |why: String| format!("the first line can't be read: {why}");
        let header = lines.next().map_err(|error| unreadable(error.to_string()))?.map(|line| line.text);
        let columns = Columns::parse(header.unwrap_or(Ok("")).map_err(unreadable)?)?;
        Ok(Self::Csv(lines, columns))
    }

    /// The next row with its number, from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, ParsedRow)>> {
        match self {
            Self::Csv(lines, columns) => next_line(lines, |line| columns.row(line)),
            Self::JsonLines(lines, users) => next_line(lines, |line| users.row(line)),
            Self::Document(objects, users) => {
                Ok(objects.next().map(|(at, object)| (at as u64 + 1, users.row(object.get()))))
            }
        }
    }

    /// What the row numbers count.
    pub(super) fn unit(&self) -> &'static str {
        match self {
            Self::Csv(..) | Self::JsonLines(..) => "line",
            Self::Document(..) => "user",
        }
    }

    /// The number of bytes read so far, for the progress bar; 0 for a document, which is read at once.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Csv(lines, _) | Self::JsonLines(lines, _) => lines.bytes(),
            Self::Document(..) => 0,
        }
    }
}

fn next_line(lines: &mut Lines, row: impl FnOnce(&str) -> ParsedRow) -> io::Result<Option<(u64, ParsedRow)>> {
    let line = lines.next()?;
    Ok(line.map(|line| (line.number, line.text.map_or_else(ParsedRow::unreadable, row))))
}

/// The users of a JSON document: an array, or the member `users` of an object.
fn parse_document(source: ImportFile) -> Result<Vec<Box<RawValue>>, String> {
    #[derive(Deserialize)]
    struct UsersDocument {
        users: Vec<Box<RawValue>>,
    }
    let is_array = source.head().trim_ascii_start().starts_with(b"[");
    let mut text = String::new();
    source.reader().read_to_string(&mut text).map_err(|error| error.to_string())?;
    let objects = match is_array {
        true => serde_json::from_str(&text),
        false => serde_json::from_str(&text).map(|UsersDocument { users }| users),
    };
    // Our own text, since the parser's might quote a hash.
    objects.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "it is neither a JSON array of users nor an object with an array `users`: line {line}, column {column}"
        )
    })
}

impl ImportOptions<'_> {
    /// The parser of JSON users; without `--format` it is detected by the first user.
    fn json_users(self, first: &str) -> Result<JsonUserParser, String> {
        match self.format.unwrap_or_else(|| detect_format(first)) {
            Format::Firebase => self.firebase.map(JsonUserParser::Firebase).ok_or_else(|| {
                "Firebase's hashes need the project's parameters: --firebase-hash-config".to_owned()
            }),
            Format::Auth0 => self.without_firebase().map(|()| JsonUserParser::Auth0),
            Format::Keycloak => self.without_firebase().map(|()| JsonUserParser::Keycloak),
            Format::Csv | Format::Json => self.without_firebase().map(|()| JsonUserParser::Own),
        }
    }

    fn without_firebase(&self) -> Result<(), String> {
        match self.firebase {
            Some(_) => Err("--firebase-hash-config is only for Firebase's JSON export".to_owned()),
            None => Ok(()),
        }
    }
}
