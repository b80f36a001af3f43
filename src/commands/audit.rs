//! `audit tail`: prints and follows the audit trail.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::output::is_broken_pipe;
use super::signals::StopSignals;
use super::{Failure, print_line};
use crate::app::PostgresStorage;
use crate::audit::{Filter, Kind, RecordedEvent, Trail};
use crate::config::Config;
use crate::database::PgSnapshotPosition;
use crate::users;

/// The polling interval of `--follow`.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The number of events printed events are remembered to recognise duplicates.
const MAX_REMEMBERED: usize = 100_000;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Print the newest events of the audit trail, oldest first
    Tail(TailArgs),
}

#[derive(Args)]
pub(super) struct TailArgs {
    /// The number of events
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    count: u32,
    /// Keep printing new events until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only events of this user: a username or an email; of a deleted user, the username
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only events of this kind, such as login_failed
    #[arg(long, value_name = "KIND", value_parser = kind)]
    event: Option<Kind>,
    /// Print each event as a JSON object with all its members
    #[arg(long)]
    json: bool,
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    Kind::of_name(name).ok_or_else(|| format!("the kinds are {}", known()))
}

pub(super) async fn manage(command: AuditCommand, config: &Config) -> Result<(), Failure> {
    let AuditCommand::Tail(tail) = command;
    let storage = PostgresStorage::open(config).await?;
    let mut signals = StopSignals::new()?;
    let outcome = tokio::select! {
        outcome = print(&storage, tail) => outcome,
        () = signals.next() => Ok(()),
    };
    storage.close().await;
    match outcome {
        // The reader closed the pipe, as `head` does: no failure.
        Err(failure) if is_broken_pipe(&failure) => Ok(()),
        outcome => outcome,
    }
}

async fn print(storage: &PostgresStorage, tail: TailArgs) -> Result<(), Failure> {
    let (username, kind) = (tail.user, tail.event);
    let user = match &username {
        Some(name) => users::find_by_name(&storage.pools.requests, name).await?,
        None => None,
    };
    let filter = match user {
        Some(user) => Filter { user_id: Some(user.id), username: None, kind },
        None => Filter { user_id: None, username, kind },
    };
    let (position, records) = storage.trail.newest(&filter, tail.count.into()).await?;
    let mut printer = Printer { is_json: tail.json, widths: [0; 5] };
    printer.print(&records)?;
    if tail.follow { follow(&storage.trail, &filter, position, printer, records).await } else { Ok(()) }
}

async fn follow(
    trail: &Trail,
    filter: &Filter,
    mut position: PgSnapshotPosition,
    mut printer: Printer,
    printed: Vec<RecordedEvent>,
) -> Result<(), Failure> {
    let mut was_behind = false;
    let mut recent = RecentlyPrinted::default();
    recent.take_new(printed);
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        match trail.since(filter, &position).await {
            Ok((next, records)) => {
                was_behind = false;
                printer.print(&recent.take_new(records))?;
                position = next;
            }
            Err(error) => {
                if !was_behind {
                    tracing::warn!(%error, "reading the audit trail failed; will retry");
                }
                was_behind = true;
            }
        }
    }
}

/// The events printed recently: after a crash of Postgres they may be read again.
#[derive(Default)]
struct RecentlyPrinted {
    ids: HashSet<Uuid>,
    oldest_first: VecDeque<Uuid>,
}

impl RecentlyPrinted {
    /// Returns the records that were not printed before, and remembers them.
    fn take_new(&mut self, records: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        let new: Vec<RecordedEvent> =
            records.into_iter().filter(|record| self.ids.insert(record.id)).collect();
        self.oldest_first.extend(new.iter().map(|record| record.id));
        let too_many = self.oldest_first.len().saturating_sub(MAX_REMEMBERED);
        self.oldest_first.drain(..too_many).for_each(|id| {
            self.ids.remove(&id);
        });
        new
    }
}

/// Prints events, in columns that grow with the widest value so far.
struct Printer {
    is_json: bool,
    widths: [usize; 5],
}

impl Printer {
    fn print(&mut self, records: &[RecordedEvent]) -> Result<(), Failure> {
        if self.is_json {
            return records.iter().try_for_each(|record| print_line(&to_ascii_json(record)?));
        }
        let rows: Vec<_> = records.iter().map(|record| (columns(record), details(record))).collect();
        for (columns, _) in &rows {
            let lengths = columns.each_ref().map(|column| column.chars().count());
            self.widths.iter_mut().zip(lengths).for_each(|(width, length)| *width = length.max(*width));
        }
        rows.iter().try_for_each(|(columns, details)| print_line(&self.line(columns, details)))
    }

    fn line(&self, columns: &[String; 5], details: &str) -> String {
        let padded = columns.iter().zip(self.widths).map(|(column, width)| format!("{column:<width$}  "));
        let line = padded.collect::<String>() + details;
        line.trim_end().to_owned()
    }
}

/// The columns: time, event, username, mode and address.
fn columns(record: &RecordedEvent) -> [String; 5] {
    let or_dash =
        |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), escape_control_chars);
    let mode = match (&record.mode, &record.transport) {
        (Some(mode), Some(transport)) => Some(format!("{mode}/{transport}")),
        (mode, transport) => mode.clone().or_else(|| transport.clone()),
    };
    let address = record.address.as_ref().unwrap_or(&record.source);
    [
        record.at.to_rfc3339_opts(SecondsFormat::Millis, true),
        escape_control_chars(&record.event),
        or_dash(&record.username),
        or_dash(&mode),
        escape_control_chars(address),
    ]
}

fn details(record: &RecordedEvent) -> String {
    let detail = record.detail.as_ref().and_then(Value::as_object);
    let members = detail.into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={}", escape_control_chars(text)),
        other => format!("{name}={other}"),
    });
    let login = record.login_id.map(|id| format!("login={id}"));
    let client = record.client_id.map(|id| format!("client={id}"));
    let agent = record.user_agent.as_ref().filter(|agent| !agent.is_empty());
    // Escaped: the header is under the client's control, and a terminal would execute control sequences.
    let agent = agent.map(|agent| format!("agent={agent:?}"));
    members.chain(login).chain(client).chain(agent).collect::<Vec<_>>().join(" ")
}

/// Escapes control characters, so that untrusted text can't control the terminal.
pub(super) fn escape_control_chars(text: &str) -> String {
    text.escape_debug().to_string()
}

/// JSON in pure ASCII: some other characters also control a terminal, such as U+009B and bidirectional overrides.
pub(super) fn to_ascii_json(record: &impl Serialize) -> Result<String, Failure> {
    let mut escaped = String::new();
    for letter in serde_json::to_string(record)?.chars() {
        match letter {
            ' '..='~' => escaped.push(letter),
            _ => letter
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    Ok(escaped)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    const EVIL: &str = "\u{1b}]0;owned\u{7} \u{9b}31m \u{202e}drow\u{7f}\r\n2026 logout \u{1f980} \"";

    fn record() -> RecordedEvent {
        RecordedEvent {
            id: Uuid::now_v7(),
            at: DateTime::UNIX_EPOCH,
            event: "login_failed".to_owned(),
            source: "request".to_owned(),
            user_id: None,
            username: None,
            login_id: None,
            mode: Some("session".to_owned()),
            transport: Some("cookie".to_owned()),
            client_id: None,
            address: Some("192.0.2.1".to_owned()),
            user_agent: Some(EVIL.to_owned()),
            detail: Some(serde_json::json!({"reason": "unknown_name", "name": EVIL})),
        }
    }

    fn is_harmless(text: &str) -> bool {
        !text.chars().any(|letter| letter.is_control() || letter == '\u{202e}')
    }

    #[test]
    fn what_a_client_says_does_not_drive_the_terminal() {
        let printer = Printer { is_json: false, widths: [0; 5] };
        let line = printer.line(&columns(&record()), &details(&record()));
        assert!(is_harmless(&line), "{line:?}");
        let line = to_ascii_json(&record()).expect("JSON");
        assert!(is_harmless(&line), "{line:?}");
        let read: Value = serde_json::from_str(&line).expect("JSON still");
        assert_eq!(read["user_agent"], EVIL);
        assert_eq!(read["detail"]["name"], EVIL);
    }

    #[test]
    fn columns_stay_aligned() {
        let mut printer = Printer { is_json: false, widths: [0; 5] };
        let wide = RecordedEvent { username: Some("somebody-with-a-name".to_owned()), ..record() };
        printer.print(&[wide]).expect("it prints");
        let line = printer.line(&columns(&record()), "");
        assert_eq!(line.find("session/cookie"), Some(24 + 2 + 12 + 2 + 20 + 2));
    }
}
