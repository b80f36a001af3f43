//! The run that is shown: the last of this machine, else the one that comes with the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use actix_web::http::header::EntityTag;
use actix_web::web::Bytes;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Mutex;

use super::super::{SiteFacts, page};
use super::textbook;
use crate::crypto::sha256;
use crate::error::Problem;
use dualauth_compare::Report;
use dualauth_compare::report::{HTML, JSON};

/// The run of `docs/comparison.md`, as `dualauth compare --out docs` has written it.
const OF_THE_DOCS: [&str; 2] =
    [include_str!("../../../docs/comparison.html"), include_str!("../../../docs/comparison.json")];

/// What is said where that one is shown.
const ELSEWHERE: &str =
    "Not measured on this machine: it is the run of docs/comparison.md, which comes with the program.";

/// What the folder of the last run has, made ready once for each run.
#[derive(Debug)]
pub struct LastRun {
    folder: PathBuf,
    facts: SiteFacts,
    shown: Mutex<Option<(State, Arc<Shown>)>>,
}

/// When a file was written, and how long it is; `None`: there is none.
type State = [Option<(SystemTime, u64)>; 2];

/// Ready to be sent.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) page: Bytes,
    pub(super) json: Bytes,
    /// Changes with either.
    pub(super) tag: EntityTag,
}

impl LastRun {
    /// Of this folder, on a page of this site.
    pub fn new(folder: PathBuf, facts: SiteFacts) -> Self {
        Self { folder, facts, shown: Mutex::new(None) }
    }

    /// What is shown now. Another run may have been made: whether it has costs a look at two files, and to read them is done off
    /// the worker, once.
    pub(super) async fn shown(&self) -> Result<Arc<Shown>, Problem> {
        let mut shown = self.shown.lock().await;
        let state = [HTML, JSON].map(|name| state(&self.folder.join(name)));
        if let Some((of, shown)) = &*shown
            && *of == state
        {
            return Ok(Arc::clone(shown));
        }
        let (folder, facts) = (self.folder.clone(), self.facts.clone());
        let reading = tokio::task::spawn_blocking(move || Shown::of(&folder, &facts));
        let fresh = Arc::new(reading.await.map_err(Problem::internal)?);
        *shown = Some((state, Arc::clone(&fresh)));
        Ok(fresh)
    }
}

fn state(file: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}

impl Shown {
    /// The run in this folder; the one of the docs where there is none that this version can read.
    fn of(folder: &Path, facts: &SiteFacts) -> Self {
        let [html, json] = [HTML, JSON].map(|name| std::fs::read_to_string(folder.join(name)).ok());
        let article = html.as_deref().and_then(article);
        // Another version's may have another shape: both files are shown or neither, so that they agree.
        let report = json.as_deref().and_then(|json| serde_json::from_str::<Report>(json).ok());
        let (page, json) = match (article, report, json) {
            (Some(article), Some(report), Some(json)) => (textbook::page(&report, article, None), json),
            _ => {
                let (article, report) = of_the_docs();
                let json = serde_json::to_string_pretty(&report).unwrap_or_default();
                (textbook::page(&report, article, Some(ELSEWHERE)), json)
            }
        };
        Self::ready(page::html("/compare", &page, facts), json)
    }

    fn ready(page: String, json: String) -> Self {
        let hash = sha256([page.as_bytes(), json.as_bytes()].concat().as_slice());
        let tag = EntityTag::new_strong(URL_SAFE_NO_PAD.encode(&hash[..16]));
        Self { page: page.into(), json: json.into(), tag }
    }
}

#[expect(clippy::expect_used, reason = "a test reads them")]
fn of_the_docs() -> (&'static str, Report) {
    let [html, json] = OF_THE_DOCS;
    let mut report: Report = serde_json::from_str(json).expect("a report of this version");
    report.environment.warnings.insert(0, ELSEWHERE.to_owned());
    (article(html).expect("a page with an article"), report)
}

/// What a page that stands alone says below its heading.
fn article(html: &str) -> Option<&str> {
    let (_, from_main) = html.split_once("<main>")?;
    let (main, _) = from_main.rsplit_once("</main>")?;
    Some(main.split_once("</h1>").map_or(main, |(_, below)| below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_of_the_docs_can_be_shown() {
        let (article, report) = of_the_docs();
        assert!(article.contains("<svg") && !article.contains("<h1"), "{article}");
        assert!(report.variants.len() > 10 && report.environment.warnings[0] == ELSEWHERE);
    }

    #[test]
    fn a_page_without_an_article_is_none() {
        assert_eq!(article("<main>\n<h1>x</h1>\n<p>y</p></main>"), Some("\n<p>y</p>"));
        assert_eq!(article("<main>y</main>"), Some("y"));
        for broken in ["", "<main>", "</main>", "</main><main>"] {
            assert_eq!(article(broken), None, "{broken}");
        }
    }
}
