//! Settings of a verifier.

use std::time::Duration;

use secrecy::SecretString;

use crate::{BuildError, Verifier};

/// What happens to tokens that are not known to be revoked while the knowledge is older than the staleness bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// They are refused ([`Unavailable`](crate::VerifyError::Unavailable), 503), so that no revoked token is ever accepted.
    #[default]
    Refuse,
    /// They are accepted: a token that was revoked meanwhile is valid until it expires, or the connection is back.
    Serve,
}

/// Settings of a [`Verifier`]. See [`Verifier::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) url: Option<String>,
    pub(crate) client: Option<(String, SecretString)>,
    pub(crate) staleness_bound: Duration,
    pub(crate) when_stale: WhenStale,
    pub(crate) cache_size: usize,
}

impl Builder {
    pub(crate) fn new(issuer: String, audience: String) -> Self {
        Self {
            issuer,
            audience,
            url: None,
            client: None,
            staleness_bound: Duration::from_secs(1),
            when_stale: WhenStale::default(),
            cache_size: 10_000,
        }
    }

    /// Where dualauth is reached, if not at the issuer: for example at an address of the internal network. Plain
    /// `http://` is accepted; whoever can change what is sent there can make tokens, and read the secret.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The registered client (`dualauth client create`) as which to follow revocations. Without one, tokens are verified by their
    /// signature alone, and a revoked one is valid until it expires.
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        self.client = Some((id.into(), secret.into()));
        self
    }

    /// How old knowledge of revocations may be, 1 s by default: a revoked token is refused this long after the
    /// revocation at the latest. Not below dualauth's own `STALENESS_BOUND`.
    pub fn staleness_bound(mut self, bound: Duration) -> Self {
        self.staleness_bound = bound;
        self
    }

    /// What happens when knowledge is older than that: tokens are refused by default.
    pub fn when_stale(mut self, when_stale: WhenStale) -> Self {
        self.when_stale = when_stale;
        self
    }

    /// How many verified tokens are remembered, so that their signature is not verified again; 10,000 by default, of about
    /// a kilobyte each.
    pub fn cache_size(mut self, tokens: usize) -> Self {
        self.cache_size = tokens;
        self
    }

    /// Builds the verifier, which begins to follow in a task of the current tokio runtime. This one has to have I/O and time, and
    /// to live as long as the verifier: after it everything is [`Unavailable`](crate::VerifyError::Unavailable).
    ///
    /// # Errors
    /// If a setting can't be used. That dualauth can't be reached is no error: [`Verifier::ready`] waits for it.
    pub fn build(self) -> Result<Verifier, BuildError> {
        Verifier::start(self)
    }
}
