//! OpenTelemetry's own settings, as its specification has them ("Environment Variable Specification").

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;

use super::{UnknownSetting, Why};

const PREFIX: &str = "OTEL_";

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
    let unfollowed = unfollowed.map(|(name, _)| (name.as_str(), Why::OpenTelemetry));
    let switch = values.get(SWITCH).filter(|value| !is_boolean(value.trim()));
    let all = unfollowed.chain(switch.map(|_| (SWITCH, Why::NotBoolean)));
    all.map(|(name, why)| UnknownSetting { name: name.to_owned(), why }).collect()
}

/// "Boolean value" in the specification: what is neither counts as false, and is to be told.
fn is_boolean(value: &str) -> bool {
    ["", "true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// `name=value` pairs with commas in between, values percent-encoded. Nothing where it is something else.
pub(super) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pairs = items.map(|item| {
        let (name, value) = item.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_specification_has_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![pair("api-key", "a=b,c"), pair("x", "")];
        assert_eq!(pairs(" api-key = a=b%2Cc ,, x="), Some(expected));
        for wrong in ["hunter2", "=a", "a=1,b", "a=%ff"] {
            assert_eq!(pairs(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_followed_is_named() {
        let values = [
            ("OTEL_TRACES_SAMPLER", "always_off"),
            ("OTEL_PROPAGATORS", "tracecontext"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("OTEL_SERVICE_NAME", "a"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_LOG_LEVEL", ""),
            ("PATH", "1"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let named = unfollowed(&values, &BTreeSet::from(["OTEL_SERVICE_NAME".to_owned()]));
        let named: Vec<_> = named.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(named, ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_TRACES_SAMPLER"]);
    }

    #[test]
    fn a_switch_that_is_neither_true_nor_false_is_named() {
        let named = |value: &str| {
            let values = [("OTEL_SDK_DISABLED".to_owned(), value.to_owned())].into();
            unfollowed(&values, &BTreeSet::from(["OTEL_SDK_DISABLED".to_owned()])).len()
        };
        for (value, expected) in [("1", 1), ("yes", 1), ("false", 0), ("FALSE", 0), ("", 0)] {
            assert_eq!(named(value), expected, "{value}");
        }
    }
}
