//! OpenTelemetry's own settings, as its specification has them ("Environment Variable Specification").

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::{TracesConfig, UnknownReason, UnknownSetting, public_url};

const PREFIX: &str = "OTEL_";

/// Where a collector is, when it is not said (OTLP Exporter, "Configuration Options").
const DEFAULT_COLLECTOR: &str = "http://localhost:4318";

/// What its library reads by itself.
const OF_THE_LIBRARY: [&str; 3] =
    ["OTEL_BSP_", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"];

/// What asks for nothing but what happens anyhow.
const AS_IT_IS: [(&str, &[&str]); 4] = [
    ("OTEL_TRACES_SAMPLER", &["parentbased_always_on"]),
    ("OTEL_PROPAGATORS", &["tracecontext"]),
    ("OTEL_METRICS_EXPORTER", &["none", "prometheus"]),
    ("OTEL_LOGS_EXPORTER", &["none"]),
];

/// Its one switch that is followed.
const SWITCH: &str = "OTEL_SDK_DISABLED";

/// Its settings among these that change nothing here: neither `known`, nor read by its library; and its switch, if that is
/// neither on nor off.
pub(super) fn unfollowed(values: &BTreeMap<String, String>, known: &BTreeSet<String>) -> Vec<UnknownSetting> {
    let is_followed = |name: &str, value: &str| {
        let value = value.trim();
        value.is_empty()
            || known.contains(name)
            || OF_THE_LIBRARY.iter().any(|start| name.starts_with(start))
            || AS_IT_IS.iter().any(|(other, values)| *other == name && values.contains(&value))
    };
    let unfollowed =
        values.iter().filter(|(name, value)| name.starts_with(PREFIX) && !is_followed(name, value));
    let unfollowed = unfollowed.map(|(name, _)| (name.as_str(), UnknownReason::OpenTelemetry));
    let switch = values.get(SWITCH).filter(|value| !is_boolean(value.trim()));
    let all = unfollowed.chain(switch.map(|_| (SWITCH, UnknownReason::NotBoolean)));
    all.map(|(name, why)| UnknownSetting { name: name.to_owned(), why }).collect()
}

/// "Boolean value" in the specification: what is neither counts as false, and is to be told.
fn is_boolean(value: &str) -> bool {
    ["", "true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// `name=value` pairs with commas in between, values percent-encoded. Nothing where it is something else.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pairs = items.map(|item| {
        let (name, value) = item.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    });
    pairs.collect()
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    /// Where spans go, if anywhere.
    pub(super) fn traces(&mut self) -> Option<TracesConfig> {
        // Anything else counts as false (OpenTelemetry's specification, "Boolean value").
        let is_off = self.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let errors_before = self.errors.len();
        let is_wanted = self.read("OTEL_TRACES_EXPORTER", "otlp or none", |text| match text {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        });
        // Asked for in any case, so that a name with a slip is known for what it is.
        let (endpoint, headers, resource) = (self.collector(), self.collector_headers(), self.resource());
        let protocol = self.first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if is_off || is_wanted == Some(false) {
            // Nor does what is not used stop the start.
            self.errors.truncate(errors_before);
            return None;
        }
        let endpoint = endpoint.or_else(|| is_wanted.and_then(|_| signal_endpoint(DEFAULT_COLLECTOR)))?;
        if let Some((name, _)) = protocol.filter(|(_, protocol)| protocol != "http/protobuf") {
            self.wrong(name, "http/protobuf: nothing else is sent");
        }
        Some(TracesConfig { endpoint, headers, resource })
    }

    /// The first of these that is set.
    fn first<const N: usize>(&mut self, names: [&'static str; N]) -> Option<(&'static str, String)> {
        let values = names.map(|name| self.text(name).map(|value| (name, value)));
        values.into_iter().flatten().next()
    }

    /// The signal's own endpoint is taken as it is; to that of all signals, its path is added.
    fn collector(&mut self) -> Option<Url> {
        let expected = "the URL of a collector such as http://localhost:4318, without a user or a query";
        let own = self.read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", expected, parse_endpoint);
        let of_all = self.read("OTEL_EXPORTER_OTLP_ENDPOINT", expected, signal_endpoint);
        own.or(of_all)
    }

    fn collector_headers(&mut self) -> Vec<(String, SecretString)> {
        let given = self.first(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]);
        let pairs = given.map_or_else(Vec::new, |(name, text)| self.pairs(name, &text));
        pairs.into_iter().map(|(name, value)| (name, value.into())).collect()
    }

    /// The name has a setting of its own, which wins.
    fn resource(&mut self) -> Vec<(String, String)> {
        const NAME: &str = "service.name";
        let text = self.text("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let mut resource = self.pairs("OTEL_RESOURCE_ATTRIBUTES", &text);
        let name = self.text("OTEL_SERVICE_NAME");
        if name.is_some() || resource.iter().all(|(other, _)| other != NAME) {
            resource.retain(|(other, _)| other != NAME);
            resource.push((NAME.to_owned(), name.unwrap_or_else(|| "dualauth".to_owned())));
        }
        resource
    }

    fn pairs(&mut self, name: &str, text: &str) -> Vec<(String, String)> {
        pairs(text).unwrap_or_else(|| {
            self.wrong(name, "name=value pairs with commas in between, values percent-encoded");
            Vec::new()
        })
    }
}

/// The endpoint for spans below that for all signals.
fn signal_endpoint(text: &str) -> Option<Url> {
    let mut url = parse_endpoint(text)?;
    url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
    Some(url)
}

fn parse_endpoint(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(public_url::is_plain)
}

#[cfg(test)]
mod tests;
