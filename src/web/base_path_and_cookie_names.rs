//! Base path and cookie names of this server, for pages and the OpenAPI document.

/// The base path and the cookie names that follow from the settings.
#[derive(Clone, Debug)]
pub struct BasePathAndCookieNames {
    /// The path of `PUBLIC_URL`, such as `/auth`; empty if it has none.
    pub base_path: String,
    /// The full name of the cookie `sessionid`, with its prefixes.
    pub session_cookie: String,
    /// The same for `access_token`.
    pub access_token_cookie: String,
    /// The same for `refresh_token`.
    pub refresh_token_cookie: String,
}

impl BasePathAndCookieNames {
    /// Prefixes the root-relative links of a page with the path of `PUBLIC_URL`.
    pub(super) fn with_base_path(&self, html: &str) -> String {
        html.replace("=\"/", &format!("=\"{}/", self.base_path))
    }
}
