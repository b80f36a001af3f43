//! `PASSKEY_RP_ID` and `PASSKEY_ORIGINS`: where passkeys may be used (WebAuthn Level 3, sections 5.1.2 and 5.11).

use url::{Host, Url};

use super::public_url::is_loopback;
use super::reader::Reader;
use super::{origin, parse};

/// What Android apps send in place of an origin, before the SHA-256 of their signing certificate in base64url.
const ANDROID: &str = "android:apk-key-hash:";

const LOCALHOST: &str = "localhost";

/// Settings of passkeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyConfig {
    /// `PASSKEY_RP_ID`, by default `PUBLIC_URL`'s host, or `localhost` for a loopback address. `None`: that host is another IP
    /// address, for which there are no passkeys.
    pub rp_id: Option<String>,
    /// `PASSKEY_ORIGINS`, serialized. Empty: the service's own origins.
    pub origins: Vec<String>,
}

impl PasskeyConfig {
    pub(super) fn read<V: Fn(&str) -> Option<String>>(
        reader: &mut Reader<V>,
        public_url: Option<&Url>,
    ) -> Self {
        let origins = reader.list("PASSKEY_ORIGINS", parse_origin);
        let expected = "a domain such as example.com, without scheme and port";
        let given = reader.read("PASSKEY_RP_ID", expected, |text| match Host::parse(text) {
            Ok(Host::Domain(domain)) => Some(domain.to_string()),
            _ => None,
        });
        let config = Self { rp_id: given.or_else(|| default_rp_id(public_url)), origins };
        config.check(reader, public_url);
        config
    }

    /// Browsers refuse an RP ID that is none of the page's host, unless `/.well-known/webauthn` of the RP ID lists the page's origin,
    /// as it does here. An RP ID that fits none at all is a mistake.
    fn check<V: Fn(&str) -> Option<String>>(&self, reader: &mut Reader<V>, public_url: Option<&Url>) {
        let own = public_url.map(|url| url.origin().ascii_serialization());
        let own = own.unwrap_or_else(|| format!("http://{LOCALHOST}"));
        let origins = if self.origins.is_empty() { std::slice::from_ref(&own) } else { &self.origins };
        let Some(rp_id) = &self.rp_id else {
            if !self.origins.is_empty() {
                reader.push_error(
                    "PASSKEY_RP_ID",
                    "a domain, since PASSKEY_ORIGINS is set and PUBLIC_URL's host is an address",
                );
            }
            return;
        };
        // The service's own loopback address is reached by its name as well.
        let is_local = rp_id == LOCALHOST && own_host_is_loopback(public_url) && self.origins.is_empty();
        if !is_local && !origins.iter().any(|origin| is_within(origin, rp_id)) {
            let expected = "the host of PUBLIC_URL or of one of PASSKEY_ORIGINS, or a parent of it that is no public suffix such as co.uk";
            reader.push_error("PASSKEY_RP_ID", expected);
        }
    }

    /// The origins where passkeys may be used: those that are set, or else the service's own. Browsers have passkeys at a domain alone, so
    /// this machine counts by its name.
    pub fn origins_or(&self, own: &[String]) -> Vec<String> {
        if !self.origins.is_empty() {
            return self.origins.clone();
        }
        let mut origins: Vec<_> = own.iter().filter_map(|origin| by_name(origin)).collect();
        origins.dedup();
        origins
    }

    /// The websites among `origins` whose host the RP ID does not cover: browsers allow them if the RP ID's host lists them
    /// (section 5.11).
    pub fn related_origins(&self, origins: &[String]) -> Vec<String> {
        let Some(rp_id) = &self.rp_id else { return Vec::new() };
        let is_related = |origin: &&String| origin.starts_with("http") && !is_within(origin, rp_id);
        origins.iter().filter(is_related).cloned().collect()
    }
}

fn default_rp_id(public_url: Option<&Url>) -> Option<String> {
    let Some(host) = public_url.map(Url::host) else { return Some(LOCALHOST.to_owned()) };
    match host {
        Some(Host::Domain(domain)) => Some(domain.to_owned()),
        Some(address) if is_loopback(&address) => Some(LOCALHOST.to_owned()),
        _ => None,
    }
}

fn own_host_is_loopback(public_url: Option<&Url>) -> bool {
    public_url.is_none_or(|url| url.host().is_some_and(|host| is_loopback(&host)))
}

/// The origin, or that of this machine's name if its host is a loopback address. `None`: there are no passkeys.
fn by_name(origin: &str) -> Option<String> {
    let mut url = Url::parse(origin).ok()?;
    if matches!(url.host(), Some(address @ (Host::Ipv4(_) | Host::Ipv6(_))) if is_loopback(&address)) {
        url.set_host(Some(LOCALHOST)).ok()?;
    }
    parse_origin(&url.origin().ascii_serialization()).ok()
}

/// Whether the RP ID is the origin's host, or a parent of it that can be registered (HTML, "is a registrable domain suffix of or is
/// equal to").
fn is_within(origin: &str, rp_id: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    let Some(host) = url.domain() else { return false };
    let is_below = host.strip_suffix(rp_id).is_some_and(|rest| rest.ends_with('.'));
    host == rp_id || is_below && parse::is_below_public_suffix(rp_id)
}

/// An origin where browsers and phones support passkeys: https, http on this machine by its name, or an Android app.
fn parse_origin(text: &str) -> Result<String, String> {
    if let Some(hash) = text.strip_prefix(ANDROID) {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        return match hash.len() == 43 && hash.bytes().all(is_base64url) {
            true => Ok(text.to_owned()),
            false => Err(format!("the SHA-256 of a certificate in base64url after {ANDROID}, not {text:?}")),
        };
    }
    let origin = origin::parse(text)?;
    let url = Url::parse(&origin).ok().filter(|url| match (url.scheme(), url.host()) {
        ("https", Some(Host::Domain(_))) => true,
        ("http", Some(Host::Domain(name))) => is_loopback(&Host::Domain(name)),
        _ => false,
    });
    let expected = "https:// and a domain, or http://localhost: elsewhere browsers have no passkeys";
    url.map(|_| origin).ok_or_else(|| format!("{expected}, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(public_url: &str, rp_id: &str, origins: &str) -> Result<PasskeyConfig, String> {
        let settings = [("PUBLIC_URL", public_url), ("PASSKEY_RP_ID", rp_id), ("PASSKEY_ORIGINS", origins)];
        let value = |name: &str| {
            let given = settings.iter().find(|(key, value)| *key == name && !value.is_empty());
            given.map(|(_, value)| (*value).to_owned())
        };
        Config::from_vars(value).map(|config| config.passkeys).map_err(|error| error.to_string())
    }

    #[test]
    fn the_rp_id_is_the_services_host_unless_it_is_set() {
        for (public_url, rp_id) in [
            ("", Some("localhost")),
            ("http://127.0.0.1:8080", Some("localhost")),
            ("http://[::1]:8080", Some("localhost")),
            ("http://localhost:8080", Some("localhost")),
            ("https://auth.example.com", Some("auth.example.com")),
            ("https://example.com/auth", Some("example.com")),
            ("https://auth", Some("auth")),
            ("https://192.168.0.2", None),
            ("https://[2001:db8::1]", None),
        ] {
            assert_eq!(
                read(public_url, "", "").map(|config| config.rp_id),
                Ok(rp_id.map(str::to_owned)),
                "{public_url}"
            );
        }
    }

    #[test]
    fn an_rp_id_is_a_registrable_suffix_of_one_of_the_origins() {
        for (public_url, rp_id, origins) in [
            ("https://auth.example.com", "example.com", ""),
            ("https://auth.example.com", "auth.example.com", ""),
            ("https://auth.example.co.uk", "EXAMPLE.co.uk", ""),
            ("https://me.github.io", "me.github.io", ""),
            ("https://auth.example.net", "example.com", "https://app.example.com"),
            ("https://auth.example.com", "example.com", "https://example.com,https://example.org"),
            ("https://192.168.0.2", "example.com", "https://app.example.com"),
            ("http://127.0.0.1:8080", "localhost", ""),
            ("http://127.0.0.1:8080", "localhost", "http://localhost:5173"),
        ] {
            read(public_url, rp_id, origins).expect(rp_id);
        }
        for (public_url, rp_id, origins) in [
            ("https://auth.example.com", "com", ""),
            ("https://auth.example.co.uk", "co.uk", ""),
            ("https://me.github.io", "github.io", ""),
            ("https://auth.example.com", "app.example.com", ""),
            ("https://auth.example.com", "xample.com", ""),
            ("https://auth.example.com", "example.org", ""),
            ("https://auth.example.com", "https://example.com", ""),
            ("https://auth.example.com", "example.com:443", ""),
            ("https://auth.example.com", "localhost", ""),
            ("https://auth.example.com", "192.168.0.2", ""),
            ("https://192.168.0.2", "", "https://app.example.com"),
            ("https://192.168.0.2", "example.com", ""),
            ("https://auth.example.com", "", "https://app.example.org"),
            ("", "example.com", ""),
        ] {
            let error = read(public_url, rp_id, origins).expect_err(rp_id);
            assert!(error.contains("PASSKEY_RP_ID"), "{error}");
        }
    }

    #[test]
    fn origins_are_those_where_browsers_have_passkeys() {
        let app = format!("{ANDROID}{}", "a".repeat(43));
        let given = format!("HTTPS://App.Example.COM, {app},https://example.org");
        let config = read("https://auth.example.com", "example.com", &given).expect("they are right");
        let origins = config.origins_or(&[]);
        assert_eq!(origins, ["https://app.example.com", &app, "https://example.org"]);
        assert_eq!(config.related_origins(&origins), ["https://example.org"]);
        for wrong in [
            "http://app.example.com",
            "https://192.168.0.2",
            "capacitor://localhost",
            "*",
            "android:apk-key-hash:x",
        ] {
            let error = read("https://auth.example.com", "", wrong).expect_err(wrong);
            assert!(error.contains("PASSKEY_ORIGINS"), "{error}");
        }
    }

    #[test]
    fn the_services_own_origins_are_those_with_a_name() {
        let config = read("", "", "").expect("the defaults");
        for (own, origins) in [
            (
                &["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"][..],
                &["http://localhost:8080"][..],
            ),
            (&["http://127.0.0.1:8080"], &["http://localhost:8080"]),
            (&["https://auth.example.com"], &["https://auth.example.com"]),
            (&["https://192.168.0.2"], &[]),
            (&["http://auth.example.com"], &[]),
        ] {
            let own: Vec<_> = own.iter().map(|origin| (*origin).to_owned()).collect();
            assert_eq!(config.origins_or(&own), origins, "{own:?}");
        }
    }
}
