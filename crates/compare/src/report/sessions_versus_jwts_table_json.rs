//! `comparison.textbook.json`: measured sentences for the cells of the textbook table (sessions or JWTs) that `/compare` shows.

use serde::Serialize;

use super::super::target::{AuthMode, CredentialTransport};
use super::cells::memory_cell;
use super::html::escape;
use super::{DelayDistribution, Report, Variant};

/// The cells of a row, as HTML sentences. `None`: not measured in this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SessionAndJwtCells {
    session: Option<String>,
    jwt: Option<String>,
}

/// The rows of the table that a run measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TopicRows {
    storage: SessionAndJwtCells,
    scalability: SessionAndJwtCells,
    revocation: SessionAndJwtCells,
    payload: SessionAndJwtCells,
    logout: SessionAndJwtCells,
}

/// The measured cells of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SessionsVersusJwtsTable {
    /// Whether the server ran already: much can't be measured from outside.
    from_outside: bool,
    rows: TopicRows,
}

impl Report {
    /// The measured cells, by row.
    pub(super) fn to_sessions_versus_jwts_table(&self) -> SessionsVersusJwtsTable {
        let cells = |cell: fn(&Self, AuthMode) -> Option<String>| SessionAndJwtCells {
            session: cell(self, AuthMode::Session),
            jwt: cell(self, AuthMode::Jwt),
        };
        SessionsVersusJwtsTable {
            from_outside: self.environment.url.is_some(),
            rows: TopicRows {
                storage: cells(Self::storage_cell),
                scalability: cells(Self::scalability_cell),
                revocation: cells(Self::revocation_cell),
                payload: cells(Self::payload_cell),
                logout: cells(Self::logout_cell),
            },
        }
    }
}

impl Report {
    fn default_and_textbook(&self, mode: AuthMode, transport: CredentialTransport) -> Option<[&Variant; 2]> {
        Some([self.dualauth(mode, transport, false)?, self.dualauth(mode, transport, true)?])
    }

    fn storage_cell(&self, mode: AuthMode) -> Option<String> {
        let weight = self.dualauth(mode, CredentialTransport::Cookie, false)?.footprint.last()?;
        let (memory, disk, logins) =
            (escape(&memory_cell(weight)), weight.disk_bytes_per_login?, weight.logins);
        Some(format!(
            "<b>{memory} bytes</b> of a server’s memory and <b>{disk:.0} bytes</b> of Postgres’ disk for each login, with {logins} \
             of them."
        ))
    }

    fn scalability_cell(&self, mode: AuthMode) -> Option<String> {
        let [ours, textbook] = self.default_and_textbook(mode, CredentialTransport::Bearer)?;
        let cost = |variant: &Variant| {
            let (ratio, sql) = (variant.server_cpu_ratio?, variant.sql_per_request?);
            let postgres = variant.postgres_cpu_us?;
            Some(format!(
                "<b>{ratio:.2}×</b> a bare handler, <b>{sql:.2}</b> SQL, {postgres:.0} µs of Postgres’ CPU"
            ))
        };
        // Only dualauth's own configuration has these caches; the textbook's node verifies or looks up with each request.
        let remembered =
            if mode == AuthMode::Session { "sessions in use" } else { "tokens that it has verified" };
        Some(format!(
            "{} for each request, on a node that caches {remembered}. In the textbook configuration: {}.",
            cost(ours)?,
            cost(textbook)?
        ))
    }

    fn revocation_cell(&self, mode: AuthMode) -> Option<String> {
        let [ours, textbook] = self.default_and_textbook(mode, CredentialTransport::Bearer)?;
        let elsewhere = |variant: &Variant| {
            Some(revocation_text(variant.revocation_delay_ms.as_ref()?.other_node.as_ref()?))
        };
        Some(format!(
            "On another node: {}. In the textbook configuration: {}.",
            elsewhere(ours)?,
            elsewhere(textbook)?
        ))
    }

    fn payload_cell(&self, mode: AuthMode) -> Option<String> {
        let [cookie, bearer] = [CredentialTransport::Cookie, CredentialTransport::Bearer].map(|transport| {
            let variant = self.dualauth(mode, transport, false)?;
            let header = if transport == CredentialTransport::Cookie { "cookie" } else { "authorization" };
            variant.bytes.sent.get(header).copied()
        });
        Some(format!(
            "<b>{} bytes</b> with each request as a cookie, <b>{}</b> as a Bearer token.",
            cookie?, bearer?
        ))
    }

    fn logout_cell(&self, mode: AuthMode) -> Option<String> {
        let here = |is_textbook| {
            let variant = self.dualauth(mode, CredentialTransport::Bearer, is_textbook)?;
            Some(revocation_text(&variant.revocation_delay_ms.as_ref()?.same_node))
        };
        let service = self.delay_in_other_service().filter(|_| mode == AuthMode::Jwt);
        let service = service.map_or_else(String::new, |(variant, delay)| {
            let algorithm = escape(variant.algorithm.as_deref().unwrap_or_default());
            format!(
                " In another service that verifies tokens by itself ({algorithm}): {}.",
                revocation_text(delay)
            )
        });
        // A server that ran already has one configuration only.
        let textbook =
            here(true).map_or_else(String::new, |it| format!(" In the textbook configuration: {it}."));
        Some(format!("A copy: {}.{service}{textbook}", here(false)?))
    }
}

/// Delays below this, in milliseconds, are shown as immediate: they round to 0.0 ms.
const IMMEDIATE_MS: f64 = 0.05;

fn revocation_text(delay: &DelayDistribution) -> String {
    if delay.until_expiry {
        return format!("accepted for <b>{:.0} s</b>, until it expires", delay.max / 1e3);
    }
    let count = delay.samples.len();
    let after = |ms: f64| match ms {
        ..IMMEDIATE_MS => "immediately".to_owned(),
        ms if delay.is_censored(ms) => format!("after more than {:.0} s", ms / 1e3),
        ms => format!("after {ms:.1} ms"),
    };
    format!("refused <b>{}</b> (maximum of {count}: {})", after(delay.p50), after(delay.max))
}

#[cfg(test)]
mod tests {
    use super::super::RevocationDelayByPlace;
    use super::*;

    #[test]
    fn the_docs_have_what_their_run_says_in_each_cell() {
        let report: Report =
            serde_json::from_str(include_str!("../../../../docs/comparison.json")).expect("a report");
        let textbook = serde_json::to_value(report.to_sessions_versus_jwts_table()).expect("JSON");
        let committed: serde_json::Value =
            serde_json::from_str(include_str!("../../../../docs/comparison.textbook.json")).expect("JSON");
        assert_eq!(textbook, committed);
        let rows = textbook["rows"].as_object().expect("rows");
        let cells = rows.values().flat_map(|row| [&row["session"], &row["jwt"]]);
        assert!(cells.clone().count() == 10 && cells.clone().all(|cell| cell.is_string()), "{textbook}");
    }

    #[test]
    fn how_long_another_service_accepts_a_jwt_is_told_beside_it() {
        let mut report: Report =
            serde_json::from_str(include_str!("../../../../docs/comparison.json")).expect("a report");
        let elsewhere = DelayDistribution {
            p50: 2.0,
            p99: 3.0,
            max: 3.0,
            until_expiry: false,
            outlived: 0,
            watched: 5_000.0,
            samples: vec![1.0, 2.0, 3.0],
        };
        for variant in &mut report.variants {
            if variant.algorithm.as_deref() == Some("ES256") {
                let [same_node, other_service] = [elsewhere.clone(), elsewhere.clone()];
                variant.revocation_delay_ms = Some(RevocationDelayByPlace {
                    same_node,
                    other_node: None,
                    other_service: Some(other_service),
                });
            } else if let Some(delays) = &mut variant.revocation_delay_ms {
                delays.other_service = None;
            }
        }
        let SessionAndJwtCells { session, jwt } = report.to_sessions_versus_jwts_table().rows.logout;
        let told = "In another service that verifies tokens by itself (ES256): refused <b>after 2.0 ms</b> (maximum of 3: after 3.0 ms).";
        assert!(jwt.expect("measured").contains(told));
        assert!(!session.expect("measured").contains("another service"));
        let summary = report.summary();
        let told = "; a JWT (ES256) in another service was accepted for up to 3.0 ms; the textbook JWT";
        assert!(summary.iter().any(|sentence| sentence.contains(told)), "{summary:?}");
    }

    #[test]
    fn what_a_run_has_not_measured_is_in_no_cell() {
        let mut report: Report =
            serde_json::from_str(include_str!("../../../../docs/comparison.json")).expect("a report");
        report.environment.url = Some("https://auth.example.com".to_owned());
        report.variants.iter_mut().for_each(|variant| variant.revocation_delay_ms = None);
        let textbook = report.to_sessions_versus_jwts_table();
        assert!(textbook.from_outside);
        assert_eq!(textbook.rows.revocation, SessionAndJwtCells { session: None, jwt: None });
        assert_eq!(textbook.rows.logout, SessionAndJwtCells { session: None, jwt: None });
        assert!(textbook.rows.payload.jwt.is_some());
    }
}
