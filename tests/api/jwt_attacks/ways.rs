//! The ways that a token comes: by each transport, where a JWT is asked for and where either credential will do.

use serde_json::json;

use super::forger::Forger;
use crate::support::{
    server::beginning,
    signer::{Role, key, message},
    with, without,
};

/// One of each kind of those that the other files have by the dozen.
#[tokio::test]
async fn a_forged_token_is_refused_whichever_way_it_comes() {
    for forger in Forger::all().await {
        let (header, claims) = (&forger.header, &forger.claims);
        let unsigned = format!("{}.", message(&with(header.clone(), "alg", "none"), claims));
        let strange = key(forger.key.algorithm, Role::Strange);
        for token in [
            unsigned,
            forger.token(&with(header.clone(), "crit", json!(["exp"])), claims),
            forger.token(header, &without(claims.clone(), "exp")),
            forger.token(header, &with(claims.clone(), "iss", "https://evil.example.org")),
            strange.token(header, claims),
            strange.token(&with(header.clone(), "kid", strange.kid()), claims),
            format!("{}A", forger.client.credential()),
        ] {
            forger.assert_refused_every_way(&token, "invalid_token").await;
        }
        let expired = with(claims.clone(), "exp", beginning().timestamp());
        forger.assert_refused_every_way(&forger.token(header, &expired), "token_expired").await;
    }
}
