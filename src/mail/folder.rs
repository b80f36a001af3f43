//! Keeps mails in files instead of sending them, for trying things out on one machine.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::render::RenderedMail;

/// How many mails are kept.
const MOST: usize = 100;

/// A folder with a mail in each `.eml` file, readable by its owner alone. Names sort by time.
#[derive(Clone, Debug)]
pub struct MailFolder(PathBuf);

/// A mail as a person reads it. It is beside each `.eml`, as JSON, so that nobody has to parse that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptMail {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
}

impl MailFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Writes the mail, and deletes the oldest ones.
    pub(super) fn keep(&self, mail: &RenderedMail) -> io::Result<String> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let kept = &mail.summary;
        let name = format!("{}-{}", kept.at.format("%Y%m%dT%H%M%S%.6fZ"), mail.id);
        // The summary comes first: a mail is there once its .eml is.
        write_whole(&self.0.join(format!("{name}.json")), &serde_json::to_vec(kept)?)?;
        let path = self.0.join(format!("{name}.eml"));
        write_whole(&path, &mail.content)?;
        self.delete_oldest()?;
        Ok(format!("written to {}", path.display()))
    }

    /// The newest mails, newest first. Files that are no mails are skipped.
    ///
    /// # Errors
    /// When the folder can't be read. One that is not there has no mails.
    pub fn newest(&self, most: usize) -> io::Result<Vec<KeptMail>> {
        let mut mails = self.mails()?;
        mails.reverse();
        let summaries = mails
            .into_iter()
            .filter_map(|path| serde_json::from_slice(&fs::read(path.with_extension("json")).ok()?).ok());
        Ok(summaries.take(most).collect())
    }

    /// The `.eml` files, oldest first.
    fn mails(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
        let mut mails: Vec<_> =
            paths.into_iter().filter(|path| path.extension().is_some_and(|it| it == "eml")).collect();
        mails.sort();
        Ok(mails)
    }

    fn delete_oldest(&self) -> io::Result<()> {
        let mails = self.mails()?;
        for old in mails.iter().take(mails.len().saturating_sub(MOST)) {
            for path in [old.clone(), old.with_extension("json")] {
                match fs::remove_file(path) {
                    // Another node was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
            }
        }
        Ok(())
    }
}

/// Writes a file that its owner alone can read, and that is never seen half written.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    fs::rename(unfinished, path)
}
