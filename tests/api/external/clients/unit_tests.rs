//! The verifiers' own tests, which need no server.

use tokio::process::Command;

use super::services::{node, python};
use crate::support::program::text;

async fn assert_passes(mut command: Command) {
    let output = command.output().await.unwrap_or_else(|error| panic!("{error}: run scripts/clients"));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[tokio::test]
async fn the_verifier_for_python_passes_its_tests() {
    assert_passes(python(&["-m", "unittest"])).await;
}

#[tokio::test]
async fn the_verifier_for_javascript_passes_its_tests() {
    assert_passes(node(&["--test"])).await;
}
