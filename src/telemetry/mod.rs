//! Logs to standard error, as text or JSON, and spans to an OpenTelemetry collector.

mod access;
mod lines;
mod request;
mod spans;

use std::any::Any;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt};

use crate::config::{LogConfig, LogFormat};

pub use self::access::{AccessRecord, access};
pub use self::lines::AUDIT;
pub use self::request::{RequestId, RequestUser, TraceParent, current_user, set_user, with_request_id};
pub use self::spans::{AnsweredRequest, TraceExporter, TraceExporterError};

use self::lines::{LogWriter, PendingLines};

/// Lowers the level of libraries that log every start and stop, or what is also logged here. `LOG` can raise it
/// again.
///
/// Actix logs an error for each connection on which a client sends something that is not HTTP.
const QUIETER: &str =
    "sqlx::postgres::notice=warn,sqlx_core::pool=error,actix_server=warn,actix_http::h1=off";

/// Libraries that log headers of requests, or everything that is sent to a collector. `LOG` can't enable them. A test
/// checks that no other library logs a secret at any level.
const NEVER: [&str; 2] = ["actix_http::h1::decoder", "ureq"];

/// Starts logging. Only the first call of a process has an effect.
pub fn start(config: &LogConfig) -> LogGuard {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", config.filter)).unwrap_or_default();
    let waiting = Arc::new(PendingLines::default());
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(LogWriter(Arc::clone(&waiting)));
    let discreet = filter_fn(|metadata| !NEVER.iter().any(|target| metadata.target().starts_with(target)));
    let started = match config.format {
        LogFormat::Pretty => {
            let format = format::format().with_ansi(io::stderr().is_terminal());
            let lines = lines.event_format(RequestIdFormatter { lines: format, end: "" });
            lines.finish().with(discreet).try_init()
        }
        LogFormat::Json => {
            let format = format::json().flatten_event(true);
            let lines = lines.fmt_fields(JsonFields::new());
            let lines = lines.event_format(RequestIdFormatter { lines: format, end: "}" });
            lines.finish().with(discreet).try_init()
        }
    };
    // On error there is a subscriber already, such as an embedding program's, which stays in use.
    if started.is_ok() {
        access::write_to(Arc::clone(&waiting), config.format);
    }
    let writer = Arc::clone(&waiting);
    // If the thread can't be started, lines are written only when the buffer is full.
    let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run_writer());
    LogGuard(waiting)
}

/// Writes buffered lines when it is dropped, at the end of the program.
#[derive(Debug)]
pub struct LogGuard(Arc<PendingLines>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.write();
    }
}

/// The message of a panic, for the log.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("of an unknown kind"))
}

/// A format that adds the id of the current request to each line. A span would do the same, at a cost for every
/// request, logging or not.
struct RequestIdFormatter<F> {
    lines: F,
    /// The end of a line in the inner format, before which the id is inserted.
    end: &'static str,
}

impl<S, N, F> FormatEvent<S, N> for RequestIdFormatter<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = request::current_id() else {
            return self.lines.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        let text = line.trim_end();
        let text = text.strip_suffix(self.end).unwrap_or(text);
        match self.end {
            "" => writeln!(writer, "{text} request_id={id}"),
            end => writeln!(writer, r#"{text},"request_id":"{id}"{end}"#),
        }
    }
}
