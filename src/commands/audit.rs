//! `audit`: shows what has happened.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::output::is_no_longer_read;
use super::signals::StopSignals;
use super::{Failure, print_line};
use crate::app::Storage;
use crate::audit::{Filter, Kind, Record, Trail};
use crate::clock::Clock;
use crate::config::Config;
use crate::database::ReadPosition;
use crate::users::ThreadPriority;

/// How often the trail is looked at while it is followed.
const PAUSE: Duration = Duration::from_millis(500);

/// How many events are known to have been printed.
const REMEMBERED: usize = 100_000;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Print the newest events of the audit trail, the oldest of them first
    Tail(Tail),
}

#[derive(Args)]
pub(super) struct Tail {
    /// How many
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
    count: u32,
    /// Go on printing events as they come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only of this user: a username or an email. Of one who is deleted, the username
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only of this kind, such as login_failed
    #[arg(long, value_name = "KIND", value_parser = kind)]
    event: Option<Kind>,
    /// A JSON object for each event, with everything that is known of it
    #[arg(long)]
    json: bool,
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    Kind::of_name(name).ok_or_else(|| format!("the kinds are {}", known()))
}

pub(super) async fn manage(command: AuditCommand, config: &Config) -> Result<(), Failure> {
    let AuditCommand::Tail(tail) = command;
    let storage = Storage::open(config).await?;
    let mut signals = StopSignals::new()?;
    let outcome = tokio::select! {
        outcome = print(&storage, config, tail) => outcome,
        () = signals.next() => Ok(()),
    };
    storage.close().await;
    match outcome {
        // Whoever read it has read enough.
        Err(failure) if is_no_longer_read(&failure) => Ok(()),
        outcome => outcome,
    }
}

async fn print(storage: &Storage, config: &Config, tail: Tail) -> Result<(), Failure> {
    let clock = Clock::system();
    let (username, kind) = (tail.user, tail.event);
    let user = match &username {
        Some(name) => storage.accounts(config, &clock, ThreadPriority::Normal)?.find(name).await?,
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
    mut position: ReadPosition,
    mut printer: Printer,
    printed: Vec<Record>,
) -> Result<(), Failure> {
    let mut was_behind = false;
    let mut lately = RecentlyPrinted::default();
    lately.unseen(printed);
    loop {
        tokio::time::sleep(PAUSE).await;
        match trail.since(filter, &position).await {
            Ok((next, records)) => {
                was_behind = false;
                printer.print(&lately.unseen(records))?;
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

/// Which events were printed lately: after a crash of Postgres they are read once more.
#[derive(Default)]
struct RecentlyPrinted {
    ids: HashSet<Uuid>,
    oldest_first: VecDeque<Uuid>,
}

impl RecentlyPrinted {
    /// Those of these that were not.
    fn unseen(&mut self, records: Vec<Record>) -> Vec<Record> {
        let unseen: Vec<Record> = records.into_iter().filter(|record| self.ids.insert(record.id)).collect();
        self.oldest_first.extend(unseen.iter().map(|record| record.id));
        let too_many = self.oldest_first.len().saturating_sub(REMEMBERED);
        self.oldest_first.drain(..too_many).for_each(|id| {
            self.ids.remove(&id);
        });
        unseen
    }
}

/// Prints events, in columns as wide as what was printed so far.
struct Printer {
    is_json: bool,
    widths: [usize; 5],
}

impl Printer {
    fn print(&mut self, records: &[Record]) -> Result<(), Failure> {
        if self.is_json {
            return records.iter().try_for_each(|record| print_line(&in_ascii(record)?));
        }
        let rows: Vec<_> = records.iter().map(|record| (columns(record), rest(record))).collect();
        for (columns, _) in &rows {
            let lengths = columns.each_ref().map(|column| column.chars().count());
            self.widths.iter_mut().zip(lengths).for_each(|(width, length)| *width = length.max(*width));
        }
        rows.iter().try_for_each(|(columns, rest)| print_line(&self.line(columns, rest)))
    }

    fn line(&self, columns: &[String; 5], rest: &str) -> String {
        let padded = columns.iter().zip(self.widths).map(|(column, width)| format!("{column:<width$}  "));
        let line = padded.collect::<String>() + rest;
        line.trim_end().to_owned()
    }
}

/// When, what, who, in which mode, from where.
fn columns(record: &Record) -> [String; 5] {
    let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), printable);
    let mode = match (&record.mode, &record.transport) {
        (Some(mode), Some(transport)) => Some(format!("{mode}/{transport}")),
        (mode, transport) => mode.clone().or_else(|| transport.clone()),
    };
    let place = record.address.as_ref().unwrap_or(&record.source);
    [
        record.at.to_rfc3339_opts(SecondsFormat::Millis, true),
        printable(&record.event),
        or_dash(&record.username),
        or_dash(&mode),
        printable(place),
    ]
}

fn rest(record: &Record) -> String {
    let detail = record.detail.as_ref().and_then(Value::as_object);
    let members = detail.into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={}", printable(text)),
        other => format!("{name}={other}"),
    });
    let login = record.login_id.map(|id| format!("login={id}"));
    let client = record.client_id.map(|id| format!("client={id}"));
    let agent = record.user_agent.as_ref().filter(|agent| !agent.is_empty());
    // As a literal: a client can say anything, and a terminal would do as it is told.
    let agent = agent.map(|agent| format!("agent={agent:?}"));
    members.chain(login).chain(client).chain(agent).collect::<Vec<_>>().join(" ")
}

/// What a terminal shows and does not obey.
pub(super) fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}

/// As JSON in ASCII: some of the other characters are orders to a terminal as well.
pub(super) fn in_ascii(record: &impl Serialize) -> Result<String, Failure> {
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

    fn record() -> Record {
        Record {
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
        let line = printer.line(&columns(&record()), &rest(&record()));
        assert!(is_harmless(&line), "{line:?}");
        let line = in_ascii(&record()).expect("JSON");
        assert!(is_harmless(&line), "{line:?}");
        let read: Value = serde_json::from_str(&line).expect("JSON still");
        assert_eq!(read["user_agent"], EVIL);
        assert_eq!(read["detail"]["name"], EVIL);
    }

    #[test]
    fn columns_stay_aligned() {
        let mut printer = Printer { is_json: false, widths: [0; 5] };
        let wide = Record { username: Some("somebody-with-a-name".to_owned()), ..record() };
        printer.print(&[wide]).expect("it prints");
        let line = printer.line(&columns(&record()), "");
        assert_eq!(line.find("session/cookie"), Some(24 + 2 + 12 + 2 + 20 + 2));
    }
}
