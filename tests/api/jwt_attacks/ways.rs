//! The ways that a token comes: by each transport, where a JWT is asked for and where either credential will do.

use serde_json::json;

use super::forger::Forger;
use crate::support::{
    server::beginning,
    signer::{Role, key, message},
    with, without,
};

/// One of each kind of those that are tried by the dozen beside the code that reads tokens.
#[tokio::test]
async fn a_forged_token_is_refused_whichever_way_it_comes() {
    for forger in Forger::all().await {
        let (header, claims) = (&forger.header, &forger.claims);
        let unsigned = format!("{}.", message(&with(header.clone(), "alg", "none"), claims));
        let strange = key(forger.key.algorithm, Role::Strange);
        let good = forger.client.credential();
        let (_, signature) = good.rsplit_once('.').expect("a signature");
        let changed = message(header, &with(claims.clone(), "roles", json!(["admin"])));
        let [member, another_type] = [("crit", json!(["exp"])), ("typ", json!("JWT"))]
            .map(|(name, value)| with(header.clone(), name, value));
        let [issuer, audience] =
            ["iss", "aud"].map(|name| with(claims.clone(), name, "https://evil.example.org"));
        let [later, not_yet] =
            ["nbf", "iat"].map(|name| with(claims.clone(), name, beginning().timestamp() + 6));
        let twice = claims.to_string().replacen('{', r#"{"roles":["admin"],"#, 1);
        for token in [
            unsigned,
            forger.token(&member, claims),
            forger.token(&another_type, claims),
            forger.token(&without(header.clone(), "kid"), claims),
            forger.token(&json!([header["alg"], header["typ"], header["kid"]]), claims),
            forger.token(header, &without(claims.clone(), "exp")),
            forger.token(header, &with(claims.clone(), "roles", "admin")),
            forger.token(header, &twice),
            forger.token(header, &json!([claims])),
            forger.token(header, &issuer),
            forger.token(header, &audience),
            forger.token(header, &later),
            forger.token(header, &not_yet),
            forger.token(header, &good),
            strange.token(header, claims),
            strange.token(&with(header.clone(), "kid", strange.kid()), claims),
            forger.key.sign(&good),
            format!("{changed}.{signature}"),
            format!("{good}A"),
        ] {
            forger.assert_refused_every_way(&token, "invalid_token").await;
        }
        let expired = with(claims.clone(), "exp", beginning().timestamp());
        forger.assert_refused_every_way(&forger.token(header, &expired), "token_expired").await;
    }
}
