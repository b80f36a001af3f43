//! The path of the revocation feed, which each follower asks for several times a second. A request for it changes nothing, so it
//! ends with its connection; one that succeeds is not worth an access line.

/// The path.
pub const FEED: &str = "/jwt/feed";
