//! Tests of the supported OpenTelemetry settings, and of reports about others.

use super::*;
use crate::config::Config;

fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
    let read = Config::from_vars(|name| {
        settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
    });
    read.map_err(|wrong| wrong.lines().join("\n"))
}

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
    let named = ineffective(&values, &BTreeSet::from(["OTEL_SERVICE_NAME".to_owned()]));
    let named: Vec<_> = named.iter().map(|setting| setting.name.as_str()).collect();
    assert_eq!(named, ["OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_TRACES_SAMPLER"]);
}

#[test]
fn a_switch_that_is_neither_true_nor_false_is_named() {
    let named = |value: &str| {
        let values = [("OTEL_SDK_DISABLED".to_owned(), value.to_owned())].into();
        ineffective(&values, &BTreeSet::from(["OTEL_SDK_DISABLED".to_owned()])).len()
    };
    for (value, expected) in [("1", 1), ("yes", 1), ("false", 0), ("FALSE", 0), ("", 0)] {
        assert_eq!(named(value), expected, "{value}");
    }
}

#[test]
fn opentelemetry_s_own_settings_say_whether_and_where_spans_go() {
    let of = |settings: &[(&str, &str)]| {
        read(settings).map(|config| config.traces.map(|traces| traces.endpoint.to_string()))
    };
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/otlp/");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own:4318/in");
    let to = |url: &str| Ok(Some(url.to_owned()));
    assert_eq!(of(&[]), Ok(None));
    assert_eq!(of(&[all]), to("http://all:4318/otlp/v1/traces"));
    assert_eq!(of(&[own]), to("http://own:4318/in"));
    assert_eq!(of(&[all, own]), to("http://own:4318/in"));
    assert_eq!(of(&[("OTEL_TRACES_EXPORTER", "otlp")]), to("http://localhost:4318/v1/traces"));
    for on in ["false", "False", "1", "yes", "no", "0", ""] {
        assert_eq!(of(&[all, ("OTEL_SDK_DISABLED", on)]), to("http://all:4318/otlp/v1/traces"), "{on}");
    }
    for off in
        [("OTEL_SDK_DISABLED", "true"), ("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")]
    {
        assert_eq!(of(&[all, own, off]), Ok(None), "{off:?}");
    }
    for wrong in [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_EXPORTER", "otlp,console"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
    ] {
        let error = of(&[all, wrong]).expect_err(wrong.1);
        assert!(error.contains(wrong.0) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_is_off_stops_nothing() {
    let of = |settings: &[(&str, &str)]| read(settings).map(|config| config.traces.is_some());
    for unusable in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "unix:/run/x"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS_FILE", "/nowhere"),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
    ] {
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(of(&[off, unusable]), Ok(false), "{off:?} {unusable:?}");
        }
        // Other errors are still reported.
        let error = of(&[("OTEL_SDK_DISABLED", "true"), unusable, ("SESSION_TTL", "soon")]);
        let error = error.expect_err("a time");
        assert!(error.contains("SESSION_TTL") && !error.contains("OTEL"), "{error}");
    }
    assert_eq!(of(&[("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "zipkin")]), Ok(false));
    assert!(of(&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")]).is_err());
}

#[test]
fn the_service_is_called_what_is_said_last_of_its_name() {
    let of = |settings: &[(&str, &str)]| {
        let all = [&[("OTEL_TRACES_EXPORTER", "otlp")], settings].concat();
        let resource = read(&all).expect("they are right").traces.expect("they are on").resource;
        resource.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    };
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,team=b%2Cc");
    assert_eq!(of(&[]), "service.name=dualauth");
    assert_eq!(of(&[attributes]), "service.name=a,team=b,c");
    assert_eq!(of(&[attributes, ("OTEL_SERVICE_NAME", "d")]), "team=b,c,service.name=d");
}
