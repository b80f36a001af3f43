//! One user of a file, as it was read.

use crate::users::ForeignUser;

/// The longest name that is display_name.
const MAX_DISPLAY_LENGTH: usize = 64;

/// Somebody, or why nobody can be taken from there.
pub(super) struct ImportRow {
    /// Who it is, to be display_name.
    pub(super) name: Option<String>,
    pub(super) user: Result<ForeignUser, String>,
}

impl ImportRow {
    pub(super) fn of(user: ForeignUser) -> Self {
        Self { name: display_name(user.username.as_deref(), &user.email), user: Ok(user) }
    }

    /// Nobody: what is there can't be read.
    pub(super) fn unreadable(why: impl Into<String>) -> Self {
        Self { name: None, user: Err(why.into()) }
    }

    /// Somebody who can be read and not be taken.
    pub(super) fn refused(username: Option<&str>, email: Option<&str>, why: impl Into<String>) -> Self {
        Self { name: display_name(username, email.unwrap_or_default()), user: Err(why.into()) }
    }
}

/// The username, or else the email. In the wrong column there may be a hash: what may be one is not display_name.
fn display_name(username: Option<&str>, email: &str) -> Option<String> {
    let is_harmless = |name: &&str| {
        (1..=MAX_DISPLAY_LENGTH).contains(&name.len())
            && !name.contains(['$', '{', ':', '='])
            && !name.contains(char::is_control)
    };
    username.into_iter().chain([email]).find(is_harmless).map(str::to_owned)
}
