//! Completion scripts for shells.

use std::fmt::Write as _;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::commands;
use crate::support::program::{folder, program, run, text};

async fn completions(shell: &str) -> String {
    // Invalid settings don't matter.
    let mut command = program(&folder(), &[("APP_SECRET", "short"), ("LISTEN", "nowhere")]);
    command.args(["completions", shell]);
    let output = run(command, "").await;
    assert!(output.status.success(), "{shell}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{shell}");
    text(&output.stdout)
}

#[tokio::test]
async fn every_shell_s_script_has_every_command_and_every_option() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = completions(shell).await;
        for called in commands() {
            for word in &called.words {
                assert!(script.contains(word), "{shell}: {word}");
            }
            // In fish's scripts, options are without hyphens.
            for option in called.options() {
                let option = if shell == "fish" { option.replace("--", "-l ") } else { option };
                assert!(script.contains(&option), "{shell}: {option} of {:?}", called.words);
            }
        }
    }
}

/// In a real bash: completes subcommands and options after each command.
#[tokio::test]
async fn bash_completes_every_command() {
    let mut script = completions("bash").await;
    let commands = commands();
    script += "\nask() { local start=$1; shift; COMP_WORDS=(\"$@\" \"$start\"); COMP_CWORD=$#; COMPREPLY=()
        _dualauth dualauth \"$start\" \"${!#}\" || exit 1; echo \" ${COMPREPLY[*]} \"; }\n";
    for called in &commands {
        let words = called.words.join(" ");
        let _ = writeln!(script, "ask '' dualauth {words}\nask -- dualauth {words}");
    }

    let mut bash = Command::new("bash");
    bash.args(["--norc", "-s"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bash = bash.kill_on_drop(true).spawn().expect("bash");
    let mut stdin = bash.stdin.take().expect("its input");
    stdin.write_all(script.as_bytes()).await.expect("a script");
    drop(stdin);
    let output = bash.wait_with_output().await.expect("its end");
    assert!(output.status.success(), "{}", text(&output.stderr));

    let completed = text(&output.stdout);
    let mut completed = completed.lines();
    for called in &commands {
        let (next, options) = (completed.next().expect("a line"), completed.next().expect("a line"));
        for below in called.subcommands() {
            assert!(next.contains(&format!(" {below} ")), "after {:?}: {next}", called.words);
        }
        for option in called.options() {
            assert!(options.contains(&format!(" {option} ")), "after {:?}: {options}", called.words);
        }
    }
    assert_eq!(completed.next(), None);
}
