//! The service below a path of its host, behind an nginx that passes the path on, and behind one that takes it off.

use crate::{
    base_path::{
        BELOW_A_PATH, ISSUER_WITH_A_SLASH, assert_metadata_is_found, assert_pages_are_below_the_path,
        assert_serves_below_the_path,
    },
    external::nginx::Nginx,
    support::{client::Pair, server::TestServer},
};

promises! { of every pair:
    one_registers_signs_in_and_signs_out_below_the_path,
}

const KEPT: &str = "proxy_pass http://dualauth;";
const TAKEN_OFF: &str = "proxy_pass http://dualauth/;";

async fn one_registers_signs_in_and_signs_out_below_the_path(pair: Pair) {
    for pass in [KEPT, TAKEN_OFF] {
        let server = TestServer::with(&[BELOW_A_PATH]).await;
        let nginx = Nginx::at_a_path(&server, pass).await;
        assert_serves_below_the_path(nginx.address(), pair).await;
    }
}

#[tokio::test]
async fn pages_and_what_they_link_to_are_below_the_path() {
    let server = TestServer::with(&[BELOW_A_PATH]).await;
    for pass in [KEPT, TAKEN_OFF] {
        let nginx = Nginx::at_a_path(&server, pass).await;
        assert_pages_are_below_the_path(nginx.address()).await;
    }
}

#[tokio::test]
async fn programs_find_the_metadata_of_an_issuer_with_a_path() {
    let server = TestServer::with(&[ISSUER_WITH_A_SLASH]).await;
    let nginx = Nginx::at_a_path(&server, TAKEN_OFF).await;
    assert_metadata_is_found(nginx.address()).await;
}
