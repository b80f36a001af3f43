//! HTTP/1.0, where a request without a length has no body (RFC 9112, section 6.3). actix refuses a `POST` like that,
//! which nginx sends to what is behind it unless it is told otherwise: it is told the length that it asks for.

/// The longest head that is looked at: what is longer actix refuses by itself.
const MAX_HEAD: usize = 128 * 1024;

const LENGTH: &[u8] = b"Content-Length: 0\r\n";

/// What the beginning of a request says about its length.
#[derive(Debug, PartialEq, Eq)]
pub enum Length {
    /// Nothing yet: more has to come.
    Unknown,
    /// Nothing that actix would not know.
    Known,
    /// There is none, and actix asks for one. It has its place here.
    Missing(usize),
}

impl Length {
    /// Of a request that begins like this.
    pub fn of(request: &[u8]) -> Self {
        const METHOD: &[u8] = b"POST ";
        let shortest = request.len().min(METHOD.len());
        if request.len() > MAX_HEAD || request[..shortest] != METHOD[..shortest] {
            return Self::Known;
        }
        let mut lines = request.split_inclusive(|byte| *byte == b'\n');
        let Some(first) = lines.next().filter(|line| line.ends_with(b"\n")) else { return Self::Unknown };
        if !first.trim_ascii_end().ends_with(b" HTTP/1.0") {
            return Self::Known;
        }
        for line in lines {
            match line.strip_suffix(b"\n").map(<[u8]>::trim_ascii_end) {
                None => break,
                Some(b"") => return Self::Missing(first.len()),
                Some(header) if is_about_the_body(header) => return Self::Known,
                Some(_) => {}
            }
        }
        Self::Unknown
    }
}

fn is_about_the_body(header: &[u8]) -> bool {
    [&b"content-length"[..], b"transfer-encoding"]
        .iter()
        .any(|name| header.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))
}

/// Writes into a request, at its place, that it has no body.
pub fn add_length(request: &mut Vec<u8>, place: usize) {
    request.splice(place..place, LENGTH.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(request: &str) -> Option<String> {
        let Length::Missing(place) = Length::of(request.as_bytes()) else { return None };
        let mut bytes = request.as_bytes().to_vec();
        add_length(&mut bytes, place);
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn a_post_without_a_length_is_told_that_it_has_no_body() {
        for (request, expected) in [
            ("POST / HTTP/1.0\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n"),
            ("POST / HTTP/1.0\r\nHost: x\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 0\r\nHost: x\r\n\r\n"),
            ("POST / HTTP/1.0\n\n", "POST / HTTP/1.0\nContent-Length: 0\r\n\n"),
        ] {
            assert_eq!(told(request).as_deref(), Some(expected));
            for end in 0..request.len() {
                assert_eq!(Length::of(&request.as_bytes()[..end]), Length::Unknown, "{:?}", &request[..end]);
            }
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for request in [
            "GET / HTTP/1.0\r\n\r\n",
            "PUT / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\n\r\n",
            "POST /\r\n\r\n",
            "POSTS / HTTP/1.0\r\n\r\n",
            "\r\nPOST / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n{}",
            "POST / HTTP/1.0\r\nHost: x\r\nCONTENT-length : 3\r\n\r\n{}",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(Length::of(request.as_bytes()), Length::Known, "{request:?}");
        }
        let endless = format!("POST / HTTP/1.0\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(Length::of(endless.as_bytes()), Length::Known);
    }
}
