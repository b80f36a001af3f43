//! What an operator asks of a provider: whether it can be reached, is who it should be, has keys, and has the right time.

use chrono::{DateTime, TimeDelta};

use super::discovery;
use super::error::ProviderError;
use super::http_client::{ProviderAnswer, ProviderRequest, Step};
use super::keys::ProviderKeys;
use super::registry::{Protocol, Provider, deadline};

/// A provider that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderReport {
    /// Its issuer.
    pub issuer: String,
    /// How many keys it has that can verify ID tokens. `None`: it has no ID tokens.
    pub keys: Option<usize>,
    /// How far its clock is ahead of ours, if it tells its time.
    pub clock_ahead: Option<TimeDelta>,
}

impl Provider {
    /// Asks it now, whatever is known of it.
    ///
    /// # Errors
    /// [`ProviderError`], within 5 s.
    pub async fn check(&self) -> Result<ProviderReport, ProviderError> {
        let deadline = deadline();
        let issuer = self.config.issuer.clone();
        match &self.protocol {
            Protocol::GitHub(endpoints) => {
                let request = ProviderRequest::get(Step::Discovery, endpoints.api.clone());
                let answer = self.client.send(request, deadline).await?;
                Ok(ProviderReport { issuer, keys: None, clock_ahead: self.clock_ahead(&answer) })
            }
            Protocol::OpenIdConnect(protocol) => {
                let loaded =
                    discovery::load(&self.client, &self.config.issuer_url, &protocol.issuer, deadline).await;
                let (document, answer) = loaded?;
                let keys = ProviderKeys::load(&self.client, &document.jwks_uri, deadline).await?.count();
                if keys == 0 {
                    return Err(ProviderError::NoKeys);
                }
                Ok(ProviderReport { issuer, keys: Some(keys), clock_ahead: self.clock_ahead(&answer) })
            }
        }
    }

    /// By the header `Date`, to the second.
    fn clock_ahead(&self, answer: &ProviderAnswer) -> Option<TimeDelta> {
        let date = DateTime::parse_from_rfc2822(answer.date.as_deref()?).ok()?;
        Some(date.to_utc() - self.clock.now())
    }
}
