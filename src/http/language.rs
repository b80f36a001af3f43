//! The language of a request: the first of its `Accept-Language` that mails are written in.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::ACCEPT_LANGUAGE;
use actix_web::{FromRequest, HttpRequest};

use crate::error::Problem;
use crate::mail::Language;

/// The language that a client prefers (RFC 9110, section 12.5.4); English if it asks for none of ours.
#[derive(Clone, Copy, Debug)]
pub struct PreferredLanguage(pub Language);

impl FromRequest for PreferredLanguage {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let headers = request.headers().get_all(ACCEPT_LANGUAGE);
        ready(Ok(Self(preferred(headers.filter_map(|header| header.to_str().ok())))))
    }
}

fn preferred<'a>(headers: impl Iterator<Item = &'a str>) -> Language {
    let ranges = headers.flat_map(|header| header.split(',')).filter_map(|range| {
        let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
        let weight: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
        Some((Language::of_tag(tag.trim())?, weight)).filter(|(_, weight)| *weight > 0.0)
    });
    // The first of those with the highest weight.
    let best = ranges.reduce(|best, other| if other.1 > best.1 { other } else { best });
    best.map_or_else(Language::default, |(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_weighs_most_is_taken_among_those_that_there_are() {
        for (headers, language) in [
            (&["de-AT,de;q=0.9,en;q=0.8"][..], Language::De),
            (&["fr, en;q=0.5, de;q=0.9"], Language::De),
            (&["en, de"], Language::En),
            (&["fr", "de;q=0.3"], Language::De),
            (&["de;q=0, en;q=0.1"], Language::En),
            (&["de;q=high, *"], Language::En),
            (&[], Language::En),
        ] {
            assert_eq!(preferred(headers.iter().copied()), language, "{headers:?}");
        }
    }
}
