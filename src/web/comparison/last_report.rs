//! The comparison report that is shown: the last run on this machine, or else the one bundled with the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use actix_web::http::header::EntityTag;
use actix_web::web::Bytes;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Mutex;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::super::{BasePathAndCookieNames, page};
use super::textbook::{self, MeasuredCells};
use crate::crypto::sha256;
use crate::error::Problem;

/// The files of `dualauth compare` that are read here.
const FILES: [&str; 3] = ["comparison.html", "comparison.json", "comparison.textbook.json"];

/// The bundled report: the run of `docs/comparison.md`, as written by `dualauth compare --out docs`.
const BUNDLED_FILES: [&str; 3] = [
    include_str!("../../../docs/comparison.html"),
    include_str!("../../../docs/comparison.json"),
    include_str!("../../../docs/comparison.textbook.json"),
];

/// The note on the bundled report.
const BUNDLED_NOTE: &str =
    "Not measured on this machine: this is the run of docs/comparison.md, which comes with the program.";

/// The note before that, if there is a run of an incompatible version.
const OTHER_VERSION_NOTE: &str =
    "The last run on this machine was written by another version of the program, and can’t be shown.";

/// The latest report, rendered once for each run.
#[derive(Debug)]
pub struct LastReport {
    folder: PathBuf,
    base_path_and_cookie_names: BasePathAndCookieNames,
    cached: Mutex<Option<(FileStates, Arc<RenderedReport>)>>,
}

/// Modification time and size of each file; `None` if there is no such file.
type FileStates = [Option<(SystemTime, u64)>; FILES.len()];

/// A report, ready to be sent.
#[derive(Debug)]
pub(super) struct RenderedReport {
    pub(super) page: Bytes,
    pub(super) json: Bytes,
    /// Changes with the page and with the JSON.
    pub(super) tag: EntityTag,
}

impl LastReport {
    /// Reads reports from the folder `compare` below the data folder.
    pub fn new(data: &Path, base_path_and_cookie_names: BasePathAndCookieNames) -> Self {
        Self { folder: Self::folder(data), base_path_and_cookie_names, cached: Mutex::new(None) }
    }

    /// The folder of the last run.
    pub fn folder(data: &Path) -> PathBuf {
        data.join("compare")
    }

    /// The current report. Each call checks the three files' metadata for a newer run; only a new run is read and rendered,
    /// on a blocking thread.
    pub(super) async fn current(&self) -> Result<Arc<RenderedReport>, Problem> {
        let mut cached = self.cached.lock().await;
        let state = FILES.map(|name| state(&self.folder.join(name)));
        if let Some((of, report)) = &*cached
            && *of == state
        {
            return Ok(Arc::clone(report));
        }
        let (folder, base_path_and_cookie_names) =
            (self.folder.clone(), self.base_path_and_cookie_names.clone());
        let reading =
            tokio::task::spawn_blocking(move || RenderedReport::read(&folder, &base_path_and_cookie_names));
        let fresh = Arc::new(reading.await.map_err(Problem::internal)?);
        *cached = Some((state, Arc::clone(&fresh)));
        Ok(fresh)
    }
}

fn state(file: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}

impl RenderedReport {
    /// The report in a folder, or the bundled one if there is none that this version can show.
    fn read(folder: &Path, base_path_and_cookie_names: &BasePathAndCookieNames) -> Self {
        let [html, json, measured] = FILES.map(|name| std::fs::read_to_string(folder.join(name)).ok());
        let article = html.as_deref().and_then(article);
        let json = json.filter(|json| is_report(json));
        let measured = measured.as_deref().and_then(MeasuredCells::parse);
        // All files of a run or none, so that they are consistent.
        let (page, json) = match (article, json, measured) {
            (Some(article), Some(json), Some(measured)) => (textbook::page(&measured, article, None), json),
            (Some(_), Some(_), None) => bundled_report(&format!("{OTHER_VERSION_NOTE} {BUNDLED_NOTE}")),
            _ => bundled_report(BUNDLED_NOTE),
        };
        Self::with_etag(page::html("/compare", &page, base_path_and_cookie_names), json)
    }

    fn with_etag(page: String, json: String) -> Self {
        let hash = sha256([page.as_bytes(), json.as_bytes()].concat().as_slice());
        let tag = EntityTag::new_strong(URL_SAFE_NO_PAD.encode(&hash[..16]));
        Self { page: page.into(), json: json.into(), tag }
    }
}

/// Returns `true` if the JSON looks like a report. Details are not validated: it is served unchanged.
fn is_report(json: &str) -> bool {
    #[derive(Deserialize)]
    struct ReportShape {
        #[serde(rename = "environment")]
        _environment: Map<String, Value>,
        #[serde(rename = "variants")]
        _variants: Vec<IgnoredAny>,
    }
    serde_json::from_str::<ReportShape>(json).is_ok()
}

/// The bundled report's page and JSON, both with a note.
#[expect(clippy::expect_used, reason = "the files are bundled, and a test parses them")]
fn bundled_report(note: &str) -> (String, String) {
    let [html, json, measured] = BUNDLED_FILES;
    let article = article(html).expect("a page with an article");
    let measured = MeasuredCells::parse(measured).expect("all rows of the table");
    (textbook::page(&measured, article, Some(note)), with_warning(json, note).expect("a report"))
}

fn with_warning(json: &str, warning: &str) -> Option<String> {
    let mut report: Value = serde_json::from_str(json).ok()?;
    report.pointer_mut("/environment/warnings")?.as_array_mut()?.insert(0, warning.into());
    serde_json::to_string_pretty(&report).ok()
}

/// The content of a standalone report page below its heading.
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
        let (page, json) = bundled_report(BUNDLED_NOTE);
        assert!(page.contains("<svg") && page.matches("<h1").count() == 1, "{page}");
        let report: Value = serde_json::from_str(&json).expect("JSON");
        assert!(is_report(&json) && report["variants"].as_array().is_some_and(|all| all.len() > 10));
        assert_eq!(report["environment"]["warnings"][0], BUNDLED_NOTE);
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
