//! A row of an import file: a user, or why the row was refused.

use crate::users::ForeignUser;

/// The maximum length of a displayed name, in bytes.
const MAX_DISPLAY_LENGTH: usize = 64;

/// A parsed row, with the name to display.
pub(super) struct ParsedRow {
    /// The name to display, if there is one.
    pub(super) name: Option<String>,
    pub(super) user: Result<ForeignUser, String>,
}

impl ParsedRow {
    pub(super) fn of(user: ForeignUser) -> Self {
        Self { name: display_name(user.username.as_deref(), &user.email), user: Ok(user) }
    }

    /// A row that can't be parsed.
    pub(super) fn unreadable(why: impl Into<String>) -> Self {
        Self { name: None, user: Err(why.into()) }
    }

    /// A row that was parsed, but can't be imported.
    pub(super) fn refused(username: Option<&str>, email: Option<&str>, why: impl Into<String>) -> Self {
        Self { name: display_name(username, email.unwrap_or_default()), user: Err(why.into()) }
    }
}

/// The username, or else the email. Values that may be a hash in the wrong column are not displayed.
fn display_name(username: Option<&str>, email: &str) -> Option<String> {
    let is_harmless = |name: &&str| {
        (1..=MAX_DISPLAY_LENGTH).contains(&name.len())
            && !name.contains(['$', '{', ':', '='])
            && !name.contains(char::is_control)
    };
    username.into_iter().chain([email]).find(is_harmless).map(str::to_owned)
}
