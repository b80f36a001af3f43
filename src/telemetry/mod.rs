//! What a node tells of itself: lines to standard error, for people or for machines, and spans to a collector.

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
pub use self::request::{RequestId, RequestUser, TraceParent, answering, noted, set_user};
pub use self::spans::{AnsweredRequest, TraceExporter, TraceExporterError};

use self::lines::{LogWriter, PendingLines};

/// What libraries say of every start and stop, and of what is said here in other words. `LOG` can bring it back.
///
/// What actix calls an error of a stream is a client that sent what is no HTTP.
const QUIETER: &str =
    "sqlx::postgres::notice=warn,sqlx_core::pool=error,actix_server=warn,actix_http::h1=off";

/// What quotes the headers that it does not like, and what shows all that is sent to a collector. `LOG` can't bring them
/// back. That no other library tells a secret at any level is tested.
const NEVER: [&str; 2] = ["actix_http::h1::decoder", "ureq"];

/// Starts it. Only the first call of a process has an effect.
pub fn start(config: &LogConfig) -> LogGuard {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", config.filter)).unwrap_or_default();
    let waiting = Arc::new(PendingLines::default());
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(LogWriter(Arc::clone(&waiting)));
    let discreet = filter_fn(|metadata| !NEVER.iter().any(|target| metadata.target().starts_with(target)));
    let started = match config.format {
        LogFormat::Pretty => {
            let format = format::format().with_ansi(io::stderr().is_terminal());
            let lines = lines.event_format(RequestIdFormat { lines: format, end: "" });
            lines.finish().with(discreet).try_init()
        }
        LogFormat::Json => {
            let format = format::json().flatten_event(true);
            let lines = lines.fmt_fields(JsonFields::new());
            let lines = lines.event_format(RequestIdFormat { lines: format, end: "}" });
            lines.finish().with(discreet).try_init()
        }
    };
    // An error means that somebody has set up logging already: that holds.
    if started.is_ok() {
        access::write_to(Arc::clone(&waiting), config.format);
    }
    let writer = Arc::clone(&waiting);
    // Without the thread, lines wait until there are many.
    let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_every_so_often());
    LogGuard(waiting)
}

/// Writes what still waits when it is dropped, at the end of the program.
#[derive(Debug)]
pub struct LogGuard(Arc<PendingLines>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.write();
    }
}

/// What a panic said, for the log.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("of an unknown kind"))
}

/// Lines that have the id of the request that caused them. A span would do the same, at a cost to every request, whether
/// it causes a line or not.
struct RequestIdFormat<F> {
    lines: F,
    /// What a line ends with, and what therefore comes after the id.
    end: &'static str,
}

impl<S, N, F> FormatEvent<S, N> for RequestIdFormat<F>
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
