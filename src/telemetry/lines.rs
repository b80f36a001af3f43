//! Log output to standard error, with a buffer for lines that are not urgent.
//!
//! `tracing-appender` uses a thread and a channel, a cost for every access line, and does not distinguish urgent
//! lines from others.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The target of audit events. Their lines are written at once: if the node is killed, they may be the only record of
/// an event.
pub const AUDIT: &str = "dualauth::audit";

/// Maximum time that a line that is not urgent may be buffered. A system call for each access line would be a tenth
/// of the cost of a request.
const PATIENCE: Duration = Duration::from_millis(100);

/// Number of buffered bytes at which they are written.
const CAPACITY: usize = 64 * 1024;

/// The buffer.
#[derive(Debug, Default)]
pub(super) struct PendingLines {
    lines: Mutex<Vec<u8>>,
    /// Held during a write, so that lines stay in order.
    output: Mutex<()>,
    some: Condvar,
}

impl PendingLines {
    /// Adds a line, and writes the buffer when it is full.
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

    /// Writes the buffer. Errors are ignored, since there is nowhere to report them.
    pub(super) fn write(&self) {
        let _output = lock(&self.output);
        // With capacity for the next lines, which would otherwise be reallocated and copied repeatedly.
        let lines = std::mem::replace(&mut *lock(&self.lines), Vec::with_capacity(2 * CAPACITY));
        let _ = io::stderr().write_all(&lines);
    }

    /// Writes the buffer at regular intervals; never returns.
    pub(super) fn run_writer(&self) {
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

/// The writer of the tracing subscriber.
pub(super) struct LogWriter(pub(super) Arc<PendingLines>);

/// The writer of one event.
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
