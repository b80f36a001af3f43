//! Cookies as credentials travel in them: their names, attributes, and how they are set and cleared.

use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite, time};

/// The longest life that browsers grant a cookie (RFC 6265bis, section 5.5).
const MAX_AGE_LIMIT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// A kind of cookie.
#[derive(Clone, Copy, Debug)]
pub struct CookieSpec {
    /// Its name, without a prefix.
    pub name: &'static str,
    /// The path below which it is sent, as the service itself sees its paths.
    pub path: &'static str,
    /// Whether it is sent when somebody follows a link from elsewhere.
    pub same_site: SameSite,
}

/// What this server's cookies have in common.
#[derive(Clone, Debug)]
pub struct CookiePolicy {
    /// Whether clients reach the server over https.
    pub secure: bool,
    /// The domain whose hosts get the cookies; none: this host alone.
    pub domain: Option<String>,
    /// `COOKIE_NAME_PREFIX`.
    pub name_prefix: String,
    /// The path of `PUBLIC_URL`, such as `/auth`, or nothing.
    pub base_path: String,
}

impl CookiePolicy {
    /// The name, and before it the prefix by which a browser vouches for the cookie's attributes (RFC 6265bis, section
    /// 4.1.3).
    pub fn name(&self, kind: CookieSpec) -> String {
        let is_host_only = self.domain.is_none() && kind.path == "/";
        let vouched = match (self.secure, is_host_only) {
            (false, _) => "",
            (true, true) => "__Host-",
            (true, false) => "__Secure-",
        };
        format!("{vouched}{}{}", self.name_prefix, kind.name)
    }

    /// The path below which a browser sends it. One that goes everywhere goes to the whole host: `__Host-` wants that.
    fn path(&self, kind: CookieSpec) -> String {
        match kind.path {
            "/" => "/".to_owned(),
            path => format!("{}{path}", self.base_path),
        }
    }

    /// A cookie that carries `value`: for as long as that lives, or until the browser closes.
    pub fn set(&self, kind: CookieSpec, value: &str, life: Option<Duration>) -> Cookie<'static> {
        let mut cookie = self.cookie(kind, value);
        if let Some(life) = life {
            cookie.set_max_age(max_age(life));
        }
        cookie
    }

    /// What makes the browser forget the cookie.
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

/// A cookie's `Max-Age` for what lives so long.
pub fn max_age(life: Duration) -> time::Duration {
    let seconds = life.min(MAX_AGE_LIMIT).as_secs();
    time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
