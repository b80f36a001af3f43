//! The program's entry point: allocator, runtime, exit code.

mod commit;

use std::io::Write;
use std::process::ExitCode;

use dualauth::commands::{self, Failure};
use dualauth::config::Config;
use dualauth::version;

/// Short-lived allocations of requests and long-lived ones of cached sessions alternate. glibc's malloc mixes them on the
/// same pages, and the fragmentation makes a cached session cost four times its size.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    version::set_commit(commit::COMMIT);
    let command_line = match commands::parse() {
        Ok(command_line) => command_line,
        Err(code) => return code,
    };
    // Settings before the runtime: reading .env sets environment variables, which is safe only with a single thread.
    let config = Config::from_env();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| {
        let outcome = runtime.block_on(commands::run(command_line, config));
        // Does not wait for blocking threads (DNS look-ups, password hashing).
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If stderr can't be written, there is nowhere left to report the error.
            let _ = writeln!(std::io::stderr(), "dualauth: {failure}");
            ExitCode::FAILURE
        }
    }
}
