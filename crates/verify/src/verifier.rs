//! The verifier: what a service holds, and asks about each token.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::core::{Core, Doubt};
use crate::settings::Builder;
use crate::{BuildError, Claims, VerifyError, follower};

/// Verifies access tokens. Cheap to clone; all clones share what they know, and one task that follows dualauth until the last
/// clone is dropped.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

struct Shared {
    core: Arc<Core>,
    /// Where dualauth is asked: a request's own runtime may end, or be busy.
    runtime: Handle,
    follower: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Verifier {
    /// A verifier of the tokens of this issuer (dualauth's `JWT_ISSUER`, else its `PUBLIC_URL`) for this audience (`JWT_AUDIENCE`, else
    /// the issuer).
    pub fn builder(issuer: impl Into<String>, audience: impl Into<String>) -> Builder {
        Builder::new(issuer.into(), audience.into())
    }

    pub(crate) fn start(settings: Builder) -> Result<Self, BuildError> {
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let core = Arc::new(Core::new(settings)?);
        let follower = runtime.spawn(follower::follow(Arc::clone(&core))).abort_handle();
        Ok(Self(Arc::new(Shared { core, runtime, follower })))
    }

    /// Verifies an access token: the text after `Bearer `.
    ///
    /// A good token is answered at once, from memory. One request to dualauth may be waited for before a token is refused that
    /// names an unknown key, or whose roles are others than those known: it may be newer than what is known.
    ///
    /// # Errors
    /// If the token is not accepted.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerifyError> {
        match self.judge(token) {
            Ok(claims) => Ok(claims),
            Err(Doubt::Refused(error)) => Err(error),
            Err(doubt) => self.resolve(token, doubt).await,
        }
    }

    /// Whether knowledge is complete and no older than the staleness bound; without a feed, whether the keys are known.
    pub fn is_fresh(&self) -> bool {
        self.0.core.is_fresh()
    }

    /// Waits until dualauth has answered for the first time, for ever if it does not. Tokens that come before are refused as
    /// [`VerifyError::Unavailable`].
    pub async fn ready(&self) {
        self.0.core.ready().await;
    }

    /// Judges a token without waiting.
    pub(crate) fn judge(&self, token: &str) -> Result<Arc<Claims>, Doubt> {
        self.0.core.judge(token)
    }

    /// Asks dualauth what has to be known about a token, each thing once, and judges it again.
    pub(crate) async fn resolve(&self, token: &str, mut doubt: Doubt) -> Result<Arc<Claims>, VerifyError> {
        let came = self.0.core.clock.uptime();
        let (mut fetched, mut asked) = (false, false);
        loop {
            let answered = match doubt {
                Doubt::Refused(error) => return Err(error),
                Doubt::UnknownKey if fetched => return Err(VerifyError::InvalidToken),
                Doubt::OwnerChanged if asked => return Err(VerifyError::TokenRevoked),
                Doubt::UnknownKey => {
                    fetched = true;
                    self.run(|core| async move { core.fetch_unknown_key().await }).await
                }
                Doubt::OwnerChanged => {
                    asked = true;
                    self.run(|core| async move { core.catch_up(came).await }).await
                }
            };
            if !answered {
                return Err(VerifyError::Unavailable);
            }
            match self.judge(token) {
                Ok(claims) => return Ok(claims),
                Err(next) => doubt = next,
            }
        }
    }

    /// Runs a request to the feed to its end, even if nobody waits for it any longer: others share its answer.
    async fn run<F: Future<Output = bool> + Send + 'static>(
        &self,
        send: impl FnOnce(Arc<Core>) -> F,
    ) -> bool {
        self.0.runtime.spawn(send(Arc::clone(&self.0.core))).await.unwrap_or(false)
    }

    #[cfg(test)]
    pub(crate) fn clock(&self) -> &crate::clock::Clock {
        &self.0.core.clock
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("is_fresh", &self.is_fresh()).finish_non_exhaustive()
    }
}
