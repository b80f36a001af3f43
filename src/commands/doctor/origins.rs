//! Doctor: checks of ALLOWED_ORIGINS: insecure origins, and cross-site ones, for which browsers store no cookies.

use url::Url;

use super::Finding;
use super::settings::is_this_machine;
use crate::config::Config;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    [insecure_origins(config), cross_site_origins(config)].into_iter().flatten().collect()
}

fn insecure_origins(config: &Config) -> Option<Finding> {
    let insecure = config.allowed_origins.iter().filter(|origin| is_insecure(origin));
    let insecure: Vec<_> = insecure.cloned().collect();
    (!insecure.is_empty()).then(|| {
        Finding::warning(
            format!(
                "ALLOWED_ORIGINS has {}: an attacker on the network can modify such a page and act as its user.",
                insecure.join(", ")
            ),
            "Serve these pages over https.",
        )
    })
}

fn is_insecure(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| url.scheme() == "http" && !is_this_machine(&url))
}

/// Cookies are SameSite: a browser neither stores nor sends them for a page of another site.
fn cross_site_origins(config: &Config) -> Option<Finding> {
    let others = config.allowed_origins.iter().filter(|origin| !is_same_site(origin, config));
    let others: Vec<_> = others.cloned().collect();
    (!others.is_empty()).then(|| {
        Finding::warning(
            format!(
                "ALLOWED_ORIGINS has {}, of another site than PUBLIC_URL: a sign-in by cookie from there answers 200, but \
                 the browser stores no cookie.",
                others.join(", ")
            ),
            "Let these pages sign in with `\"transport\": \"bearer\"`, or serve pages and service below one registrable domain, \
             such as https://app.example.com and https://auth.example.com.",
        )
    })
}

/// Returns `true` if an origin is same-site with the service (HTML, "same site": scheme and registrable domain).
fn is_same_site(origin: &str, config: &Config) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    if !matches!(origin.scheme(), "http" | "https") {
        return false;
    }
    match &config.public_url {
        // Without PUBLIC_URL the service is at the local host, under each of its names.
        None => is_this_machine(&origin),
        Some(own) => own.scheme() == origin.scheme() && site(&origin).is_some() && site(own) == site(&origin),
    }
}

/// The registrable domain by the public suffix list, or else the whole host.
fn site(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    url.domain().and_then(psl::domain_str).or(Some(host))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn warnings(public_url: &str, origins: &str) -> Vec<String> {
        let settings = [("PUBLIC_URL", public_url), ("ALLOWED_ORIGINS", origins)];
        let value =
            |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        let findings = check(&Config::from_vars(value).expect("they are right"));
        assert!(findings.iter().all(|finding| finding.level == Level::Warning));
        findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn pages_of_the_same_site_get_their_cookies() {
        for (own, page) in [
            ("https://auth.example.com", "https://app.example.com"),
            ("https://auth.example.com/path", "https://example.com:8443"),
            ("https://auth.example.co.uk", "https://app.example.co.uk"),
            ("https://me.github.io", "https://me.github.io:8443"),
            ("http://localhost:8080", "http://localhost:5173"),
            ("http://192.168.0.2", "http://192.168.0.2:5173"),
            ("", "http://localhost:5173,http://127.0.0.1:5173,http://[::1]:5173"),
        ] {
            let warnings = warnings(own, page);
            assert!(warnings.iter().all(|warning| !warning.contains("another site")), "{own}: {warnings:?}");
        }
    }

    #[test]
    fn pages_of_another_site_are_told_of_by_name() {
        for (own, page) in [
            ("https://auth.example.com", "https://example.org"),
            ("https://auth.example.co.uk", "https://other.co.uk"),
            ("https://me.github.io", "https://you.github.io"),
            ("https://auth.example.com", "http://localhost:5173"),
            ("http://localhost:8080", "http://127.0.0.1:5173"),
            ("http://192.168.0.2", "http://192.168.0.3"),
            ("https://auth.example.com", "http://app.example.com"),
            ("http://localhost:8080", "https://localhost:5173"),
            ("https://auth.example.com", "capacitor://localhost"),
            ("", "capacitor://localhost"),
            ("", "https://app.example.com"),
        ] {
            let warnings = warnings(own, &format!("{page},{own}"));
            let told = warnings.iter().find(|warning| warning.contains("another site"));
            let told = told.unwrap_or_else(|| panic!("{page} is not told of beside {own:?}"));
            assert!(told.contains(page) && (own.is_empty() || !told.contains(&format!(", {own}"))), "{told}");
        }
    }
}
