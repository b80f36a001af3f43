//! What the API's document says of a mode's part in the routes that every mode has.

/// What a mode says of one of these routes. Whatever is the same in every mode is said by the route itself.
#[derive(Clone, Copy, Debug)]
pub struct RouteDocumentation {
    /// The route's path below the mode's name, such as `/login`.
    pub path: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What else there is to know.
    pub description: &'static str,
    /// The security schemes of which it takes any one, by their names in the document; the empty one: it can be called
    /// without.
    pub security: &'static [&'static str],
    /// The schema of a body that may be sent, by its name in the document.
    pub optional_body: Option<&'static str>,
    /// The schema of the credential that it answers with, by its name in the document.
    pub credential: Option<&'static str>,
    /// What it does to the mode's cookies.
    pub set_cookie: Option<&'static str>,
}

impl RouteDocumentation {
    /// What a route says that needs no credential, takes no body of its own and sets no cookie.
    pub const fn new(path: &'static str, summary: &'static str, description: &'static str) -> Self {
        Self {
            path,
            summary,
            description,
            security: &[],
            optional_body: None,
            credential: None,
            set_cookie: None,
        }
    }
}
