//! Manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Called, commands};
use crate::support::program::{folder, program, run, text};

/// Writes the pages to a folder.
async fn write(to: &Path) -> std::process::Output {
    // Invalid settings don't matter.
    let mut manual = program(&folder(), &[("APP_SECRET", "short"), ("LISTEN", "nowhere")]);
    manual.arg("manual").arg(to);
    run(manual, "").await
}

fn page_of(called: &Called) -> String {
    let words = ["dualauth"].into_iter().chain(called.words.iter().map(String::as_str));
    format!("{}.1", words.collect::<Vec<_>>().join("-"))
}

#[tokio::test]
async fn every_command_has_a_page_with_all_its_options() {
    let pages = folder().join("man/man1");
    let output = write(&pages).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));

    let commands = commands();
    let written = fs::read_dir(&pages).expect("pages");
    let written = written.map(|page| page.expect("a page").file_name().into_string().expect("a name"));
    assert_eq!(written.collect::<BTreeSet<_>>(), commands.iter().map(page_of).collect());
    let version = format!("dualauth {}", env!("CARGO_PKG_VERSION"));
    for called in commands {
        let page = fs::read_to_string(pages.join(page_of(&called))).expect("a page");
        let first = page.lines().find(|line| line.starts_with(".TH")).expect("a title");
        assert!(first.contains(&version) && !first.contains('('), "{first}");
        // roff escapes hyphens.
        let page = page.replace(r"\-", "-");
        for option in called.options() {
            assert!(page.contains(&option), "{option} is not in {}", page_of(&called));
        }
        for below in called.subcommands() {
            assert!(page.contains(&format!("{}-{below}(1)", page_of(&called).trim_end_matches(".1"))));
        }
    }
}

#[tokio::test]
async fn a_folder_that_can_t_be_created_is_named_in_the_error() {
    let file = folder().join("file");
    fs::write(&file, "").expect("a file");
    for to in [file.clone(), file.join("below")] {
        let output = write(&to).await;
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{told}");
        assert!(told.contains(to.to_str().expect("a path")), "{told}");
    }
}
