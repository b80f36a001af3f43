//! Each library that docs/services.md lists, set up as it says there, takes the tokens that its table says and no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Stdio,
};

use dualauth::config::JwtAlgorithm;
use tokio::process::Command;

use super::{ASYMMETRIC, Issuer, forged};
use crate::support::{
    program::{run, text},
    signer::{Role, key, part},
    with,
};

const DOCS: &str = include_str!("../../../../docs/services.md");

/// Which algorithms each library takes, by what the table says.
fn documented() -> BTreeMap<String, Vec<JwtAlgorithm>> {
    let rows = DOCS.lines().skip_while(|line| !line.starts_with("| library |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let taken = ASYMMETRIC.iter().zip(&cells[2..5]).filter(|(_, cell)| match **cell {
            "yes" => true,
            "no" => false,
            other => panic!("{other} in {row}"),
        });
        (cells[1].to_owned(), taken.map(|(algorithm, _)| *algorithm).collect())
    });
    rows.collect()
}

/// What every library says of each token: the user, or why not.
type Verdicts = Vec<BTreeMap<String, String>>;

async fn verdicts(mut command: Command, tokens: &str) -> Verdicts {
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = run(command, tokens).await;
    assert!(output.status.success(), "{}: run scripts/clients", text(&output.stderr));
    let lines = text(&output.stdout);
    lines.lines().map(|line| serde_json::from_str(line).expect("verdicts")).collect()
}

/// Those for Node and those for Python, each in one process.
fn commands(issuer: &Issuer, [id, secret]: [&str; 2]) -> [Command; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join("target/clients");
    let mut node = Command::new("node");
    // So that it looks for the libraries from the folder that it runs in.
    node.args(["--input-type=module", "--eval", include_str!("../../../clients/verifiers.mjs"), "--"]);
    node.current_dir(&installed);
    let mut python = Command::new(installed.join("venv/bin/python"));
    python.arg("-B").arg(root.join("tests/clients/verifiers.py"));
    for command in [&mut node, &mut python] {
        command.args([&issuer.url(), &issuer.url(), issuer.algorithm.as_str()]);
    }
    python.args([id, secret]);
    [node, python]
}

/// What some take, since they leave it to their caller, or are generous with clocks; it is none of a stranger's making.
const NOT_LOOKED_AT: [&str; 5] = [
    "it has expired",
    "it does not expire",
    "another type",
    "a header that it must understand",
    "another algorithm's name",
];

#[tokio::test]
async fn each_library_takes_what_the_docs_say_and_nothing_that_is_forged() {
    let documented = documented();
    for algorithm in ASYMMETRIC {
        let key = key(algorithm, Role::Active);
        let issuer = Issuer::with_key(key).await;
        let [id, secret] = issuer.register_service().await;
        let mut bad = forged(&issuer, key);
        bad.retain(|(what, _)| !NOT_LOOKED_AT.contains(what));
        let [header, claims] = [0, 1].map(|number| part(&issuer.client.credential(), number));
        let hour_ago = claims["iat"].as_i64().expect("a time") - 3_600;
        bad.push(("it has expired long ago", key.token(&header, &with(claims, "exp", hour_ago))));
        let bad_tokens: String = bad.iter().map(|(_, token)| format!("{token}\n")).collect();
        let tokens = format!("{}\n{bad_tokens}", issuer.client.credential());

        let mut tried = BTreeSet::new();
        for command in commands(&issuer, [&id, &secret]) {
            let verdicts = verdicts(command, &tokens).await;
            assert_eq!(verdicts.len(), 1 + bad.len());
            for (library, verdict) in &verdicts[0] {
                let taken = documented.get(library).unwrap_or_else(|| panic!("{library} is not in the docs"));
                let is_good = *verdict == issuer.user || verdict == "ada";
                assert_eq!(is_good, taken.contains(&algorithm), "{library}, {algorithm:?}: {verdict}");
                tried.insert(library.clone());
            }
            for ((what, _), verdicts) in bad.iter().zip(&verdicts[1..]) {
                for (library, verdict) in verdicts {
                    assert!(verdict.starts_with("refused: "), "{library}, {algorithm:?}, {what}: {verdict}");
                }
            }
        }
        assert_eq!(tried, documented.keys().cloned().collect(), "what is in the docs was tried");
        issuer.stop().await;
    }
}
