//! Providers of identities (OpenID Connect, GitHub, Apple, Microsoft): where a browser is sent, and who came back.
//!
//! Everything outward is bounded in time and size. What a provider says is believed only about (`issuer`, `subject`), and about an
//! address only where it says that it has verified it.

mod apple;
mod attempt;
mod authorization;
mod callback;
mod check;
mod discovery;
mod error;
mod expected_issuer;
mod github;
mod http_client;
mod id_token;
mod identity;
mod keys;
mod public_address;
mod refreshed_cache;
mod registry;
mod store;
mod token_exchange;
mod userinfo;

pub use self::attempt::{BegunProviderAttempt, IdTokenAttemptError, NewProviderAttempt, ProviderAttempts};
pub use self::authorization::{AuthorizationRequest, AuthorizationUrl, STATE_PREFIX};
pub use self::callback::{CallbackParameters, CalledBackAttempt};
pub use self::check::ProviderReport;
pub use self::error::{IdTokenError, ProviderError};
pub use self::identity::{ProviderIdentity, ProviderTokens};
pub use self::registry::{Provider, ProviderCallback, Providers};
pub use self::store::{
    Identities, LinkError, LinkOwner, OpenAccountError, ProviderAccount, StoredIdentity, list,
};
