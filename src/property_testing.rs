//! Shared helpers of the property tests: a runner, and generators of almost valid input.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};

/// Checks a property on random inputs, 256 or as many as `PROPTEST_CASES` says, and fails with the smallest one that
/// breaks it.
#[track_caller]
pub(crate) fn check<S: Strategy>(inputs: S, promise: impl Fn(S::Value) -> TestCaseResult) {
    // No file of past failures: an input that broke something becomes a test with a name.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if let Err(broken) = TestRunner::new(config).run(&inputs, promise) {
        panic!("{broken}");
    }
}

/// Valid texts, each with a variant that differs by one mistake.
pub(crate) fn near_misses(valid: impl Strategy<Value = String>) -> impl Strategy<Value = (String, String)> {
    let slipped = |(text, at, slip): (String, Index, Mutation)| {
        let other = slip.make(&text, at);
        (text, other)
    };
    let all = (valid, any::<Index>(), slip()).prop_map(slipped);
    all.prop_filter("a slip that changes nothing", |(text, other)| text != other)
}

/// Header values: variants of these with one mistake, and any other bytes that HTTP allows.
pub(crate) fn header_values(valid: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let near = near_misses(valid).prop_map(|(_, other)| other.into_bytes());
    let near = near.prop_filter("no header value", |bytes| bytes.iter().all(|byte| is_header_byte(*byte)));
    prop_oneof![4 => near, 1 => any_header_value()]
}

/// Any bytes that HTTP allows in a field value (RFC 9110, section 5.5).
pub(crate) fn any_header_value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => b' '..=b'~', 1 => Just(b'\t'), 1 => 0x80..=0xff_u8];
    proptest::collection::vec(byte, 0..48)
}

fn is_header_byte(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[derive(Clone, Copy, Debug)]
enum Mutation {
    Change(char),
    Insert(char),
    Prepend(char),
    Append(char),
    LeaveOut,
    OtherCase,
    PercentEncode,
    Cut,
}

impl Mutation {
    fn make(self, text: &str, at: Index) -> String {
        let (start, end) = text.split_at(boundary(text, at));
        let (here, rest) = end.split_at(end.chars().next().map_or(0, char::len_utf8));
        match self {
            Self::Change(other) => format!("{start}{other}{rest}"),
            Self::Insert(other) => format!("{start}{other}{end}"),
            Self::Prepend(other) => format!("{other}{text}"),
            Self::Append(other) => format!("{text}{other}"),
            Self::LeaveOut => format!("{start}{rest}"),
            Self::OtherCase => format!("{start}{}{rest}", other_case(here)),
            Self::PercentEncode => format!("{start}{}{rest}", percent_encoded(here)),
            Self::Cut => start.to_owned(),
        }
    }
}

/// The start of a character of the text, or the text's end.
fn boundary(text: &str, at: Index) -> usize {
    let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    *at.get(&boundaries)
}

fn other_case(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if text == lower { text.to_ascii_uppercase() } else { lower }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn slip() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        3 => character().prop_map(Mutation::Change),
        2 => character().prop_map(Mutation::Insert),
        1 => character().prop_map(Mutation::Prepend),
        1 => character().prop_map(Mutation::Append),
        1 => Just(Mutation::LeaveOut),
        1 => Just(Mutation::OtherCase),
        1 => Just(Mutation::PercentEncode),
        1 => Just(Mutation::Cut),
    ]
}

/// Characters to insert: ones that formats are made of, ones that look like them, and any others.
fn character() -> impl Strategy<Value = char> {
    let of = |letters: &str| select(letters.chars().collect::<Vec<_>>());
    prop_oneof![
        4 => proptest::char::range('!', '~'),
        1 => of(" \t"),
        3 => of("\0\"%&'+,-./:;=?[\\]_{}~"),
        1 => of("\u{a0}\u{2000}\u{200b}\u{663}\u{ff11}\u{ff21}\u{430}\u{17f}\u{212a}é"),
        1 => any::<char>(),
    ]
}
