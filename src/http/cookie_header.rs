//! Parses the `Cookie` header by its bytes.
//!
//! actix-web's parser percent-decodes names, trims any Unicode white space and stops at the first invalid byte. With
//! it, `%5F%5FHost-sessionid` would pass for `__Host-sessionid`, which the prefix is to prevent, and a foreign cookie
//! could hide all others.

use actix_web::http::header::{COOKIE, HeaderMap};

/// The result of looking for a cookie by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieLookup<'a> {
    /// No cookie with this name, or only with empty values.
    Absent,
    /// One value, possibly repeated.
    One(&'a str),
    /// Several different values, so it is unclear which one is meant.
    Ambiguous,
}

/// Finds the cookie with exactly this name. Pairs that are not well-formed (RFC 6265, section 4.1.1) are skipped
/// individually.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> CookieLookup<'a> {
    let mut found = CookieLookup::Absent;
    for value in all(headers, name) {
        found = match found {
            CookieLookup::Absent => CookieLookup::One(value),
            CookieLookup::One(known) if known == value => found,
            CookieLookup::One(_) | CookieLookup::Ambiguous => CookieLookup::Ambiguous,
        };
    }
    found
}

/// All non-empty values of cookies with exactly this name.
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
    // Without early exit, which lets the compiler vectorise the loop.
    let is_value = value.iter().fold(true, |all, byte| all & is_cookie_octet(*byte));
    std::str::from_utf8(value).ok().filter(|_| is_value)
}

/// Trims spaces and tabs only.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `cookie-octet` of RFC 6265, section 4.1.1.
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
        assert_eq!(find(&headers(&[b"a=1", b"id=x"]), "id"), CookieLookup::One("x"));
        assert_eq!(find(&headers(&[b"id=; b=2"]), "id"), CookieLookup::Absent);
        assert_eq!(find(&headers(&[b"id=x; id=x"]), "id"), CookieLookup::One("x"));
        assert_eq!(find(&headers(&[b"id=x", b"id=y"]), "id"), CookieLookup::Ambiguous);
    }

    #[test]
    fn a_name_is_its_bytes() {
        for faked in [
            "%5F%5FHost-id",
            "__Host%2Did",
            "\u{2000}__Host-id",
            "\u{a0}__Host-id",
            "\u{3000}__Host-id",
            "__Host-id\u{a0}",
            "__Host-id\u{2000}",
            "__host-id",
            "__HOST-ID",
            "__Secure-id",
            "id",
        ] {
            let (faked, good) = (format!("{faked}=evil"), "__Host-id=good");
            assert_eq!(find(&headers(&[faked.as_bytes()]), "__Host-id"), CookieLookup::Absent, "{faked}");
            for both in [format!("{faked}; {good}"), format!("{good}; {faked}")] {
                assert_eq!(
                    find(&headers(&[both.as_bytes()]), "__Host-id"),
                    CookieLookup::One("good"),
                    "{both}"
                );
            }
        }
    }

    #[test]
    fn spaces_and_tabs_around_a_name_or_a_value_do_not_count() {
        for header in
            ["a=1;id=x", "a=1;  id=x  ", "a=1;\tid=x\t; b=2", "id=x;", "a=1;\t id = x \t", "id\t=\tx"]
        {
            assert_eq!(find(&headers(&[header.as_bytes()]), "id"), CookieLookup::One("x"), "{header:?}");
        }
    }

    #[test]
    fn a_pair_that_is_not_well_formed_is_skipped_alone() {
        for foreign in [
            &b""[..],
            b"novalue",
            b"=nameless",
            b"=",
            b"a name=x",
            b"theme=da\"rk",
            b"theme=da,rk",
            b"theme=da\\rk",
            b"theme=dark mode",
            b"theme=%zz",
            b"theme=%",
            b"theme=\xff",
            b"th\xffeme=dark",
            b"\xc3\x28=x",
            "thème=sombre".as_bytes(),
            b"theme=\"dark",
            b"theme=\"dark\"",
            b"id=a\"b",
            b"id=a,b",
            b"id=x\xff",
        ] {
            for both in [[foreign, b"; id=x"].concat(), [b"id=x; ", foreign].concat()] {
                assert_eq!(find(&headers(&[&both]), "id"), CookieLookup::One("x"), "{}", both.escape_ascii());
            }
        }
    }
}

#[cfg(test)]
mod properties {
    use actix_web::http::header::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::property_testing::{any_header_value, check, header_values};

    const NAME: &str = "__Host-id";

    type Pair = Vec<u8>;

    /// Pairs in this order, with a flag for those that begin a new header.
    fn headers(pairs: &[(Pair, bool)]) -> HeaderMap {
        let mut values: Vec<Vec<u8>> = Vec::new();
        for (pair, is_new_header) in pairs {
            match values.last_mut() {
                Some(value) if !is_new_header => value.extend([b";", pair.as_slice()].concat()),
                _ => values.push(pair.clone()),
            }
        }
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_bytes(&value).expect("a header value"));
        }
        headers
    }

    fn value() -> impl Strategy<Value = String> {
        r"[!#-+\--:<-\[\]-~]{1,12}"
    }

    /// A well-formed pair with our name.
    fn ours(value: impl Strategy<Value = String>) -> impl Strategy<Value = Pair> {
        let space = || "[ \t]{0,2}";
        let parts = (space(), space(), value, space());
        parts.prop_map(|(before, between, value, after)| {
            format!("{before}{NAME}{between}={between}{value}{after}").into_bytes()
        })
    }

    /// Anything but a well-formed pair with our name: another name, an invalid value, no value, or not a pair at all.
    fn junk() -> impl Strategy<Value = Pair> {
        let bad_value = (
            "[a-z]{0,3}",
            select(vec![&b"\""[..], b",", b"\\", b"a b", b"a\tb", b"\xff", b"\xc3\xa9"]),
            "[a-z]{0,3}",
        );
        let bad_value = bad_value.prop_map(|(start, bad, end)| {
            [NAME.as_bytes(), b"=", start.as_bytes(), bad, end.as_bytes()].concat()
        });
        let no_value = "[ \t]{0,2}".prop_map(|space| format!("{NAME}={space}").into_bytes());
        let other_name = (header_values(Just(NAME.to_owned())), value())
            .prop_map(|(name, value)| [&name, b"=".as_slice(), value.as_bytes()].concat());
        let junk = prop_oneof![3 => other_name, 2 => bad_value, 1 => no_value, 2 => any_header_value()];
        junk.prop_filter("a pair of our name, or several pairs", |pair| {
            !pair.contains(&b';') && !is_ours(pair)
        })
    }

    fn is_ours(pair: &[u8]) -> bool {
        let text = String::from_utf8_lossy(pair);
        let Some((name, value)) = text.split_once('=') else { return false };
        let is_octet = |letter: char| matches!(letter, '!' | '#'..='+' | '-'..=':' | '<'..='[' | ']'..='~');
        let value = value.trim_matches([' ', '\t']);
        name.trim_matches([' ', '\t']) == NAME && !value.is_empty() && value.chars().all(is_octet)
    }

    fn among_junk(ours: impl Strategy<Value = Vec<Pair>>) -> impl Strategy<Value = HeaderMap> {
        let pairs = (ours, vec(junk(), 0..6)).prop_map(|(ours, junk)| [ours, junk].concat()).prop_shuffle();
        let pairs = pairs.prop_flat_map(|pairs| {
            let breaks = vec(any::<bool>(), pairs.len());
            (Just(pairs), breaks)
                .prop_map(|(pairs, breaks)| pairs.into_iter().zip(breaks).collect::<Vec<_>>())
        });
        pairs.prop_map(|pairs| headers(&pairs))
    }

    #[test]
    fn a_well_formed_pair_is_found_whatever_stands_around_it_and_however_often_it_is_there() {
        let sent =
            value().prop_flat_map(|value| (Just(value.clone()), among_junk(vec(ours(Just(value)), 1..3))));
        check(sent, |(value, headers)| {
            prop_assert_eq!(find(&headers, NAME), CookieLookup::One(&value));
            Ok(())
        });
    }

    #[test]
    fn two_different_values_are_ambiguous_whatever_stands_around_them() {
        let values = (value(), value()).prop_filter("the same value", |(one, other)| one != other);
        let pairs = values.prop_flat_map(|(one, other)| (ours(Just(one)), ours(Just(other))));
        check(among_junk(pairs.prop_map(|(one, other)| vec![one, other])), |headers| {
            prop_assert_eq!(find(&headers, NAME), CookieLookup::Ambiguous);
            Ok(())
        });
    }

    #[test]
    fn nothing_is_made_of_junk() {
        check(among_junk(Just(Vec::new())), |headers| {
            prop_assert_eq!(find(&headers, NAME), CookieLookup::Absent);
            Ok(())
        });
    }
}
