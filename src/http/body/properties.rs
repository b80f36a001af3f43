//! Property tests: every body is read exactly, or rejected with a pointer to the fault.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::tests::Example;
use super::*;
use crate::property_testing::{check, near_misses};

impl Example {
    /// Whether an object with these members must be read as this value.
    fn is(&self, members: &Value) -> bool {
        let sent = |name| members.get(name).filter(|value| !value.is_null()).cloned();
        sent("name") == Some(json!(self.name))
            && sent("flag").unwrap_or(json!(false)) == json!(self.flag)
            && sent("note") == self.note.as_ref().map(|note| json!(note))
    }
}

/// The status, and the pointer.
fn refusal(body: &[u8]) -> Option<(u16, Option<String>)> {
    let problem = parse::<Example>(body).err()?;
    let document = serde_json::to_value(&problem).expect("it serialises");
    let pointer = document["errors"][0]["pointer"].as_str().map(str::to_owned);
    Some((problem.code().status(), pointer))
}

/// JSON texts with `_` as a placeholder.
const PLACES: [&str; 5] = ["_", "[_]", r#"{"name": _}"#, r#"{"name": "x", "note": [_]}"#, r#"["_"]"#];

/// Fragments that are valid JSON, invalid, or beyond what a parser can hold.
const FRAGMENTS: [&str; 12] =
    ["1e999", r#""\ud800""#, r"\ud800", r"\u0000", "01", "-", "NaN", "1,", "'x'", "{}{}", "/**/1", "tru"];

fn text() -> impl Strategy<Value = String> {
    let awkward =
        vec(select(vec!["\\", "\0", "u0000", "\"", "/", "~", "~1", "é", "\u{1f600}", "\n", "a"]), 0..5);
    prop_oneof![awkward.prop_map(|parts| parts.concat()), any::<String>()]
}

fn json_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Members of nearly valid objects: known names with values of any type, sometimes an unknown name, and sometimes a
/// repeated one.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let named = |name: &str| Just(name.to_owned());
    let texts = || prop_oneof![4 => text().prop_map(Value::from), 1 => Just(Value::Null), 1 => json_value()];
    let flags = prop_oneof![4 => any::<bool>().prop_map(Value::from), 1 => json_value()];
    let foreign =
        prop_oneof![text(), select(vec!["Name", "name ", "flag\0", "notes", ""]).prop_map(str::to_owned)];
    let member = prop_oneof![
        (named("flag"), flags),
        (named("note"), texts()),
        (named("name"), texts()),
        (foreign, json_value())
    ];
    let members = (proptest::option::weighted(0.9, (named("name"), texts())), vec(member, 0..3));
    members.prop_map(|(name, others)| name.into_iter().chain(others).collect::<Vec<_>>()).prop_shuffle()
}

fn object(members: &[(String, Value)]) -> String {
    let members = members.iter().map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

/// Pointers to what is wrong with the members (RFC 6901).
fn wrong_members(members: &[(String, Value)]) -> Vec<String> {
    let is_wrong = |(at, (name, value)): (usize, &(String, Value))| {
        let has_nul = name.contains('\0') || value.as_str().is_some_and(|text| text.contains('\0'));
        let is_of_type = match name.as_str() {
            "name" => value.is_string(),
            "note" => value.is_string() || value.is_null(),
            "flag" => value.is_boolean() || value.is_null(),
            _ => false,
        };
        let is_repeated = members[..at].iter().any(|(earlier, _)| earlier == name);
        (has_nul || !is_of_type || is_repeated)
            .then(|| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
    };
    let missing = members.iter().all(|(name, _)| name != "name").then(|| "/name".to_owned());
    members.iter().enumerate().filter_map(is_wrong).chain(missing).collect()
}

#[test]
fn an_object_is_read_as_it_was_sent_or_a_member_that_is_wrong_is_pointed_at() {
    check(members(), |members| {
        let body = object(&members);
        let wrong = wrong_members(&members);
        match refusal(body.as_bytes()) {
            None => {
                prop_assert_eq!(wrong, Vec::<String>::new());
                let example: Example = parse(body.as_bytes()).expect("it was taken");
                prop_assert!(example.is(&Value::Object(members.into_iter().collect())), "{:?}", example);
            }
            Some((status, pointer)) => {
                prop_assert_eq!(status, 422);
                let pointer = pointer.expect("a pointer");
                prop_assert!(wrong.contains(&pointer), "{pointer:?} is not of {wrong:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn malformed_is_what_is_not_json_and_nothing_else() {
    let texts = prop_oneof![
        near_misses(members().prop_map(|members| object(&members))).prop_map(|(_, other)| other.into_bytes()),
        near_misses(json_value().prop_map(|value| value.to_string()))
            .prop_map(|(_, other)| other.into_bytes()),
        json_value().prop_map(|value| value.to_string().into_bytes()),
        (members(), any::<u8>()).prop_map(|(members, byte)| [object(&members).as_bytes(), &[byte]].concat()),
        (select(PLACES.to_vec()), select(FRAGMENTS.to_vec()))
            .prop_map(|(place, fragment)| place.replace('_', fragment).into_bytes()),
        vec(any::<u8>(), 0..40),
    ];
    check(texts, |body| {
        let is_json = serde_json::from_slice::<Value>(&body).is_ok();
        match refusal(&body) {
            None => {
                let example: Example = parse(&body).expect("it was taken");
                let sent = serde_json::from_slice::<Value>(&body).expect("JSON");
                prop_assert!(example.is(&sent), "{:?}", example);
            }
            Some((status, _)) => prop_assert_eq!(status, if is_json { 422 } else { 400 }),
        }
        Ok(())
    });
}

#[test]
fn a_nul_is_seen_wherever_it_stands_and_only_where_one_stands() {
    fn stands_in(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(stands_in),
            Value::Object(members) => {
                members.iter().any(|(name, value)| name.contains('\0') || stands_in(value))
            }
            _ => false,
        }
    }
    check(json_value(), |value| {
        prop_assert_eq!(has_nul(&value.to_string()), stands_in(&value));
        Ok(())
    });
}
