//! What the pages and the API's document say of this server: where it is on its host, and what its cookies are called.

/// What the settings have made of paths and names.
#[derive(Clone, Debug)]
pub struct SitePaths {
    /// The path of `PUBLIC_URL`, such as `/auth`; empty when it has none.
    pub base_path: String,
    /// The name of the cookie `sessionid`, with what stands before it.
    pub session_cookie: String,
    /// The same for `access_token`.
    pub access_token_cookie: String,
    /// The same for `refresh_token`.
    pub refresh_token_cookie: String,
}

impl SitePaths {
    /// The page with its links, which are written from the root, below the path of `PUBLIC_URL`.
    pub(super) fn with_base_path(&self, html: &str) -> String {
        html.replace("=\"/", &format!("=\"{}/", self.base_path))
    }
}
