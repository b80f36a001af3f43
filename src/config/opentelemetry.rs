//! OpenTelemetry's standard settings ("Environment Variable Specification").

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::{TracesConfig, UnknownSetting, UnknownSettingReason, public_url};

const PREFIX: &str = "OTEL_";

/// The default URL of the collector (OTLP Exporter, "Configuration Options").
const DEFAULT_COLLECTOR: &str = "http://localhost:4318";

/// Settings that the OpenTelemetry library reads by itself.
const OF_THE_LIBRARY: [&str; 3] =
    ["OTEL_BSP_", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"];

/// Settings with the values that correspond to our fixed behaviour.
const AS_IT_IS: [(&str, &[&str]); 4] = [
    ("OTEL_TRACES_SAMPLER", &["parentbased_always_on"]),
    ("OTEL_PROPAGATORS", &["tracecontext"]),
    ("OTEL_METRICS_EXPORTER", &["none", "prometheus"]),
    ("OTEL_LOGS_EXPORTER", &["none"]),
];

/// The only boolean setting that is supported.
const SWITCH: &str = "OTEL_SDK_DISABLED";

/// The OpenTelemetry settings among these that have no effect: neither `known` nor read by the library, or [`SWITCH`]
/// with a value that is not boolean.
pub(super) fn ineffective(
    values: &BTreeMap<String, String>,
    known: &BTreeSet<String>,
) -> Vec<UnknownSetting> {
    let is_followed = |name: &str, value: &str| {
        let value = value.trim();
        value.is_empty()
            || known.contains(name)
            || OF_THE_LIBRARY.iter().any(|start| name.starts_with(start))
            || AS_IT_IS.iter().any(|(other, values)| *other == name && values.contains(&value))
    };
    let ineffective =
        values.iter().filter(|(name, value)| name.starts_with(PREFIX) && !is_followed(name, value));
    let ineffective = ineffective.map(|(name, _)| (name.as_str(), UnknownSettingReason::OpenTelemetry));
    let switch = values.get(SWITCH).filter(|value| !is_boolean(value.trim()));
    let all = ineffective.chain(switch.map(|_| (SWITCH, UnknownSettingReason::NotBoolean)));
    all.map(|(name, why)| UnknownSetting { name: name.to_owned(), why }).collect()
}

/// "Boolean value" in the specification: any other value counts as false, and should be reported.
fn is_boolean(value: &str) -> bool {
    ["", "true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Parses comma-separated `name=value` pairs with percent-encoded values. `None` when it is malformed.
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
    /// The settings of trace export, if it is enabled.
    pub(super) fn traces(&mut self) -> Option<TracesConfig> {
        // Any other value counts as false ("Boolean value" in the specification).
        let is_off = self.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let errors_before = self.errors.len();
        let is_wanted = self.read("OTEL_TRACES_EXPORTER", "otlp or none", |text| match text {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        });
        // Read even if disabled, so that misspelt names are recognised.
        let (endpoint, headers, resource) = (self.collector(), self.collector_headers(), self.resource());
        let protocol = self.first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if is_off || is_wanted == Some(false) {
            // Errors in settings that are not used must not prevent the start.
            self.errors.truncate(errors_before);
            return None;
        }
        let endpoint = endpoint.or_else(|| is_wanted.and_then(|_| signal_endpoint(DEFAULT_COLLECTOR)))?;
        if let Some((name, _)) = protocol.filter(|(_, protocol)| protocol != "http/protobuf") {
            self.push_error(name, "http/protobuf: nothing else is sent");
        }
        Some(TracesConfig { endpoint, headers, resource })
    }

    /// The first of these that is set.
    fn first<const N: usize>(&mut self, names: [&'static str; N]) -> Option<(&'static str, String)> {
        let values = names.map(|name| self.text(name).map(|value| (name, value)));
        values.into_iter().flatten().next()
    }

    /// The endpoint for traces is used as it is; the common endpoint gets the path for traces appended.
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

    /// `OTEL_SERVICE_NAME` has priority over the name in the attributes.
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
            self.push_error(name, "comma-separated name=value pairs with percent-encoded values");
            Vec::new()
        })
    }
}

/// The traces endpoint for a common endpoint.
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
