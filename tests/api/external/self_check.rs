//! The comparison's own check: whether it can be believed. Away from the other tests of the comparison, which take all of the
//! machine as well.

use crate::support::program::{folder, program, run, text};

#[tokio::test]
async fn costs_that_are_planted_are_found_and_nothing_where_there_is_none() {
    let mut found = "unclear".to_owned();
    let mut output = None;
    // Other tests may use the machine so much that nobody can tell; it says so then.
    for _ in 0..5 {
        if !found.contains("unclear") {
            break;
        }
        let mut command = program(&folder(), &[]);
        command.args(["compare", "--self-check"]);
        let ended = run(command, "").await;
        found = text(&ended.stdout);
        output = Some(ended);
    }
    let output = output.expect("it ran");
    let verdicts: Vec<_> = found.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(verdicts, ["ok"; 5], "{found}{}", text(&output.stderr));
    assert!(output.status.success());
}
