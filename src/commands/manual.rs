//! `manual`: a manual page for each command.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{CommandLine, Failure};
use crate::version::VERSION;

#[derive(Args)]
pub(super) struct Manual {
    /// Where the pages go, as dualauth.1, dualauth-user-create.1 and so on. It is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn write(manual: &Manual) -> Result<(), Failure> {
    let Manual { folder } = manual;
    // Pages say the same for the same version, whatever the commit.
    let mut program = CommandLine::command().version(VERSION).disable_help_subcommand(true);
    program.build();
    let written = std::fs::create_dir_all(folder).and_then(|()| write_pages(program, folder));
    written.map_err(|error| format!("{}: {error}", folder.display()).into())
}

/// Of a command and of all below it.
fn write_pages(command: Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        write_pages(below.clone(), folder)?;
    }
    let page = Man::new(command).source(format!("dualauth {VERSION}")).manual("dualauth");
    page.generate_to(folder).map(drop)
}
