//! Log lines on their way to standard error: those that are not urgent wait for each other.
//!
//! `tracing-appender` does this by a thread and a channel, which a line for each request pays for, and it does not tell urgent ones from
//! others.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The target of events of the audit trail. Their lines don't wait: they may be all that is left of an event when the node
/// is killed.
pub const AUDIT: &str = "dualauth::audit";

/// How long a line that is not urgent may wait for others: a system call for each access line would be a tenth of
/// what a request costs.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many bytes may wait.
const CAPACITY: usize = 64 * 1024;

/// Lines that wait to be written.
#[derive(Debug, Default)]
pub(super) struct PendingLines {
    lines: Mutex<Vec<u8>>,
    /// Held while lines are written: none overtakes another.
    output: Mutex<()>,
    some: Condvar,
}

impl PendingLines {
    /// Adds a line, and writes when there are many.
    pub(super) fn push(&self, line: &[u8]) {
        if self.add(line) > CAPACITY {
            self.write();
        }
    }

    fn add(&self, line: &[u8]) -> usize {
        let mut lines = lock(&self.lines);
        if lines.is_empty() {
            self.some.notify_one();
        }
        lines.extend_from_slice(line);
        lines.len()
    }

    /// Where this can't be written, nothing can.
    pub(super) fn write(&self) {
        let _output = lock(&self.output);
        // With room for the next ones: it would else grow, and be copied, time and again.
        let lines = std::mem::replace(&mut *lock(&self.lines), Vec::with_capacity(2 * CAPACITY));
        let _ = io::stderr().write_all(&lines);
    }

    /// For ever.
    pub(super) fn write_every_so_often(&self) {
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

/// Where tracing writes.
pub(super) struct LogWriter(pub(super) Arc<PendingLines>);

/// One line on its way.
pub(super) struct LineWriter<'a> {
    waiting: &'a PendingLines,
    is_urgent: bool,
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { waiting: &self.0, is_urgent: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        let is_urgent = *metadata.level() <= Level::WARN || metadata.target() == AUDIT;
        LineWriter { waiting: &self.0, is_urgent }
    }
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.waiting.push(line);
        if self.is_urgent {
            self.waiting.write();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.waiting.write();
        Ok(())
    }
}
