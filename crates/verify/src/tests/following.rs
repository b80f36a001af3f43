//! Following the feed: what is known when, and what is refused then.

use super::{becomes, claims_of_now, ready};
use crate::VerifyError;
use crate::testing::Dualauth;

#[tokio::test]
async fn a_good_token_is_accepted_until_its_login_ends() {
    let dualauth = Dualauth::start();
    let verifier = ready(&dualauth).await;
    let claims = claims_of_now(&verifier);
    let token = dualauth.key.token(&claims);
    let verified = verifier.verify(&token).await.expect("a good token");
    assert_eq!((verified.username.as_str(), verified.has_role("user")), ("ada", true));
    dualauth.end(&claims);
    becomes(&verifier, &token, Err(VerifyError::TokenRevoked)).await;
}
