//! Promises about keys and ID tokens that need no provider.
