//! Query parameters: only those that a route knows, each at most once.

use crate::error::{FieldError, Problem};

use super::form::decode_form;

/// The decoded values of these parameters, in the order of `known` (WHATWG URL, section 5).
///
/// # Errors
/// `validation_failed` when there is an unknown or repeated one; `malformed_request` when one is not UTF-8.
pub fn parameters<const N: usize>(query: &str, known: [&str; N]) -> Result<[Option<String>; N], Problem> {
    let mut values = [const { None }; N];
    let mut errors = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (decode_form(name)?, decode_form(value)?);
        match known.iter().position(|known| *known == name) {
            Some(at) if values[at].is_none() => values[at] = Some(value),
            Some(_) => errors.push(FieldError::of(&name, "may be there once")),
            None => errors.push(FieldError::of(&name, "is not known here")),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(Problem::parameters(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_parameter_comes_once_and_no_other() {
        let of = |query| parameters(query, ["limit", "after"]).map_err(|problem| problem.code().as_str());
        let given = |values: [&str; 2]| Ok(values.map(|value| Some(value.to_owned())));
        assert_eq!(of(""), Ok([None, None]));
        assert_eq!(of("&after=a%20b+c&&limit=1"), given(["1", "a b c"]));
        assert_eq!(of("%6cimit=&after"), given(["", ""]));
        for wrong in ["limit=1&limit=1", "Limit=1", "limit=1&x", "a/b~c=1"] {
            assert_eq!(of(wrong), Err("validation_failed"), "{wrong}");
        }
        assert_eq!(of("after=%FF"), Err("malformed_request"));
    }
}
