//! The comparison page's table: the usual statements of tutorials about sessions and JWTs, each with a measurement or a live
//! demonstration.

use std::collections::BTreeMap;

use serde::Deserialize;

const SHELL: &str = include_str!("index.html");

/// The measured cells of a run: `comparison.textbook.json`, as written by `dualauth compare`.
#[derive(Debug, Deserialize)]
pub(super) struct MeasuredCells {
    /// `true` for a run against an already running server, where much can't be measured from outside.
    from_outside: bool,
    rows: BTreeMap<String, Cells>,
}

/// Sentences in HTML, for sessions and JWTs. `None`: not measured in this run.
#[derive(Debug, Deserialize)]
struct Cells {
    session: Option<String>,
    jwt: Option<String>,
}

impl MeasuredCells {
    /// Parses the file. `None` if a row is missing, as in files of other versions.
    pub(super) fn parse(json: &str) -> Option<Self> {
        let measured: Self = serde_json::from_str(json).ok()?;
        let is_complete =
            ROWS.iter().filter_map(|row| row.measured).all(|name| measured.rows.contains_key(name));
        is_complete.then_some(measured)
    }
}

/// A row of the table.
struct TableRow {
    aspect: &'static str,
    /// The tutorials' statements on sessions and JWTs.
    textbook: [&'static str; 2],
    /// The row's name in a run; `None` if it is not measured.
    measured: Option<&'static str>,
    /// The name of the live demonstrations, if there are any.
    live: Option<&'static str>,
}

const ROWS: [TableRow; 9] = [
    TableRow {
        aspect: "Storage",
        textbook: ["on the server", "on the client, none on the server"],
        measured: Some("storage"),
        live: None,
    },
    TableRow {
        aspect: "Scalability",
        textbook: ["a lookup for every request; hard", "stateless; easy"],
        measured: Some("scalability"),
        live: None,
    },
    TableRow {
        aspect: "Revocation",
        textbook: ["immediate", "not before it expires"],
        measured: Some("revocation"),
        live: None,
    },
    TableRow {
        aspect: "Payload",
        textbook: ["small", "large, sent with every request"],
        measured: Some("payload"),
        live: None,
    },
    TableRow {
        aspect: "Expiry",
        textbook: ["by the server, sliding", "built in, fixed"],
        measured: None,
        live: Some("expiry"),
    },
    TableRow {
        aspect: "Logout",
        textbook: ["deletes the session", "deletes the token on the client; copies stay valid"],
        measured: Some("logout"),
        live: Some("logout"),
    },
    TableRow {
        aspect: "Use case",
        textbook: ["browsers", "APIs, mobile and single-page apps"],
        measured: None,
        live: Some("use"),
    },
    TableRow {
        aspect: "XSS exposure",
        textbook: ["low: HttpOnly cookie", "high: token in localStorage"],
        measured: None,
        live: Some("xss"),
    },
    TableRow {
        aspect: "CSRF exposure",
        textbook: ["yes: cookies", "none: header"],
        measured: None,
        live: Some("csrf"),
    },
];

/// The page: the table with the measured cells, and the run's own report (`article`). `mark` is a note at the top.
pub(super) fn page(measured: &MeasuredCells, article: &str, mark: Option<&str>) -> String {
    let rows: String = ROWS.iter().map(|row| table_row(row, measured)).collect();
    let mark = mark.map_or_else(String::new, |mark| {
        format!(
            "<div class=\"report\"><p class=\"beware\"><strong>Warning.</strong> {mark} Run <code>dualauth compare --quick</code>, and reload \
             this page.</p></div>\n"
        )
    });
    let shell = SHELL.replace("<!-- mark -->", &mark).replace("<!-- rows -->", &rows);
    shell.replace("<!-- article -->", article)
}

fn table_row(row: &TableRow, measured: &MeasuredCells) -> String {
    let cells = row.measured.and_then(|name| measured.rows.get(name));
    let [session, jwt] = [cells.and_then(|it| it.session.as_deref()), cells.and_then(|it| it.jwt.as_deref())];
    let [session, jwt] = [("session", session, row.textbook[0]), ("jwt", jwt, row.textbook[1])]
        .map(|(mode, sentences, textbook)| {
            let result = row.measured.map_or_else(String::new, |_| measured_cell(sentences, measured.from_outside));
            let live = row.live.map_or_else(String::new, |name| {
                format!("<p class=\"live\" data-live=\"{name}\" data-mode=\"{mode}\">Live: run the demonstration above.</p>")
            });
            format!("<td>{result}{live}<p class=\"textbook\">Textbook: {textbook}.</p></td>")
        });
    format!("<tr><th scope=\"row\">{}</th>{session}{jwt}</tr>\n", row.aspect)
}

fn measured_cell(sentences: Option<&str>, from_outside: bool) -> String {
    match sentences {
        Some(sentences) => format!("<p>{sentences}</p>"),
        None if from_outside => {
            "<p class=\"unmeasured\">Can’t be measured from outside the server.</p>".to_owned()
        }
        None => "<p class=\"unmeasured\">Not measured in this run.</p>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_other_rows_is_another_version_s() {
        let cells = r#"{"session": "<b>1</b>", "jwt": null}"#;
        let rows = ["storage", "scalability", "revocation", "payload", "logout"];
        let json = |rows: &[&str]| {
            let rows: Vec<String> = rows.iter().map(|name| format!("\"{name}\": {cells}")).collect();
            format!(r#"{{"from_outside": true, "rows": {{{}}}}}"#, rows.join(","))
        };
        for broken in ["", "{}", "[]", &json(&[]), &json(&rows[1..])] {
            assert!(MeasuredCells::parse(broken).is_none(), "{broken}");
        }
        let measured =
            MeasuredCells::parse(&json(&[&rows[..], &["a_newer_one"]].concat())).expect("all rows");
        let page = page(&measured, "<p>the run</p>", None);
        assert_eq!(page.matches("<p><b>1</b></p>").count(), 5);
        assert_eq!(page.matches("Can’t be measured from outside the server").count(), 5);
        assert!(page.contains("<p>the run</p>") && !page.contains("Warning"));
    }
}
