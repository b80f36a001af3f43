//! `completions`: what a shell completes commands by.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{CommandLine, Failure, print_line};

#[derive(Args)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

pub(super) fn print(completions: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut CommandLine::command(), "dualauth", &mut script);
    print_line(String::from_utf8(script)?.trim_end())
}
