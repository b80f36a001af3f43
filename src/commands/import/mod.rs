//! `user import`: imports users from another system, with their password hashes.

mod auth0;
mod csv;
mod firebase;
mod format;
mod input;
mod json_user;
mod keycloak;
mod line_reader;
mod parsed_row;
mod rows;

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, print_line};
use crate::app::PostgresStorage;
use crate::audit::Actor;
use crate::clock::Clock;
use crate::users::{CheckedUser, Importer, Refusal};

use self::firebase::HashConfig;
use self::format::Format;
use self::input::ImportFile;
use self::parsed_row::ParsedRow;
use self::rows::{ImportOptions, Rows};

/// The number of users per SQL statement.
const BATCH: usize = 1_000;

#[derive(Args)]
pub(super) struct ImportUsersArgs {
    /// CSV with a header line, JSON lines, or an export of Auth0, Firebase or Keycloak; - is standard input
    file: PathBuf,
    /// The file's format, if it can't be detected by its name and beginning
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The Firebase project's password hash parameters, as its console shows them
    #[arg(long, value_name = "FILE")]
    firebase_hash_config: Option<PathBuf>,
    /// Check everything, but store nothing
    #[arg(long)]
    dry_run: bool,
}

impl ImportUsersArgs {
    /// Opens the file. Returns its rows, and its size in bytes, if that is known.
    fn open(&self) -> Result<(Rows, Option<u64>), String> {
        let firebase = self.firebase_hash_config.as_deref().map(read_hash_config).transpose()?;
        let options = ImportOptions { path: &self.file, format: self.format, firebase };
        let source =
            ImportFile::open(&self.file).map_err(|error| with_path(&self.file, &error.to_string()))?;
        let size = source.size;
        let rows = Rows::open(source, options).map_err(|why| with_path(&self.file, &why))?;
        Ok((rows, size))
    }
}

fn read_hash_config(path: &Path) -> Result<HashConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|error| with_path(path, &error.to_string()))?;
    HashConfig::parse(&text).map_err(|why| with_path(path, &why))
}

fn with_path(path: &Path, why: &str) -> String {
    match path.to_str() {
        Some("-") => format!("standard input: {why}"),
        _ => format!("{}: {why}", path.display()),
    }
}

/// Imports a file, and prints a line for each refused row. Returns a summary with the counts.
pub(super) async fn import(command: ImportUsersArgs, storage: &PostgresStorage) -> Result<String, Failure> {
    let (mut rows, size) = command.open()?;
    let ImportUsersArgs { file, dry_run, .. } = command;
    let unit = rows.unit();
    let (pool, trail) = (storage.pools.requests.clone(), storage.trail.clone());
    let mut run = ImportRun {
        import: Importer::new(pool, Clock::system(), trail, Actor::OPERATOR, dry_run, unit),
        batch: Vec::new(),
        report: ImportReport::new(size, dry_run, unit),
    };
    let outcome = run.process(&mut rows).await;
    run.report.bar.finish_and_clear();
    let ImportReport { imported, refused, .. } = run.report;
    if outcome.is_ok() && imported + refused == 0 {
        return Err(with_path(&file, "it contains no users").into());
    }
    let summary = run.report.summary();
    if outcome.is_ok() && refused == 0 {
        return Ok(summary);
    }
    print_line(&summary)?;
    outcome.and_then(|()| Err(format!("some {unit}s were refused").into()))
}

/// A user to be stored, with the name to display.
type PendingUser = (CheckedUser, Option<String>);

struct ImportRun {
    import: Importer,
    batch: Vec<PendingUser>,
    report: ImportReport,
}

impl ImportRun {
    async fn process(&mut self, rows: &mut Rows) -> Result<(), Failure> {
        while let Some((number, row)) = rows.next()? {
            self.add_row(number, row)?;
            self.report.bar.set_position(rows.bytes());
            if self.batch.len() == BATCH {
                self.store().await?;
            }
        }
        self.store().await
    }

    fn add_row(&mut self, number: u64, row: ParsedRow) -> Result<(), Failure> {
        let ParsedRow { name, user } = row;
        let checked =
            user.and_then(|user| self.import.check(number, user).map_err(|refusals| join(&refusals)));
        match checked {
            Ok(checked) => self.batch.push((checked, name)),
            Err(why) => self.report.report_refused(number, name.as_deref(), &why)?,
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<(), Failure> {
        let (users, names): (Vec<CheckedUser>, Vec<Option<String>>) = self.batch.drain(..).unzip();
        let Some(first) = users.first() else { return Ok(()) };
        let unit = self.report.unit;
        let stopped = |error| format!("stopped; nothing from {unit} {} on was stored: {error}", first.number);
        let refused = self.import.store(&users).await.map_err(stopped)?;
        let mut refused = refused.into_iter().peekable();
        for (at, (user, name)) in users.iter().zip(names).enumerate() {
            match refused.next_if(|(place, _)| *place == at) {
                Some((_, refusals)) => {
                    self.report.report_refused(user.number, name.as_deref(), &join(&refusals))?
                }
                None => self.report.count_imported(user, name.as_deref())?,
            }
        }
        Ok(())
    }
}

fn join(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ")
}

/// The counts so far, and the progress bar. Messages about users are printed at once, not collected: there may be many.
struct ImportReport {
    bar: ProgressBar,
    dry_run: bool,
    /// What the row numbers count: `line` or `user`.
    unit: &'static str,
    imported: usize,
    without_password: usize,
    refused: usize,
}

impl ImportReport {
    /// The progress bar is drawn only on terminals, and only if the size is known.
    fn new(bytes: Option<u64>, dry_run: bool, unit: &'static str) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %, {eta} to go");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bytes.map_or_else(ProgressBar::hidden, ProgressBar::new).with_style(style);
        Self { bar, dry_run, unit, imported: 0, without_password: 0, refused: 0 }
    }

    fn report_refused(&mut self, number: u64, name: Option<&str>, why: &str) -> Result<(), Failure> {
        self.refused += 1;
        self.print_row_outcome(number, name, why)
    }

    fn count_imported(&mut self, user: &CheckedUser, name: Option<&str>) -> Result<(), Failure> {
        self.imported += 1;
        if user.has_password {
            return Ok(());
        }
        self.without_password += 1;
        self.print_row_outcome(
            user.number,
            name,
            &format!("{} without a password: none can match", self.done()),
        )
    }

    fn print_row_outcome(&self, number: u64, name: Option<&str>, what: &str) -> Result<(), Failure> {
        let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
        self.bar.suspend(|| print_line(&format!("{} {number}{name}: {what}", self.unit)))
    }

    fn done(&self) -> &'static str {
        if self.dry_run { "would be imported" } else { "imported" }
    }

    fn summary(&self) -> String {
        let without_password = match self.without_password {
            0 => String::new(),
            count => format!("\nof them without a password: {count}"),
        };
        format!("{}: {}{without_password}\nrefused: {}", self.done(), self.imported, self.refused)
    }
}
