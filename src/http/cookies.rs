//! The `Cookie` header, read by its bytes.
//!
//! actix-web's own reader percent-decodes names, trims any white space of Unicode and gives up on the first byte
//! that it does not like: then `%5F%5FHost-sessionid` passes for `__Host-sessionid`, which the prefix is there to
//! prevent, and a foreign cookie can hide all others.

use actix_web::http::header::{COOKIE, HeaderMap};

/// What the request carries under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing, or nothing but empty values.
    Absent,
    /// One value, maybe several times.
    One(&'a str),
    /// Different values: which of them is meant can't be known.
    Ambiguous,
}

/// Looks for the cookie of exactly this name. Pairs that are not well formed (RFC 6265, section 4.1.1) are
/// skipped, each alone.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let mut found = Found::Absent;
    for value in all(headers, name) {
        found = match found {
            Found::Absent => Found::One(value),
            Found::One(known) if known == value => found,
            Found::One(_) | Found::Ambiguous => Found::Ambiguous,
        };
    }
    found
}

/// Every value, but no empty one, under exactly this name.
pub fn all<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let named = pairs(headers).filter(move |(found, _)| *found == name.as_bytes());
    named.filter_map(|(_, value)| text(value)).filter(|value| !value.is_empty())
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).flat_map(|header| header.as_bytes().split(|byte| *byte == b';')).filter_map(pair)
}

fn pair(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    Some((trim(&bytes[..at]), trim(&bytes[at + 1..])))
}

fn text(value: &[u8]) -> Option<&str> {
    // All of them, and not until the first that is none: so it takes many bytes at a time.
    let is_value = value.iter().fold(true, |all, byte| all & is_cookie_octet(*byte));
    std::str::from_utf8(value).ok().filter(|_| is_value)
}

/// Space and tab only.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// RFC 6265, section 4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_bytes(value).expect("a header value"));
        }
        headers
    }

    #[test]
    fn several_headers_count_as_one_and_an_empty_value_as_none() {
        assert_eq!(find(&headers(&[b"a=1", b"id=x"]), "id"), Found::One("x"));
        assert_eq!(find(&headers(&[b"id=; b=2"]), "id"), Found::Absent);
        assert_eq!(find(&headers(&[b"id=x; id=x"]), "id"), Found::One("x"));
        assert_eq!(find(&headers(&[b"id=x", b"id=y"]), "id"), Found::Ambiguous);
    }

    #[test]
    fn a_name_is_its_bytes() {
        let faked =
            ["%5F%5FHost-id=evil", "\u{2000}__Host-id=evil", "__host-id=evil", "__Host-id\u{a0}=evil"];
        for header in faked {
            assert_eq!(find(&headers(&[header.as_bytes()]), "__Host-id"), Found::Absent, "{header}");
        }
        assert_eq!(find(&headers(&[b"a=1;\t __Host-id = good \t"]), "__Host-id"), Found::One("good"));
    }

    #[test]
    fn a_pair_that_is_not_well_formed_is_skipped_alone() {
        let foreign: &[u8] = b"junk; =; other=\xff; id=x; id=a\"b; id=a,b; q=\"q\"";
        assert_eq!(find(&headers(&[foreign]), "id"), Found::One("x"));
    }
}
