//! Cookies for credentials: names, attributes, setting and clearing.

use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite, time};

/// Maximum age of a cookie in browsers (RFC 6265bis, section 5.5).
const MAX_AGE_LIMIT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The specification of a cookie.
#[derive(Clone, Copy, Debug)]
pub struct CookieSpec {
    /// Its name, without a prefix.
    pub name: &'static str,
    /// Its path, without the path of PUBLIC_URL.
    pub path: &'static str,
    /// Whether it is sent when a user follows a link from another site.
    pub same_site: SameSite,
}

/// Common attributes of this server's cookies.
#[derive(Clone, Debug)]
pub struct CookiePolicy {
    /// Whether clients use https.
    pub secure: bool,
    /// `COOKIE_DOMAIN`; `None`: cookies are sent to this host only.
    pub domain: Option<String>,
    /// `COOKIE_NAME_PREFIX`.
    pub name_prefix: String,
    /// The path of `PUBLIC_URL`, such as `/auth`; may be empty.
    pub base_path: String,
}

impl CookiePolicy {
    /// The full name, with the prefix by which browsers guarantee the attributes (RFC 6265bis, section 4.1.3).
    pub fn name(&self, kind: CookieSpec) -> String {
        let is_host_only = self.domain.is_none() && kind.path == "/";
        let vouched = match (self.secure, is_host_only) {
            (false, _) => "",
            (true, true) => "__Host-",
            (true, false) => "__Secure-",
        };
        format!("{vouched}{}{}", self.name_prefix, kind.name)
    }

    /// The path attribute. A cookie for all paths gets `/` regardless of PUBLIC_URL's path, as `__Host-` requires.
    fn path(&self, kind: CookieSpec) -> String {
        match kind.path {
            "/" => "/".to_owned(),
            path => format!("{}{path}", self.base_path),
        }
    }

    /// A cookie with this value, that expires after `life`, or when the browser is closed.
    pub fn set(&self, kind: CookieSpec, value: &str, life: Option<Duration>) -> Cookie<'static> {
        let mut cookie = self.cookie(kind, value);
        if let Some(life) = life {
            cookie.set_max_age(max_age(life));
        }
        cookie
    }

    /// A cookie that makes the browser delete it.
    pub fn clear(&self, kind: CookieSpec) -> Cookie<'static> {
        let mut cookie = self.cookie(kind, "");
        cookie.make_removal();
        cookie
    }

    fn cookie(&self, kind: CookieSpec, value: &str) -> Cookie<'static> {
        let mut cookie = Cookie::build(self.name(kind), value.to_owned())
            .path(self.path(kind))
            .http_only(true)
            .secure(self.secure)
            .same_site(kind.same_site)
            .finish();
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.clone());
        }
        cookie
    }
}

/// The `Max-Age` of a cookie for something with this lifetime.
pub fn max_age(life: Duration) -> time::Duration {
    let seconds = life.min(MAX_AGE_LIMIT).as_secs();
    time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
