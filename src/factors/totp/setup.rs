//! What an authenticator needs to be set up: the secret as text, as a URI, and as the QR code of it.

use data_encoding::BASE32_NOPAD;
use fast_qr::{ECL, QRBuilder, QRCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

use super::{DIGITS, STEP_SECONDS, TotpSecret};

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The light margin around a QR code, in modules (ISO/IEC 18004).
const MARGIN: usize = 4;

/// How an authenticator is set up. Shown once.
#[derive(Debug)]
pub struct TotpSetup {
    /// The secret in Base32 (RFC 4648), to be typed.
    pub secret: SecretString,
    /// The same as an `otpauth:` URI.
    pub uri: SecretString,
    /// The same as a QR code.
    pub qr: QrCode,
}

/// A QR code for an SVG.
#[derive(Debug)]
pub struct QrCode {
    /// Width and height with the margin, in modules: the `viewBox` is `0 0 size size`.
    pub size: usize,
    /// The dark modules, as the `d` of a `path`.
    pub path: SecretString,
}

impl TotpSetup {
    /// # Panics
    /// When the URI is longer than any QR code, which it is not: a username has 64 characters at most, a host 253.
    #[expect(clippy::expect_used, reason = "the parts of the URI are bounded, and 2,331 bytes fit")]
    pub(super) fn new(secret: &TotpSecret, issuer: &str, username: &str) -> Self {
        let secret = BASE32_NOPAD.encode(secret.bytes().reveal());
        let uri = uri(&secret, issuer, username);
        let code = QRBuilder::new(uri.as_str()).ecl(ECL::M).build().expect("a URI that fits");
        let qr = QrCode { size: code.size + 2 * MARGIN, path: svg_path(&code).into() };
        Self { secret: secret.into(), uri: uri.into(), qr }
    }
}

/// The key URI that authenticators read: the issuer stands twice, for older and newer ones.
fn uri(secret: &str, issuer: &str, username: &str) -> String {
    let [issuer, username] = [issuer, username].map(|part| utf8_percent_encode(part, RESERVED));
    format!(
        "otpauth://totp/{issuer}:{username}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
    )
}

/// One rectangle for each row of adjacent dark modules.
fn svg_path(code: &QRCode) -> String {
    let mut path = String::new();
    for y in 0..code.size {
        let row: Vec<bool> = code[y].iter().take(code.size).map(|module| module.value()).collect();
        let mut x = 0;
        for run in row.chunk_by(|left, right| left == right) {
            if run[0] {
                let length = run.len();
                path += &format!("M{} {}h{length}v1h-{length}z", x + MARGIN, y + MARGIN);
            }
            x += run.len();
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::crypto::SecretBytes;

    fn setup(issuer: &str, username: &str) -> TotpSetup {
        let secret = TotpSecret::new(SecretBytes::new(b"12345678901234567890".to_vec()));
        TotpSetup::new(&secret, issuer, username)
    }

    #[test]
    fn the_uri_names_issuer_and_user_and_what_an_authenticator_has_to_do() {
        let setup = setup("auth.example.com", "a+b");
        assert_eq!(
            setup.uri.expose_secret(),
            "otpauth://totp/auth.example.com:a%2Bb?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=auth.example.com\
             &algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(setup.secret.expose_secret(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(!format!("{setup:?}").contains("GEZD"), "it is not printed");
    }

    #[test]
    fn the_path_has_the_three_corners_of_a_qr_code_inside_its_margin() {
        let QrCode { size, path } = setup("localhost", "ada").qr;
        let far = size - MARGIN - 7;
        for (x, y) in [(MARGIN, MARGIN), (far, MARGIN), (MARGIN, far)] {
            let top_of_corner = format!("M{x} {y}h7v1h-7z");
            assert!(path.expose_secret().contains(&top_of_corner), "{top_of_corner}");
        }
    }

    #[test]
    fn the_longest_names_fit() {
        assert!(setup(&"a".repeat(253), &"+".repeat(64)).qr.size > 0);
    }
}
