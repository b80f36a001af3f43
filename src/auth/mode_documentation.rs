//! A mode's part of the OpenAPI documentation of the common routes.

/// The documentation of a common route for one mode. What is the same for all modes is documented at the route
/// itself.
#[derive(Clone, Copy, Debug)]
pub struct RouteDocumentation {
    /// The route's path below the mode's name, such as `/login`.
    pub path: &'static str,
    /// A one-line summary.
    pub summary: &'static str,
    /// The description.
    pub description: &'static str,
    /// The names of the security schemes, each of which is sufficient; the empty name means that none is needed.
    pub security: &'static [&'static str],
    /// The name of the schema of an optional body.
    pub optional_body: Option<&'static str>,
    /// The name of the schema of the issued credential.
    pub credential: Option<&'static str>,
    /// How the route changes the mode's cookies.
    pub set_cookie: Option<&'static str>,
}

impl RouteDocumentation {
    /// The documentation of a route without credential, body and cookies.
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
