//! `manual`: writes a manual page for each command.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{CommandLine, Failure};
use crate::version::VERSION;

#[derive(Args)]
pub(super) struct ManualArgs {
    /// The folder for the pages: dualauth.1, dualauth-user-create.1 and so on. It is created if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(manual: &ManualArgs) -> Result<(), Failure> {
    let ManualArgs { folder } = manual;
    // Without the commit: pages of the same version are identical.
    let mut program = CommandLine::command().version(VERSION).disable_help_subcommand(true);
    program.build();
    let written = std::fs::create_dir_all(folder).and_then(|()| write_pages(program, folder));
    written.map_err(|error| format!("{}: {error}", folder.display()).into())
}

/// The pages of a command and its subcommands.
fn write_pages(command: Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        write_pages(below.clone(), folder)?;
    }
    let page = Man::new(command).source(format!("dualauth {VERSION}")).manual("dualauth");
    page.generate_to(folder).map(drop)
}
