//! Summary of a report in a few sentences.

use super::super::statistics::Estimate;
use super::super::target::{AuthMode, CredentialTransport};
use super::cells::format_number;
use super::{DelayDistribution, Report, RevocationDelayByPlace, Variant};

/// A session and a JWT with the same transport and configuration.
struct Pair<'a> {
    session: &'a Variant,
    jwt: &'a Variant,
}

impl Report {
    /// At most five sentences, without those for which the run has no figures.
    pub(super) fn summary(&self) -> Vec<String> {
        let Some(ours) = self.pair(false) else { return Vec::new() };
        let textbook = self.pair(true);
        let sentences = [
            self.few_connections(&ours).or_else(|| latency_sentence(&ours)),
            self.many_connections(&ours),
            textbook.as_ref().and_then(textbook_cost),
            self.revocation_sentence(&ours, textbook.as_ref()),
            Some(bytes_and_outage(&ours)),
        ];
        sentences.into_iter().flatten().collect()
    }

    /// With Bearer tokens: the additional cost of a cookie is the same in both modes.
    fn pair(&self, is_textbook: bool) -> Option<Pair<'_>> {
        let variant = |mode| self.dualauth(mode, CredentialTransport::Bearer, is_textbook);
        Some(Pair { session: variant(AuthMode::Session)?, jwt: variant(AuthMode::Jwt)? })
    }

    fn few_connections(&self, Pair { session, jwt }: &Pair<'_>) -> Option<String> {
        let bare = self.bare.as_ref()?.server_cpu_us?;
        let cost = |variant: &Variant| Some((variant.server_cpu_us?, variant.server_cpu_ratio?));
        let ((session_cpu, session_ratio), (jwt_cpu, jwt_ratio)) = (cost(session)?, cost(jwt)?);
        Some(format!(
            "Over {}, a request costs the server {} µs of CPU with a session and {} µs with a JWT: {} and {} times what a bare handler \
             takes ({} µs).",
            connections(self.environment.connections),
            format_number(Some(session_cpu), 1),
            format_number(Some(jwt_cpu), 1),
            format_number(Some(session_ratio), 2),
            format_number(Some(jwt_ratio), 2),
            format_number(Some(bare.median), 1),
        ))
    }

    fn many_connections(&self, Pair { session, jwt }: &Pair<'_>) -> Option<String> {
        let bare = self.bare.as_ref()?.many_connections?;
        let cost = |variant: &Variant| {
            let many = variant.many_connections?;
            Some((many.server_cpu_us?.median, many.server_cpu_ratio?))
        };
        let ((session_cpu, session_ratio), (jwt_cpu, jwt_ratio)) = (cost(session)?, cost(jwt)?);
        if [session_ratio, jwt_ratio].iter().any(is_uncertain) {
            return Some(format!(
                "Over {}, rounds differed too much for a median: a request cost between {} and {} times the bare handler's with a session, \
                 and between {} and {} times with a JWT.",
                connections(bare.connections),
                format_number(Some(session_ratio.low), 2),
                format_number(Some(session_ratio.high), 2),
                format_number(Some(jwt_ratio.low), 2),
                format_number(Some(jwt_ratio.high), 2),
            ));
        }
        Some(format!(
            "Over {}, where one system call serves several requests, it is {} µs and {} µs: {} and {} times the bare \
             handler's {} µs.",
            connections(bare.connections),
            format_number(Some(session_cpu), 1),
            format_number(Some(jwt_cpu), 1),
            format_number(Some(session_ratio.median), 2),
            format_number(Some(jwt_ratio.median), 2),
            format_number(Some(bare.server_cpu_us?.median), 1),
        ))
    }

    fn revocation_sentence(
        &self,
        Pair { session, jwt }: &Pair<'_>,
        textbook: Option<&Pair<'_>>,
    ) -> Option<String> {
        let of = |name: &str, variant: &Variant| {
            Some(format!("{name} {}", delay_by_node(variant.revocation_delay_ms.as_ref()?)))
        };
        let textbook = textbook.and_then(|pair| of("the textbook JWT", pair.jwt));
        let service = self.delay_in_other_service().map(in_other_service);
        let parts = [of("the session", session), of("the JWT", jwt), service, textbook];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("After a logout was acknowledged, {}.", parts.join("; ")))
    }
}

/// Whether its interval is too wide for the median to mean anything.
fn is_uncertain(ratio: &Estimate) -> bool {
    ratio.high > 2.0 * ratio.low
}

/// Latencies, for a server whose CPU time is unknown.
fn latency_sentence(Pair { session, jwt }: &Pair<'_>) -> Option<String> {
    Some(format!(
        "The median latency was {} ms with a session and {} ms with a JWT.",
        format_number(Some(session.p50_ms?), 2),
        format_number(Some(jwt.p50_ms?), 2)
    ))
}

fn textbook_cost(Pair { session, jwt }: &Pair<'_>) -> Option<String> {
    let of_algorithm = jwt.algorithm.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    Some(format!(
        "In the textbook configuration, a session that is looked up in Postgres with every request costs {} times a bare handler, and a JWT \
         whose signature is verified with every request{of_algorithm} {} times.",
        format_number(Some(session.server_cpu_ratio?), 2),
        format_number(Some(jwt.server_cpu_ratio?), 2),
    ))
}

/// A JWT with public keys (`EdDSA`), where it is verified by another service.
fn in_other_service((variant, delay): (&Variant, &DelayDistribution)) -> String {
    let algorithm = variant.algorithm.as_deref().unwrap_or_default();
    format!("a JWT ({algorithm}) in another service {}", delay_text(delay))
}

/// The delay on both nodes, or on the only one.
fn delay_by_node(delay: &RevocationDelayByPlace) -> String {
    let same = delay_text(&delay.same_node);
    match delay.other_node.as_ref().map(delay_text) {
        Some(other) if other == same => format!("{same} on either node"),
        Some(other) => format!("{same} on the node that handled the logout, and {other} on another"),
        None => format!("{same} on the node that handled the logout"),
    }
}

fn delay_text(delay: &DelayDistribution) -> String {
    match delay.max {
        max if delay.until_expiry => {
            format!("was accepted until it expired, up to {} s later,", format_number(Some(max / 1e3), 0))
        }
        max if delay.is_censored(max) => {
            format!("was accepted for more than {} s", format_number(Some(delay.watched / 1e3), 0))
        }
        // Rounds to 0.0 ms.
        ..0.05 => "was not accepted again".to_owned(),
        max => format!("was accepted for up to {} ms", format_number(Some(max), 1)),
    }
}

fn bytes_and_outage(Pair { session, jwt }: &Pair<'_>) -> String {
    let bytes = format!(
        "A request has {} bytes with a session and {} with a JWT",
        format_number(Some(session.bytes_sent as f64), 0),
        format_number(Some(jwt.bytes_sent as f64), 0)
    );
    match outage_text(session).zip(outage_text(jwt)) {
        Some((session, jwt)) => {
            format!(
                "{bytes}; during an outage of Postgres, requests with the session were answered {session}, and those with the JWT {jwt}."
            )
        }
        None => format!("{bytes}."),
    }
}

/// The last status during the outage, and since when.
fn outage_text(variant: &Variant) -> Option<String> {
    let answers = &variant.outage.as_ref()?.answers;
    let last = answers.last()?;
    let status = last.status.map_or_else(|| "not at all".to_owned(), |status| format!("with {status}"));
    Some(match answers.len() {
        1 => format!("{status} all the time"),
        _ => format!("{status} from {} s on", format_number(Some(last.after_ms as f64 / 1e3), 1)),
    })
}

fn connections(count: usize) -> String {
    match count {
        1 => "one connection".to_owned(),
        count => format!("{count} connections"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed run.
    fn report() -> Report {
        serde_json::from_str(include_str!("../../../../docs/comparison.json")).expect("a report")
    }

    fn changed(mut change: impl FnMut(&mut Variant)) -> Vec<String> {
        let mut report = report();
        report.variants.iter_mut().for_each(&mut change);
        report.summary()
    }

    #[test]
    fn a_complete_run_says_five_things_with_figures_in_each() {
        let summary = report().summary();
        assert_eq!(summary.len(), 5, "{summary:?}");
        for sentence in summary {
            assert!(sentence.contains(|letter: char| letter.is_ascii_digit()), "{sentence}");
            assert!(sentence.ends_with('.') && !sentence.contains('–'), "{sentence}");
        }
    }

    #[test]
    fn the_run_of_the_docs_begins_with_what_its_figures_say() {
        let [markdown, html] = [
            include_str!("../../../../docs/comparison.md"),
            include_str!("../../../../docs/comparison.html"),
        ];
        for sentence in report().summary() {
            assert!(markdown.contains(&format!("- {sentence}\n")), "{sentence}");
            assert!(html.contains(&format!("<li>{sentence}</li>")), "{sentence}");
        }
    }

    #[test]
    fn no_middle_is_told_of_rounds_that_differed_too_much() {
        let over_many = |low, high| {
            changed(|variant| {
                let Some(many) = &mut variant.many_connections else { return };
                many.server_cpu_ratio = Some(Estimate { count: 5, median: 1.4, low, high });
            })
            .swap_remove(1)
        };
        let certain = over_many(1.3, 1.6);
        assert!(certain.contains(": 1.40 and 1.40 times"), "{certain}");
        let uncertain = over_many(0.2, 1.6);
        assert!(
            uncertain.contains("between 0.20 and 1.60 times") && !uncertain.contains("1.40"),
            "{uncertain}"
        );
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let without_cpu = changed(|variant| {
            variant.server_cpu_us = None;
            variant.server_cpu_ratio = None;
            variant.many_connections = None;
        });
        assert!(without_cpu[0].starts_with("The median latency was"), "{without_cpu:?}");
        assert_eq!(without_cpu.len(), 3, "{without_cpu:?}");
        let without_ends = changed(|variant| variant.revocation_delay_ms = None);
        assert_eq!(without_ends.len(), 4, "{without_ends:?}");
        let without_outage = changed(|variant| variant.outage = None);
        assert!(without_outage[4].ends_with("with a JWT."), "{without_outage:?}");
        let of_another_system = changed(|variant| variant.system = "other".to_owned());
        assert!(of_another_system.is_empty(), "{of_another_system:?}");
        let nothing = Report { variants: Vec::new(), bare: None, ..report() };
        assert!(nothing.summary().is_empty());
    }

    #[test]
    fn how_long_a_credential_lives_on_is_told_as_far_as_it_is_known() {
        let delay = |max: f64, outlived, until_expiry| DelayDistribution {
            p50: max,
            p99: max,
            max,
            until_expiry,
            outlived,
            watched: 5_000.0,
            samples: vec![max],
        };
        assert_eq!(delay_text(&delay(0.0, 0, false)), "was not accepted again");
        assert_eq!(delay_text(&delay(12.3, 0, false)), "was accepted for up to 12.3 ms");
        assert_eq!(delay_text(&delay(5_000.0, 1, false)), "was accepted for more than 5 s");
        assert_eq!(
            delay_text(&delay(900_000.0, 2, true)),
            "was accepted until it expired, up to 900 s later,"
        );
        let on = |other| {
            let same_node = delay(0.0, 0, false);
            delay_by_node(&RevocationDelayByPlace { same_node, other_node: other, other_service: None })
        };
        assert_eq!(on(None), "was not accepted again on the node that handled the logout");
        assert_eq!(on(Some(delay(0.0, 0, false))), "was not accepted again on either node");
        assert_eq!(
            on(Some(delay(7.0, 0, false))),
            "was not accepted again on the node that handled the logout, and was accepted for up to 7.0 ms on another"
        );
    }

    #[test]
    fn one_connection_is_no_plural() {
        assert_eq!([1, 4].map(connections), ["one connection", "4 connections"]);
    }
}
