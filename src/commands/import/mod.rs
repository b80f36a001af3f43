//! `user import`: takes users over from another system, with the hashes of their passwords.

mod format;
mod lines;

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, say};
use crate::app::Storage;
use crate::audit::{Entry, Kind, Origin, Trail};
use crate::clock::Clock;
use crate::users::{ForeignUser, Import, Refusal};

use self::format::Format;
use self::lines::Lines;

/// How many users are stored with one statement.
const BATCH: usize = 1_000;

#[derive(Args)]
pub(super) struct ImportUsers {
    /// CSV with a header line, or JSON lines: username, email, password_hash
    file: PathBuf,
    /// Check everything, and store nothing
    #[arg(long)]
    dry_run: bool,
}

/// Imports a file, and says line by line what was refused. Gives how many there were of each.
pub(super) async fn import(
    command: ImportUsers,
    storage: &Storage,
    trail: &Trail,
) -> Result<String, Failure> {
    let ImportUsers { file, dry_run } = command;
    let unreadable = |error| format!("{}: {error}", file.display());
    let size = std::fs::metadata(&file).map_err(unreadable)?.len();
    let mut lines = Lines::open(&file).map_err(unreadable)?;
    let mut run = Run {
        import: Import::new(storage.pools.requests.clone(), Clock::system(), dry_run),
        batch: Batch::default(),
        report: Report::new(size, dry_run),
    };
    let outcome = run.all(&file, &mut lines).await;
    run.report.bar.finish_and_clear();
    if !dry_run && run.report.imported > 0 {
        let entry = Entry::new(Kind::UsersImported, Origin::Command);
        trail.record(entry.with("users", run.report.imported));
    }
    let summary = run.report.summary();
    if outcome.is_ok() && run.report.refused == 0 {
        return Ok(summary);
    }
    say(&summary)?;
    outcome.and_then(|()| Err("some lines were refused".into()))
}

/// Users who wait to be stored, and their lines.
#[derive(Default)]
struct Batch {
    users: Vec<ForeignUser>,
    lines: Vec<u64>,
}

struct Run {
    import: Import,
    batch: Batch,
    report: Report,
}

impl Run {
    async fn all(&mut self, file: &Path, lines: &mut Lines) -> Result<(), Failure> {
        let mut format = None;
        while let Some(line) = lines.next()? {
            let parsed = match (&format, line.text) {
                (None, Ok(text)) => {
                    let detected = format.insert(Format::detect(file, text)?);
                    if detected.has_header() {
                        continue;
                    }
                    detected.parse(text)
                }
                (None, Err(why)) => return Err(format!("the first line can't be read: {why}").into()),
                (Some(format), text) => text.and_then(|text| format.parse(text)),
            };
            self.take(line.number, parsed)?;
            self.report.bar.set_position(lines.bytes());
            if self.batch.users.len() == BATCH {
                self.store().await?;
            }
        }
        self.store().await
    }

    fn take(&mut self, line: u64, parsed: Result<ForeignUser, String>) -> Result<(), Failure> {
        let user = match parsed {
            Ok(user) => user,
            Err(why) => return self.report.refuse(line, &why),
        };
        let refusals = self.import.check(line, &user);
        if !refusals.is_empty() {
            return self.report.refuse(line, &join(&refusals));
        }
        self.batch.users.push(user);
        self.batch.lines.push(line);
        Ok(())
    }

    async fn store(&mut self) -> Result<(), Failure> {
        let Batch { users, lines } = std::mem::take(&mut self.batch);
        let Some(first) = lines.first() else { return Ok(()) };
        let stopped = |error| format!("nothing from line {first} on was stored: {error}");
        let refused = self.import.store(&users).await.map_err(stopped)?;
        self.report.imported += users.len() - refused.len();
        refused.iter().try_for_each(|(at, refusals)| self.report.refuse(lines[*at], &join(refusals)))
    }
}

fn join(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ")
}

/// What was done so far. Who was refused is said at once: there may be many.
struct Report {
    bar: ProgressBar,
    dry_run: bool,
    imported: usize,
    refused: usize,
}

impl Report {
    /// The bar is for terminals: elsewhere nothing is drawn.
    fn new(bytes: u64, dry_run: bool) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %, {eta} to go");
        let bar = ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, dry_run, imported: 0, refused: 0 }
    }

    fn refuse(&mut self, line: u64, why: &str) -> Result<(), Failure> {
        self.refused += 1;
        self.bar.suspend(|| say(&format!("line {line}: {why}")))
    }

    fn summary(&self) -> String {
        let imported = if self.dry_run { "would be imported" } else { "imported" };
        format!("{imported}: {}\nrefused: {}", self.imported, self.refused)
    }
}
