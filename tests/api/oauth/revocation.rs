//! What a service can end.

use std::time::Instant;

use dualauth::tokens::OpaqueToken;

use super::{REVOKE, Service, handle_in_cookie, inactive, stage};
use crate::nodes::{assert_accepted, assert_refused_in_time, two_nodes};
use crate::support::{
    HOUR, MINUTE,
    client::{Client, Mode, Pair},
    http::Request,
    server::TestServer,
};

/// Asserts that every credential of this login is dead on both nodes, and no other login's.
async fn assert_ends(nodes: [&TestServer; 2], service: &Service, client: Client, token: &str) {
    let neighbour = Client::signed_in(nodes[0], client.pair, "ada").await;
    for node in nodes {
        assert_accepted(&client.at(node)).await;
    }

    let response = service.revokes(nodes[0], token).await.expect(200).not_stored();
    let acknowledged = Instant::now();

    assert_eq!((response.text().as_str(), response.header("content-type")), ("", None));
    client.assert_refused(client.pair.mode.ended()).await;
    assert_refused_in_time(&client.at(nodes[1]), acknowledged).await;
    client.at(nodes[1]).assert_refused(client.pair.mode.ended()).await;
    for node in nodes {
        assert_eq!(service.is_told(node, &client.credential()).await, inactive());
        assert_eq!(service.revokes(node, token).await.expect(200).text(), "");
    }
    neighbour.assert_goes_on().await;
}

#[tokio::test]
async fn whichever_token_is_revoked_its_login_ends_on_every_node() {
    let (server, node) = two_nodes(&[]).await;
    server.user("ada").await;
    let service = Service::registered(&server).await;
    for pair in [Pair::SESSION_BEARER, Pair::JWT_BEARER, Pair::JWT_COOKIE] {
        for token in [Client::credential, Client::renewal] {
            let client = Client::signed_in(&server, pair, "ada").await;
            let token = token(&client);
            assert_ends([&server, &node], &service, client, &token).await;
        }
    }
}

#[tokio::test]
async fn a_token_that_was_replaced_or_ran_out_still_ends_its_login() {
    let (server, service) = stage(&[]).await;
    for pair in [Pair::SESSION_BEARER, Pair::JWT_BEARER, Pair::JWT_COOKIE] {
        for token in [Client::credential, Client::renewal] {
            let mut client = Client::signed_in(&server, pair, "ada").await;
            let neighbour = Client::signed_in(&server, pair, "ada").await;
            let old = token(&client);
            server.clock.advance(20 * MINUTE);
            client.refresh().await.ok();
            client.profile().await.ok();
            server.clock.advance(MINUTE);

            service.revokes(&server, &old).await.expect(200);

            client.assert_refused(pair.mode.ended()).await;
            let mut neighbour = neighbour;
            neighbour.refresh().await.ok();
        }
    }
}

#[tokio::test]
async fn a_token_with_roles_that_changed_still_ends_its_login() {
    let (server, service) = stage(&[]).await;
    let mut client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let old = client.credential();
    crate::nodes::sql(&server, "update users set roles = '{user,editor}'").await;
    client.refresh().await.ok();
    service.revokes(&server, &old).await.expect(200);
    client.assert_refused("token_revoked").await;
}

#[tokio::test]
async fn what_stands_for_nothing_is_answered_alike_and_ends_nothing() {
    let (server, service) = stage(&[]).await;
    let elsewhere =
        TestServer::with(&[("APP_SECRET", "another service's secret of 32 bytes and more")]).await;
    let stranger = Client::of_new_user(&elsewhere, Pair::JWT_BEARER, "ada").await;
    let by_cookie = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    let jwt = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let forged = |token: String| {
        let at = token.len() - 10;
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    };
    let mut gone = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    gone.logout().await.expect(204);

    for token in [
        "nothing",
        "dus_",
        "dur_",
        "eyJ",
        OpaqueToken::generate("dus_").reveal(),
        OpaqueToken::generate("dur_").reveal(),
        &forged(jwt.credential()),
        &forged(jwt.renewal()),
        &stranger.credential(),
        &stranger.renewal(),
        // A session's cookie is no token, nor is what it carries.
        &by_cookie.credential(),
        &handle_in_cookie(&by_cookie),
        &by_cookie.login_id().await,
        &gone.credential(),
    ] {
        let response = service.revokes(&server, token).await.expect(200).not_stored();
        assert_eq!((response.text().as_str(), response.header("content-type")), ("", None), "{token}");
    }
    for client in [by_cookie, jwt] {
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_login_that_is_long_over_is_answered_alike() {
    let (server, service) = stage(&[]).await;
    for pair in [Pair::SESSION_BEARER, Pair::JWT_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        server.clock.advance(48 * HOUR);
        for token in [client.credential(), client.renewal()] {
            assert_eq!(service.revokes(&server, &token).await.expect(200).text(), "");
        }
    }
}

#[tokio::test]
async fn a_hint_that_is_wrong_keeps_nothing_alive() {
    let (server, service) = stage(&[]).await;
    for (pair, hint) in [
        (Pair::SESSION_BEARER, "refresh_token"),
        (Pair::JWT_BEARER, "refresh_token"),
        (Pair::JWT_BEARER, "session_token"),
    ] {
        let client = Client::signed_in(&server, pair, "ada").await;
        let form = [("token_type_hint", hint), ("token", &client.credential())];
        let request = Request::post(REVOKE).basic(&service.id, &service.secret).form(&form);
        assert_eq!(server.send(request).await.expect(200).text(), "");
        client.assert_refused(pair.mode.ended()).await;
    }
}

#[tokio::test]
async fn a_logout_that_another_node_did_not_answer_yet_is_known_where_a_revocation_is_answered() {
    let (server, node) = two_nodes(&[("STALENESS_BOUND", "60s")]).await;
    server.user("ada").await;
    let service = Service::registered(&server).await;
    for pair in [Pair::SESSION_BEARER, Pair::JWT_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        assert_accepted(&client.at(&node)).await;
        // Ended, and no bell rings for it.
        let end = "alter table revocations disable trigger revocations_ring;
                   update logins set ended_at = renewed_at;
                   alter table revocations enable trigger revocations_ring;";
        crate::nodes::sql(&server, end).await;
        service.revokes(&node, &client.credential()).await.expect(200);
        let code = if pair.mode == Mode::Session { "session_expired" } else { "token_revoked" };
        client.at(&node).assert_refused(code).await;
    }
}
