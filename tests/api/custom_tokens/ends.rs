//! How tokens go: deleted by their maker, with their client or user, and swept away when they are over.

use super::{invitation, invitation_of, rows, stage};
use crate::nodes::{GENEROUS, sql};
use crate::oauth::Service;
use crate::support::{SECOND, eventually, server::TestServer, text, with};

#[tokio::test]
async fn a_token_is_deleted_by_its_maker_alone_and_may_be_gone_already() {
    let (server, service) = stage().await;
    let other = Service::registered(&server).await;
    let token = service.creates(&server, &with(invitation(), "uses", 2)).await;
    // Nobody is told whether there is such a token.
    server.send(other.deletion(&token.id)).await.expect(204).not_stored();
    service.redeems(&server, &token).await.expect(200);
    for _ in 0..2 {
        let deleted = server.send(service.deletion(&token.id)).await.expect(204).not_stored();
        assert_eq!(deleted.text(), "");
        service.redeems(&server, &token).await.problem(404, "not_found");
    }
    server.send(service.deletion("mine")).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_clients_and_a_users_tokens_go_with_them() {
    let (server, service) = stage().await;
    let other = Service::registered(&server).await;
    let ada = server.user("ada").await;
    for service in [&service, &other] {
        service.creates(&server, &invitation_of(&ada)).await;
        service.creates(&server, &invitation()).await;
    }
    sql(&server, &format!("delete from clients where id = '{}'", service.id)).await;
    assert_eq!(rows(&server).await.len(), 2);
    sql(&server, "delete from users").await;
    assert_eq!(rows(&server).await.len(), 1);
}

#[tokio::test]
async fn a_client_that_a_node_still_believes_in_gets_no_token() {
    let server = TestServer::with(&[GENEROUS]).await;
    let service = Service::registered(&server).await;
    let token = service.creates(&server, &invitation()).await;
    let silent = format!(
        "alter table clients disable trigger clients_changed; delete from clients where id = '{}';
         alter table clients enable trigger clients_changed",
        service.id
    );
    sql(&server, &silent).await;
    server.send(service.creation(&invitation())).await.oauth_problem(401, "invalid_credentials");
    server.send(service.redemption(&token.token, "invitation")).await.expect(404);
    server.send(service.deletion(&token.id)).await.expect(204);
}

#[tokio::test]
async fn what_is_long_over_is_swept_away_and_nothing_else() {
    let (server, service) = stage().await;
    let short = with(invitation(), "expires_in", 60);
    let expired = service.creates(&server, &short).await;
    let used = service.creates(&server, &invitation()).await;
    service.redeems(&server, &used).await.expect(200);
    server.clock.advance(61 * SECOND);
    let lately_expired = service.creates(&server, &short).await;
    let lately_used = service.creates(&server, &invitation()).await;
    let used_in_part =
        service.creates(&server, &with(with(invitation(), "uses", 2), "expires_in", 7_200)).await;
    for token in [&lately_used, &used_in_part] {
        service.redeems(&server, token).await.expect(200);
    }
    server.clock.advance(3_599 * SECOND);

    // A node sweeps when it starts.
    let _sweeping = server.another_node().await;

    eventually("two tokens are gone", async || rows(&server).await.len() == 3).await;
    let rows = rows(&server).await;
    for (token, is_left) in [
        (&expired, false),
        (&used, false),
        (&lately_expired, true),
        (&lately_used, true),
        (&used_in_part, true),
    ] {
        assert_eq!(rows.iter().any(|row| row.contains(&token.id)), is_left, "{rows:#?}");
    }
    assert_eq!(text(&service.redeems(&server, &used_in_part).await.ok()["id"]), used_in_part.id);
}
