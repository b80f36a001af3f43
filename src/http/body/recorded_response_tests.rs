//! Recorded responses to bodies of every kind, which a change of the parser must not change.

use serde_json::Value;

use super::parse;
use super::tests::Example;

fn answer_to(body: &[u8]) -> String {
    match parse::<Example>(body) {
        Ok(Example { name, flag, note, colour }) => format!("200 {name:?} {flag} {note:?} {colour:?}"),
        Err(problem) => {
            let document = serde_json::to_value(&problem).expect("it serialises");
            let errors = document.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
            let told = |error: &Value| {
                [error["pointer"].as_str(), error["detail"].as_str()]
                    .map(|it| it.expect("text").to_owned())
                    .join(" ")
            };
            let status = problem.code().status().to_string();
            [status].into_iter().chain(errors.iter().map(told)).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Bodies, each with the status and the value read or the error.
const ANSWERS: &[(&[u8], &str)] = &[
    (b"", "400"),
    (b" ", "400"),
    (b"\n", "400"),
    (b"{", "400"),
    (b"}", "400"),
    (b"[", "400"),
    (b"[1,", "400"),
    (b"{'name': 1}", "400"),
    (b"{name: 1}", "400"),
    (b"nul", "400"),
    (b"True", "400"),
    (b"NaN", "400"),
    (b"-", "400"),
    (b"01", "400"),
    (b"1.", "400"),
    (b".5", "400"),
    (b"+1", "400"),
    (br#""a"#, "400"),
    (b"\xff", "400"),
    (b"{\"name\": \"\xff\"}", "400"),
    (b"\xed\xa0\x80", "400"),
    (b"\xfe\xff", "400"),
    (b"\xef\xbb", "400"),
    (b"\xef\xbb\xbf", "400"),
    (b"\xef\xbb\xbf{}", "422 /name is missing"),
    (b"\xef\xbb\xbf\xef\xbb\xbf{}", "400"),
    (b" \xef\xbb\xbf{\"name\":\"x\"}", "400"),
    (b"\xef\xbb\xbf{\"name\":\"x\"}", "200 \"x\" false None None"),
    (b"{\"name\":\"a\x00\"}", "400"),
    (b"{\"name\":\"a\nb\"}", "400"),
    (br#"{"name": "\ud800"}"#, "400"),
    (br#"{"name": "\udc00\ud800"}"#, "400"),
    (br#"{"name": "\x"}"#, "400"),
    (br#"{"name": "\u00g0"}"#, "400"),
    (br#"{"name": "x"} {}"#, "400"),
    (br#"{"name": "x"},"#, "400"),
    (br#"{"name": "x",}"#, "400"),
    (br#"{"name" "x"}"#, "400"),
    (br#"{"name": }"#, "400"),
    (br#"{"name": "x" "note": "y"}"#, "400"),
    (br#"{"name": 5, x"#, "400"),
    (br#"{"name": 1e999}"#, "400"),
    (br#"{"flag": [1, 2}"#, "400"),
    (br#"/* */ {"name": "x"}"#, "400"),
    (b"{\"name\": \"x\"}\x00", "400"),
    (br#"{"name": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["#, "400"),
    (b"[]", "422  must be a JSON object"),
    (br#"["x", true, null]"#, "422  must be a JSON object"),
    (b"null", "422  must be a JSON object"),
    (b"true", "422  must be a JSON object"),
    (b"0", "422  must be a JSON object"),
    (b"-0", "422  must be a JSON object"),
    (b"1.5", "422  must be a JSON object"),
    (b"1e3", "422  must be a JSON object"),
    (b"18446744073709551616", "422  must be a JSON object"),
    (br#""x""#, "422  must be a JSON object"),
    (br#""a\u0000""#, "422  must be a JSON object"),
    (br#"[{"name": "x"}]"#, "422  must be a JSON object"),
    (br#"{"name": "x"}"#, "200 \"x\" false None None"),
    (br#" {"name" : "x" , "flag":true,"note":"y"} "#, "200 \"x\" true Some(\"y\") None"),
    (b"\r\n\t{\"name\":\"x\"}\r\n", "200 \"x\" false None None"),
    (br#"{"note": "", "name": ""}"#, "200 \"\" false Some(\"\") None"),
    (br#"{"n\u0061me": "\u00e9\ud83d\ude00\/\b"}"#, "200 \"é😀/\\u{8}\" false None None"),
    (b"{\"name\": \"\xc3\xa9\xf0\x9f\x98\x80\xe2\x80\xa8\x7f\"}", "200 \"é😀\\u{2028}\\u{7f}\" false None None"),
    (br#"{"name": "x", "colour": "red"}"#, "200 \"x\" false None Some(Red)"),
    (br#"{"name": "x", "colour": "dark_green"}"#, "200 \"x\" false None Some(DarkGreen)"),
    (br#"{"name": "x", "flag": null, "note": null, "colour": null}"#, "200 \"x\" false None None"),
    (br#"{"name": null}"#, "422 /name is missing"),
    (br#"{"name": "x", "other": null}"#, "422 /other is not known here; expected: name, flag, note, colour"),
    (br#"{"name": "x", "note": null, "note": "y"}"#, "422 /note is there more than once"),
    (b"{}", "422 /name is missing"),
    (br#"{"note": "y"}"#, "422 /name is missing"),
    (br#"{"name": "x", "other": 1}"#, "422 /other is not known here; expected: name, flag, note, colour"),
    (br#"{"other": 1}"#, "422 /other is not known here; expected: name, flag, note, colour"),
    (br#"{"other": 1, "more": 2, "name": 5}"#, "422 /other is not known here; expected: name, flag, note, colour"),
    (br#"{"name": 5, "other": 1}"#, "422 /name must be a string"),
    (br#"{"name": "x", "a/b~c": 1}"#, "422 /a~1b~0c is not known here; expected: name, flag, note, colour"),
    (br#"{"name": "x", "~1": 1}"#, "422 /~01 is not known here; expected: name, flag, note, colour"),
    (br#"{"name": "x", "": 1}"#, "422 / is not known here; expected: name, flag, note, colour"),
    (br#"{"name": "x", "Name": "y"}"#, "422 /Name is not known here; expected: name, flag, note, colour"),
    (br#"{"name": "x", "name ": "y"}"#, "422 /name  is not known here; expected: name, flag, note, colour"),
    (b"{\"name\": \"x\", \"\xc3\xa9\xf0\x9f\x98\x80\": 1}", "422 /é😀 is not known here; expected: name, flag, note, colour"),
    (br#"{"name": "x", "\u0000": 1}"#, "422 /\0 has a NUL character, which no text may have"),
    (br#"{"name": "x", "name\u0000": 1}"#, "422 /name\0 has a NUL character, which no text may have"),
    (br#"{"name": "x", "name": "x"}"#, "422 /name is there more than once"),
    (br#"{"name": "x", "n\u0061me": "y"}"#, "422 /name is there more than once"),
    (br#"{"name": 5, "name": "y"}"#, "422 /name is there more than once"),
    (br#"{"x": 1, "x": 2}"#, "422 /x is there more than once"),
    (br#"{"name": "a\u0000", "name": "y"}"#, "422 /name has a NUL character, which no text may have"),
    (br#"{"": 1, "": 2}"#, "422 / is there more than once"),
    (br#"{"name": 5}"#, "422 /name must be a string"),
    (br#"{"name": -5}"#, "422 /name must be a string"),
    (br#"{"name": 5.5}"#, "422 /name must be a string"),
    (br#"{"name": 123456789012345678901234567890}"#, "422 /name must be a string"),
    (br#"{"name": true}"#, "422 /name must be a string"),
    (br#"{"name": []}"#, "422 /name must be a string"),
    (br#"{"name": ["x"]}"#, "422 /name must be a string"),
    (br#"{"name": {}}"#, "422 /name must be a string"),
    (br#"{"name": {"name": "x"}}"#, "422 /name must be a string"),
    (br#"{"name": {"a": 1, "a": 2}}"#, "422 /name must be a string"),
    (br#"{"name": {"a": "\u0000"}}"#, "422 /name must be a string"),
    (br#"{"name": ["\u0000"]}"#, "422 /name must be a string"),
    (br#"{"name": "x", "flag": "true"}"#, "422 /flag must be a boolean"),
    (br#"{"name": "x", "flag": 1}"#, "422 /flag must be a boolean"),
    (br#"{"name": "x", "flag": []}"#, "422 /flag must be a boolean"),
    (br#"{"name": "x", "flag": {}}"#, "422 /flag must be a boolean"),
    (br#"{"name": "x", "note": 1}"#, "422 /note must be a string"),
    (br#"{"name": "x", "note": ["y"]}"#, "422 /note must be a string"),
    (br#"{"name": "x", "note": {"y": 1}}"#, "422 /note must be a string"),
    (br#"{"name": "x", "colour": "blue"}"#, "422 /colour must be one of: red, dark_green"),
    (br#"{"name": "x", "colour": "Red"}"#, "422 /colour must be one of: red, dark_green"),
    (br#"{"name": "x", "colour": 1}"#, "422 /colour must be a string"),
    (br#"{"name": "x", "colour": {"red": null}}"#, "422 /colour must be a string"),
    (br#"{"name": "x", "colour": ["red"]}"#, "422 /colour must be a string"),
    (br#"{"name": "x", "colour": ""}"#, "422 /colour must be one of: red, dark_green"),
    (br#"{"name": "a\u0000b"}"#, "422 /name has a NUL character, which no text may have"),
    (br#"{"name": "\\u0000"}"#, "200 \"\\\\u0000\" false None None"),
    (br#"{"name": "x", "note": "\u0000"}"#, "422 /note has a NUL character, which no text may have"),
    (br#"{"name": "x", "other": "\u0000"}"#, "422 /other has a NUL character, which no text may have"),
    (br#"{"flag": "\u0000", "other": 1}"#, "422 /flag has a NUL character, which no text may have"),
    (br#"{"name": "x", "$serde_json::private::RawValue": "1"}"#, "422 /$serde_json::private::RawValue is not known here; expected: name, flag, note, colour"),
];

#[test]
fn a_body_is_answered_as_ever() {
    let wrong = ANSWERS.iter().filter(|(body, answer)| answer_to(body) != *answer);
    let wrong: Vec<String> = wrong
        .map(|(body, answer)| format!("{}\n is {}\n not {answer}", body.escape_ascii(), answer_to(body)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
