//! Logging: to standard error, for people or for machines.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chrono::SecondsFormat;
use serde::Serialize;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::clock::Clock;
use crate::config::{LogConfig, LogFormat};

/// The target of events of the audit trail. Their lines don't wait: they may be all that is left of an event when the node
/// is killed.
pub const AUDIT: &str = "dualauth::audit";

/// How long a line that is not urgent may wait for others: a system call for each access line would be a tenth of
/// what a request costs.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many bytes may wait.
const CAPACITY: usize = 64 * 1024;

/// How long an access line is, as a rule.
const LINE: usize = 192;

/// Where access lines go: they are as many as all others together, so they are written down without detours.
static ACCESS: OnceLock<(Arc<Waiting>, LogFormat)> = OnceLock::new();

/// A request that was answered.
#[derive(Debug, Serialize)]
pub struct Access<'a> {
    /// As it was sent.
    pub method: &'a str,
    /// Without its query.
    pub path: &'a str,
    /// Of the answer.
    pub status: u16,
    /// From its head to the answer's, in microseconds.
    pub micros: u64,
}

/// Writes the line of a request that was answered, under the target `dualauth::access`, at the level `info`.
pub fn access(access: &Access<'_>) {
    if !tracing::enabled!(target: "dualauth::access", Level::INFO) {
        return;
    }
    let Some((waiting, format)) = ACCESS.get() else {
        // Within somebody else's program, by its rules.
        let Access { method, path, status, micros } = *access;
        tracing::info!(target: "dualauth::access", method, path, status, micros, "request");
        return;
    };
    let line = access.line(*format);
    if waiting.add(line.as_bytes()) > CAPACITY {
        waiting.write();
    }
}

impl Access<'_> {
    /// As the other lines are written.
    fn line(&self, format: LogFormat) -> String {
        let time = Clock::system().now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let Self { method, path, status, micros } = self;
        match format {
            LogFormat::Pretty => {
                let mut line = String::with_capacity(LINE);
                // Writing to a string can't fail.
                let _ = writeln!(
                    line,
                    "{time}  INFO dualauth::access: request method={method:?} path={path:?} status={status} \
                     micros={micros}"
                );
                line
            }
            LogFormat::Json => {
                let line = JsonLine {
                    timestamp: time,
                    level: "INFO",
                    message: "request",
                    access: self,
                    target: "dualauth::access",
                };
                // Text and numbers serialise, always.
                let mut line = serde_json::to_string(&line).unwrap_or_default();
                line.push('\n');
                line
            }
        }
    }
}

/// The members that every JSON line has, in the same order.
#[derive(Serialize)]
struct JsonLine<'a> {
    timestamp: String,
    level: &'static str,
    message: &'static str,
    #[serde(flatten)]
    access: &'a Access<'a>,
    target: &'static str,
}

/// What libraries say of every start and stop, and of what is said here in other words. `LOG` can bring it back.
const QUIETER: &str = "sqlx::postgres::notice=warn,sqlx_core::pool=error,actix_server=warn";

/// Starts it. Only the first call of a process has an effect.
pub fn start(config: &LogConfig) -> Logging {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", config.filter)).unwrap_or_default();
    let waiting = Arc::new(Waiting::default());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines(Arc::clone(&waiting)))
        .with_ansi(io::stderr().is_terminal());
    let started = match config.format {
        LogFormat::Pretty => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // An error means that somebody has set up logging already: that holds.
    if started.is_ok() {
        let _ = ACCESS.set((Arc::clone(&waiting), config.format));
    }
    let writer = Arc::clone(&waiting);
    // Without the thread, lines wait until there are many.
    let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_every_so_often());
    Logging(waiting)
}

/// Writes what still waits when it is dropped, at the end of the program.
#[derive(Debug)]
pub struct Logging(Arc<Waiting>);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.write();
    }
}

/// Lines that wait to be written.
#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<Vec<u8>>,
    /// Held while lines are written: none overtakes another.
    output: Mutex<()>,
    some: Condvar,
}

impl Waiting {
    fn add(&self, line: &[u8]) -> usize {
        let mut lines = lock(&self.lines);
        if lines.is_empty() {
            self.some.notify_one();
        }
        lines.extend_from_slice(line);
        lines.len()
    }

    /// Where this can't be written, nothing can.
    fn write(&self) {
        let _output = lock(&self.output);
        let lines = std::mem::take(&mut *lock(&self.lines));
        let _ = io::stderr().write_all(&lines);
    }

    fn write_every_so_often(&self) {
        loop {
            let lines = self.some.wait_while(lock(&self.lines), |lines| lines.is_empty());
            drop(lines);
            std::thread::sleep(PATIENCE);
            self.write();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Lines(Arc<Waiting>);

/// One line on its way.
struct Line<'a> {
    waiting: &'a Waiting,
    is_urgent: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { waiting: &self.0, is_urgent: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let is_urgent = *metadata.level() <= Level::WARN || metadata.target() == AUDIT;
        Line { waiting: &self.0, is_urgent }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let waiting = self.waiting.add(line);
        if self.is_urgent || waiting > CAPACITY {
            self.waiting.write();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.waiting.write();
        Ok(())
    }
}
