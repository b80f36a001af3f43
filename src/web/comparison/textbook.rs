//! The textbook's table: what it says, and what was measured, or can be seen live, in its place.

use dualauth_compare::Report;
use dualauth_compare::report::{Delay, Variant, memory_in_words};
use dualauth_compare::target::{Mode, Transport};

const SHELL: &str = include_str!("index.html");

/// A row of the table.
struct Row {
    aspect: &'static str,
    /// What tutorials say, of sessions and of JWTs.
    textbook: [&'static str; 2],
    /// What was measured, of sessions and of JWTs; `None`: it has to be seen.
    measured: Option<fn(&Found<'_>, Mode) -> Option<String>>,
    /// The name of the live demonstration of each, if there is one.
    live: Option<&'static str>,
}

const ROWS: [Row; 9] = [
    Row {
        aspect: "Storage",
        textbook: ["on the server", "on the client, none on the server"],
        measured: Some(|found, mode| found.storage(mode)),
        live: None,
    },
    Row {
        aspect: "Scalability",
        textbook: ["a look-up for every request; hard", "stateless; easy"],
        measured: Some(|found, mode| found.scalability(mode)),
        live: None,
    },
    Row {
        aspect: "Revocation",
        textbook: ["immediate", "not before it expires"],
        measured: Some(|found, mode| found.revocation(mode)),
        live: None,
    },
    Row {
        aspect: "Payload",
        textbook: ["small", "large, with every request"],
        measured: Some(|found, mode| found.payload(mode)),
        live: None,
    },
    Row {
        aspect: "Expiry",
        textbook: ["by the server, sliding", "built in, fixed"],
        measured: None,
        live: Some("expiry"),
    },
    Row {
        aspect: "Logout",
        textbook: ["deletes the session", "deletes the token on the client; a copy lives on"],
        measured: Some(|found, mode| found.logout(mode)),
        live: Some("logout"),
    },
    Row {
        aspect: "Use case",
        textbook: ["browsers", "APIs, mobile and single-page apps"],
        measured: None,
        live: Some("use"),
    },
    Row {
        aspect: "XSS exposure",
        textbook: ["low: HttpOnly cookie", "high: token in localStorage"],
        measured: None,
        live: Some("xss"),
    },
    Row {
        aspect: "CSRF exposure",
        textbook: ["yes: cookies", "none: header"],
        measured: None,
        live: Some("csrf"),
    },
];

/// The page: the table, of what was found, and what the run says itself. `mark` is what has to be said of it first.
pub(super) fn page(report: &Report, article: &str, mark: Option<&str>) -> String {
    let found = Found(report);
    let rows: String = ROWS.iter().map(|row| line(row, &found)).collect();
    let mark = mark.map_or_else(String::new, |mark| {
        format!(
            "<div class=\"report\"><p class=\"beware\"><strong>Beware.</strong> {mark} Run <code>dualauth compare --quick</code>, and load \
             this page again.</p></div>\n"
        )
    });
    let shell = SHELL.replace("<!-- mark -->", &mark).replace("<!-- rows -->", &rows);
    shell.replace("<!-- article -->", article)
}

fn line(row: &Row, found: &Found<'_>) -> String {
    let cell = |mode: Mode, textbook: &str| {
        let measured = row.measured.and_then(|measured| measured(found, mode));
        let measured = match (measured, row.measured) {
            (Some(measured), _) => format!("<p>{measured}</p>"),
            (None, Some(_)) if found.is_of_elsewhere() => {
                "<p class=\"unmeasured\">Not known of a server that is elsewhere.</p>".to_owned()
            }
            (None, Some(_)) => "<p class=\"unmeasured\">Not measured in this run.</p>".to_owned(),
            (None, None) => String::new(),
        };
        let live = row.live.map_or_else(String::new, |name| {
            format!("<p class=\"live\" data-live=\"{name}\" data-mode=\"{}\">Seen live: press the button above.</p>", mode.as_str())
        });
        format!("<td>{measured}{live}<p class=\"textbook\">Textbook: {textbook}.</p></td>")
    };
    let [session, jwt] = row.textbook;
    format!(
        "<tr><th scope=\"row\">{}</th>{}{}</tr>\n",
        row.aspect,
        cell(Mode::Session, session),
        cell(Mode::Jwt, jwt)
    )
}

/// The figures of a run, as the table needs them.
struct Found<'a>(&'a Report);

impl Found<'_> {
    /// Whether it was measured from outside.
    fn is_of_elsewhere(&self) -> bool {
        self.0.environment.url.is_some()
    }

    fn both(&self, mode: Mode, transport: Transport) -> Option<[&Variant; 2]> {
        Some([self.0.dualauth(mode, transport, false)?, self.0.dualauth(mode, transport, true)?])
    }

    fn storage(&self, mode: Mode) -> Option<String> {
        let weight = self.0.dualauth(mode, Transport::Cookie, false)?.footprint.last()?;
        let (memory, disk, logins) = (memory_in_words(weight), weight.disk_bytes_per_login?, weight.logins);
        Some(format!(
            "<b>{memory} bytes</b> of a server’s memory and <b>{disk:.0} bytes</b> of Postgres’ disk for each live login, with {logins} \
             of them."
        ))
    }

    fn scalability(&self, mode: Mode) -> Option<String> {
        let [ours, textbook] = self.both(mode, Transport::Bearer)?;
        let cost = |variant: &Variant| {
            let (ratio, sql) = (variant.server_cpu_ratio?, variant.sql_per_request?);
            let postgres = variant.postgres_cpu_us?;
            Some(format!(
                "<b>{ratio:.2}×</b> a bare handler, <b>{sql:.2}</b> SQL, {postgres:.0} µs of Postgres’ CPU"
            ))
        };
        // What a textbook's token can't do, it does not remember either: its signature is verified each time.
        let remembered =
            if mode == Mode::Session { "sessions in use" } else { "tokens that it has verified" };
        Some(format!(
            "{} for each request, by a node that remembers {remembered}. As textbooks have it: {}.",
            cost(ours)?,
            cost(textbook)?
        ))
    }

    fn revocation(&self, mode: Mode) -> Option<String> {
        let [ours, textbook] = self.both(mode, Transport::Bearer)?;
        let elsewhere =
            |variant: &Variant| Some(lives_on(variant.revocation_delay_ms.as_ref()?.other_node.as_ref()?));
        Some(format!(
            "On another node: {}. As textbooks have it: {}.",
            elsewhere(ours)?,
            elsewhere(textbook)?
        ))
    }

    fn payload(&self, mode: Mode) -> Option<String> {
        let [cookie, bearer] = [Transport::Cookie, Transport::Bearer].map(|transport| {
            let variant = self.0.dualauth(mode, transport, false)?;
            let header = if transport == Transport::Cookie { "cookie" } else { "authorization" };
            variant.bytes.sent.get(header).copied()
        });
        Some(format!(
            "<b>{} bytes</b> with each request as a cookie, <b>{}</b> as a Bearer token.",
            cookie?, bearer?
        ))
    }

    fn logout(&self, mode: Mode) -> Option<String> {
        let here = |is_textbook| {
            let variant = self.0.dualauth(mode, Transport::Bearer, is_textbook)?;
            Some(lives_on(&variant.revocation_delay_ms.as_ref()?.same_node))
        };
        // A server that is elsewhere is not there as textbooks have it.
        let textbook = here(true).map_or_else(String::new, |it| format!(" As textbooks have it: {it}."));
        Some(format!("A copy: {}.{textbook}", here(false)?))
    }
}

/// In milliseconds: no request that was sent so long after the acknowledgement was accepted.
const AT_ONCE: f64 = 0.05;

fn lives_on(delay: &Delay) -> String {
    if delay.until_expiry {
        return format!("lives on for <b>{:.0} s</b>, until it expires", delay.max / 1e3);
    }
    let count = delay.samples.len();
    let after = |ms: f64| match ms {
        ..AT_ONCE => "at once".to_owned(),
        ms if delay.is_beyond(ms) => format!("after more than {:.0} s", ms / 1e3),
        ms => format!("after {ms:.1} ms"),
    };
    format!("dead <b>{}</b> (worst of {count}: {})", after(delay.p50), after(delay.max))
}
