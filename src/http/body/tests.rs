//! Tests of bodies with the wrong shape, and of their errors.

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    pub(super) name: String,
    #[serde(default)]
    pub(super) flag: bool,
    pub(super) note: Option<String>,
    pub(super) colour: Option<Colour>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Colour {
    Red,
    DarkGreen,
}

fn outcome(body: &[u8]) -> (u16, String) {
    match parse::<Example>(body) {
        Ok(_) => (200, String::new()),
        Err(problem) => {
            let document = serde_json::to_value(&problem).expect("it serialises");
            let pointer = document["errors"][0]["pointer"].as_str().unwrap_or("-").to_owned();
            (problem.code().status(), pointer)
        }
    }
}

#[test]
fn an_object_of_the_known_members_is_taken() {
    let example: Example = parse(br#" {"name": "x", "note": "y"} "#).expect("it is right");
    assert_eq!((example.name.as_str(), example.flag, example.note.as_deref()), ("x", false, Some("y")));
}

#[test]
fn a_member_that_is_null_counts_as_left_out() {
    let example: Example = parse(br#"{"name": "x", "flag": null, "note": null}"#).expect("it is right");
    assert_eq!((example.flag, example.note), (false, None));
}

#[test]
fn what_is_not_json_is_malformed_even_where_its_shape_is_wrong_as_well() {
    for body in [&b""[..], b"{", b"{'name': 1}", b"\xff", b"{\"name\": \"\xff\"}", b"[1,", b"{\"name\": 5, x"]
    {
        assert_eq!(outcome(body).0, 400, "{body:?}");
    }
    for body in [&br#"{"name": "\ud800"}"#[..], br#"{"name": "x"} {}"#, b"nul", b"\"a", b"{\"name\":\"a\0\"}"]
    {
        assert_eq!(outcome(body).0, 400, "{body:?}");
    }
}

#[test]
fn what_was_sent_is_not_repeated() {
    for body in [
        r#"{"name": 8675309}"#,
        r#"{"name": -8675309}"#,
        r#"{"name": 8675309.5}"#,
        r#"{"name": ["8675309"]}"#,
        r#"{"name": {"8675309": "8675309"}}"#,
        r#"{"name": "x", "flag": "8675309"}"#,
        r#"{"name": "x", "flag": 8675309}"#,
        r#"{"name": "8675309", "flag": []}"#,
        r#"{"name": "8675309""#,
        r#"{"name": "8675309", 8675309}"#,
    ] {
        let problem = parse::<Example>(body.as_bytes()).expect_err("it is wrong");
        let told = serde_json::to_string(&problem).expect("it serialises");
        assert!(!told.contains("8675309"), "{told}");
    }
}

#[test]
fn another_shape_is_named_with_its_pointer() {
    for (body, pointer) in [
        (&b"[]"[..], ""),
        (br#"["x", true, null]"#, ""),
        (b"null", ""),
        (b"1.5", ""),
        (b"{}", "/name"),
        (br#"{"name": "x", "name": "y"}"#, "/name"),
        (br#"{"name": "x", "other": 1}"#, "/other"),
        (br#"{"name": "x", "a/b~c": 1}"#, "/a~1b~0c"),
        (br#"{"name": "x", "": 1}"#, "/"),
        (br#"{"name": 5}"#, "/name"),
        (br#"{"name": null}"#, "/name"),
        (br#"{"name": "x", "flag": "yes"}"#, "/flag"),
        (br#"{"name": "x", "other": null}"#, "/other"),
        (br#"{"name": "x", "note": null, "note": "y"}"#, "/note"),
        (br#"{"name": "a\u0000b"}"#, "/name"),
    ] {
        let text = String::from_utf8_lossy(body);
        assert_eq!(outcome(body), (422, pointer.to_owned()), "{text}");
    }
}

/// A body like that of a passkey: nested objects and lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nested {
    passkey: Passkey,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Passkey {
    response: Assertion,
    #[serde(default)]
    transports: Vec<String>,
    #[serde(default)]
    extensions: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assertion {
    signature: Base64,
    #[serde(default)]
    synced: bool,
    flags: Option<Vec<Option<u8>>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Base64(String);

#[test]
fn a_nested_body_is_taken() {
    let body = br#"{"passkey": {"response": {"signature": "AA", "synced": null, "flags": [1, null]}, "transports": ["usb", "nfc"],
        "extensions": {"a/b": {"c": [1.5, -1, null, true, "x"]}}}}"#;
    let Nested { passkey } = parse(body).expect("it is right");
    assert_eq!((passkey.response.signature, passkey.response.synced), (Base64("AA".to_owned()), false));
    assert_eq!(passkey.response.flags, Some(vec![Some(1), None]));
    assert_eq!(passkey.transports, ["usb", "nfc"]);
    let extensions = serde_json::json!({"a/b": {"c": [1.5, -1, null, true, "x"]}});
    assert_eq!(serde_json::Value::Object(passkey.extensions), extensions);
}

#[test]
fn what_is_wrong_deep_within_a_body_is_pointed_at() {
    for (body, pointer, detail) in [
        (r#"{"passkey": {}}"#, "/passkey/response", "is missing"),
        (r#"{"passkey": {"response": {}}}"#, "/passkey/response/signature", "is missing"),
        (r#"{"passkey": {"response": {"signature": null}}}"#, "/passkey/response/signature", "is missing"),
        (
            r#"{"passkey": {"response": {"signature": 8675309}}}"#,
            "/passkey/response/signature",
            "must be a string",
        ),
        (r#"{"passkey": {"response": ["8675309"]}}"#, "/passkey/response", "must be a JSON object"),
        (r#"{"passkey": "8675309"}"#, "/passkey", "must be a JSON object"),
        (
            r#"{"passkey": {"response": {"signature": "AA", "8675309/~": 1}}}"#,
            "/passkey/response/8675309~1~0",
            "is not known here; expected: signature, synced, flags",
        ),
        (
            r#"{"passkey": {"response": {"signature": "AA", "other": null}}}"#,
            "/passkey/response/other",
            "is not known here; expected: signature, synced, flags",
        ),
        (
            r#"{"passkey": {"response": {"signature": "AA", "signature": "AA"}}}"#,
            "/passkey/response/signature",
            "is there more than once",
        ),
        (r#"{"passkey": {"response": {"signature": "A\u0000"}}}"#, "/passkey/response/signature", NUL),
        (
            r#"{"passkey": {"response": {"signature": "AA", "flags": [1, 300]}}}"#,
            "/passkey/response/flags/1",
            "must be u8",
        ),
        (
            r#"{"passkey": {"response": {"signature": "AA"}, "transports": ["usb", 8675309]}}"#,
            "/passkey/transports/1",
            "must be a string",
        ),
        (
            r#"{"passkey": {"response": {"signature": "AA"}, "transports": ["usb", "\u0000"]}}"#,
            "/passkey/transports/1",
            NUL,
        ),
        (
            r#"{"passkey": {"response": {"signature": "AA"}, "transports": {"0": "usb"}}}"#,
            "/passkey/transports",
            "must be a sequence",
        ),
        (
            r#"{"passkey": {"response": {"signature": "AA"}, "extensions": {"a/b": {"c": 1, "c": 2}}}}"#,
            "/passkey/extensions/a~1b/c",
            "is there more than once",
        ),
        (
            r#"{"passkey": {"response": {"signature": "AA"}, "extensions": {"a": [{"b\u0000": 1}]}}}"#,
            "/passkey/extensions/a/0/b\0",
            NUL,
        ),
    ] {
        let problem = parse::<Nested>(body.as_bytes()).expect_err("it is wrong");
        let document = serde_json::to_value(&problem).expect("it serialises");
        let expected = serde_json::json!([{"pointer": pointer, "detail": detail}]);
        assert_eq!((problem.code().status(), &document["errors"]), (422, &expected), "{body}");
    }
}

#[test]
fn any_json_is_json() {
    for body in ["1", "null", "[]", r#"{"a": 1, "a": 2}"#, r#"{"$serde_json::private::RawValue": "x"}"#] {
        assert!(serde_json::from_str::<ParsedJson>(body).is_ok(), "{body}");
    }
}
