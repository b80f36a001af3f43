//! The command line: its help, completions, manual pages and version, and the health check for containers.

mod completions;
mod health;
mod manual;
mod version;

use clap::{Arg, Command, CommandFactory};
use dualauth::commands::CommandLine;

/// A command, with the words that select it.
struct Called {
    words: Vec<String>,
    command: Command,
}

impl Called {
    /// Names of its subcommands.
    fn subcommands(&self) -> Vec<&str> {
        self.command.get_subcommands().map(Command::get_name).collect()
    }

    /// Its long options, such as `--email`.
    fn options(&self) -> impl Iterator<Item = String> {
        let long = self.command.get_arguments().filter(|argument| !argument.is_hide_set());
        long.filter_map(Arg::get_long).map(|long| format!("--{long}"))
    }
}

/// The program and all its subcommands, at every level.
fn commands() -> Vec<Called> {
    let mut root = CommandLine::command().disable_help_subcommand(true);
    root.build();
    let mut found = vec![Called { words: Vec::new(), command: root }];
    let mut next = 0;
    while next < found.len() {
        let below = found[next].command.get_subcommands().cloned();
        let below = below.map(|command| {
            let words = [found[next].words.clone(), vec![command.get_name().to_owned()]].concat();
            Called { words, command }
        });
        let below: Vec<_> = below.collect();
        found.extend(below);
        next += 1;
    }
    found
}

#[test]
fn every_command_and_every_argument_has_a_help_text() {
    let commands = commands();
    assert!(commands.iter().any(|called| called.words == ["user", "role", "add"]));
    for Called { words, command } in commands {
        assert!(command.get_about().is_some(), "{words:?}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{words:?} {}", argument.get_id());
        }
    }
}
