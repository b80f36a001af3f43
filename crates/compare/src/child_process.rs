//! Child processes that stop with this process, even if it is killed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::CompareError;

/// Runs a program, prints its pid, and stops it at the end of standard input, whose other end this process holds: the kernel
/// closes it even when this process is killed. All output of the program goes to standard error.
const WATCHDOG: &str = r#"exec 3<&0
sh -c 'echo $$; exec "$@" >&2' sh "$@" </dev/null 3<&- &
cat <&3 >/dev/null
kill -TERM $! 2>/dev/null
wait $!"#;

/// How long a program may take to stop after SIGTERM before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two checks whether it has stopped.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A command, its environment and its working directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Launch {
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// The environment: these variables and `PATH` only, so that nothing else in ours changes a figure.
    pub(super) environment: Vec<(String, String)>,
    /// The working directory; `None`: that of this process.
    pub(super) folder: Option<PathBuf>,
}

/// A running program, which is stopped when this value is dropped.
pub(super) struct Process {
    watchdog: Child,
    pid: u32,
}

impl Launch {
    /// Starts it. Its output is appended to this file.
    pub(super) fn start(&self, log: &Path) -> Result<Process, CompareError> {
        let watchdog = ["sh", "-c", WATCHDOG, "sh"].map(str::to_owned);
        let arguments = [watchdog.as_slice(), &self.command].concat();
        let mut command = self.command(&arguments, log)?;
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut watchdog = started.map_err(|error| self.failed(&error.to_string()))?;
        let output = watchdog.stdout.take().ok_or_else(|| self.failed("could not read its output"))?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line).ok();
        let pid = read.and_then(|_| line.trim().parse().ok());
        let pid = pid.ok_or_else(|| self.failed("could not read its pid"))?;
        Ok(Process { watchdog, pid })
    }

    /// Runs it, waits until it exits successfully, and returns what it has printed.
    pub(super) fn run(&self, log: &Path) -> Result<String, CompareError> {
        let output = self.command(&self.command, log)?.stdin(Stdio::null()).stdout(Stdio::piped()).output();
        match output {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => Err(self.failed(&format!("{}; see {}", output.status, log.display()))),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    fn command(&self, arguments: &[String], log: &Path) -> Result<Command, CompareError> {
        let (program, arguments) =
            arguments.split_first().ok_or_else(|| self.failed("the command is empty"))?;
        let log = File::options().create(true).append(true).open(log);
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stderr(log.map_err(|error| self.failed(&error.to_string()))?);
        Ok(command)
    }

    fn failed(&self, reason: &str) -> CompareError {
        CompareError::Launch { command: self.command.join(" "), reason: reason.to_owned() }
    }
}

impl Process {
    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let started = Instant::now();
        while started.elapsed() < STOP_TIMEOUT {
            // Exited, or can't be waited for.
            if !matches!(self.watchdog.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        if let Some(pid) = self.pid.try_into().ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.watchdog.wait();
    }
}

/// An unused local port. If another process takes it first, the server fails to bind it and its log says so.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(script: &str) -> Launch {
        let environment = vec![("GREETING".to_owned(), "hello".to_owned())];
        Launch { command: ["sh", "-c", script].map(str::to_owned).to_vec(), environment, folder: None }
    }

    #[test]
    fn a_process_ends_with_its_value_and_has_the_environment_that_is_given() {
        let log = std::env::temp_dir().join(format!("dualauth-process-{}.log", std::process::id()));
        let launch =
            launch("echo $GREETING; trap 'echo stopped >&2; exit' TERM; while :; do sleep 0.01; done");
        let process = launch.start(&log).expect("it starts");
        let written = || std::fs::read_to_string(&log).expect("its log");
        while written() != "hello\n" {
            std::thread::yield_now();
        }
        assert_eq!(super::super::proc_usage::parent_of(process.pid()), Some(process.watchdog.id()));
        drop(process);
        assert_eq!(written(), "hello\nstopped\n");
        std::fs::remove_file(&log).expect("it is there");
    }

    #[test]
    fn a_process_that_will_not_stop_is_killed() {
        let log = std::env::temp_dir().join(format!("dualauth-deaf-{}.log", std::process::id()));
        let process =
            launch("trap '' TERM; echo deaf; while :; do sleep 0.01; done").start(&log).expect("it starts");
        while std::fs::read_to_string(&log).expect("its log") != "deaf\n" {
            std::thread::yield_now();
        }
        let pid = process.pid();
        drop(process);
        assert_eq!(super::super::proc_usage::parent_of(pid), None);
        std::fs::remove_file(&log).expect("it is there");
    }

    #[test]
    fn a_command_tells_what_it_prints_or_that_it_failed() {
        let log = Path::new("/dev/null");
        assert_eq!(launch("echo done").run(log).expect("it does well"), "done\n");
        launch("exit 3").run(log).expect_err("it does not");
    }
}
