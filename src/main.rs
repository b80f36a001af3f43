//! The program: its allocator, its runtime, its exit code.

mod commit;

use std::io::Write;
use std::process::ExitCode;

use dualauth::commands::{self, Failure};
use dualauth::config::Config;
use dualauth::version;

/// What a request allocates for a moment and what is remembered for hours come in turns. glibc lets them lie side by
/// side, and a remembered session then holds four times its own weight.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    version::set_commit(commit::COMMIT);
    let command_line = match commands::parse() {
        Ok(command_line) => command_line,
        Err(code) => return code,
    };
    // Settings first: reading .env sets variables, which is safe only while there is one thread.
    let config = Config::from_env();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| {
        let outcome = runtime.block_on(commands::run(command_line, config));
        // A thread that looks a name up, or hashes, is not waited for.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where this can't be written, nothing can.
            let _ = writeln!(std::io::stderr(), "dualauth: {failure}");
            ExitCode::FAILURE
        }
    }
}
