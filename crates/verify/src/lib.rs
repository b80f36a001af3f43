//! Verification of dualauth's access tokens in other services.
//!
#![doc = include_str!("../README.md")]

mod claims;
mod client;
mod clock;
mod core;
mod error;
mod feed;
mod follower;
mod key;
mod key_fetch;
mod key_set;
mod rejection;
mod revocations;
mod settings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verified_tokens;
mod verifier;

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "tower")]
pub mod tower;

pub use claims::Claims;
pub use error::{BuildError, VerifyError};
pub use rejection::{Rejection, bearer_token};
pub use settings::{Builder, WhenStale};
pub use verifier::Verifier;
