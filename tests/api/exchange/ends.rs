//! Whatever ends a login ends it in both modes, on every node, in time.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::{WAYS, hand_off, with_token};
use crate::nodes::{assert_accepted, assert_refused_in_time, sql, two_nodes};
use crate::oauth::Service;
use crate::support::{
    PASSWORD,
    client::{Client, Mode, Pair},
    http::Request,
    server::TestServer,
};

/// Everything that presents one login: two credentials and, where it is a session's, an access token.
struct Presented {
    clients: Vec<Client>,
    /// Another login of the same user.
    other: Client,
    name: String,
}

async fn presented(server: &TestServer, elsewhere: &TestServer) -> Vec<Presented> {
    let mut all = Vec::new();
    for (number, (from, to)) in WAYS.into_iter().enumerate() {
        let name = format!("user-{number}");
        let one = Client::of_new_user(server, from, &name).await;
        let two = hand_off(elsewhere, &one.at(elsewhere), to).await;
        let session = if from.mode == Mode::Session { &one } else { &two };
        let token = with_token(server, session).await;
        let other = Client::signed_in(server, Pair::SESSION_BEARER, &name).await;
        let clients = vec![one, two, token];
        for client in &clients {
            for node in [server, elsewhere] {
                assert_accepted(&client.at(node)).await;
            }
        }
        all.push(Presented { clients, other, name });
    }
    all
}

async fn assert_ends(end: impl AsyncFn(&TestServer, &Presented)) {
    let (server, elsewhere) = two_nodes(&[]).await;
    let all = presented(&server, &elsewhere).await;
    let ends = all.iter().map(async |presented| {
        end(&server, presented).await;
        let acknowledged = Instant::now();
        for client in &presented.clients {
            for node in [&elsewhere, &server] {
                assert_refused_in_time(&client.at(node), acknowledged).await;
            }
            // Nor is anything left that renews it.
            let mut client = client.at(&elsewhere);
            if client.refresh_token.is_some() || client.bearer.is_none() {
                client.refresh().await.expect(401);
            }
        }
    });
    join_all(ends).await;
}

#[tokio::test]
async fn a_logout_in_the_mode_that_it_began_in() {
    assert_ends(async |_, presented| {
        presented.clients[0].clone().logout().await.expect(204);
        assert_accepted(&presented.other).await;
    })
    .await;
}

#[tokio::test]
async fn a_logout_in_the_mode_that_it_was_handed_off_to() {
    assert_ends(async |_, presented| {
        presented.clients[1].clone().logout().await.expect(204);
        assert_accepted(&presented.other).await;
    })
    .await;
}

#[tokio::test]
async fn a_logout_by_an_access_token_of_the_session() {
    assert_ends(async |_, presented| {
        presented.clients[2].clone().logout().await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn an_end_from_the_list() {
    assert_ends(async |server, presented| {
        let id = presented.clients[1].login_id().await;
        server.send(presented.other.request("DELETE", &format!("/account/logins/{id}"))).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_logout_everywhere_or_a_changed_password() {
    assert_ends(async |server, presented| {
        if presented.name.ends_with(['0', '2', '4', '6']) {
            server.send(presented.other.request("POST", "/session/logout-all")).await.expect(204);
        } else {
            let body =
                json!({ "current_password": PASSWORD, "new_password": "another lantern over the weir" });
            server.send(presented.other.request("POST", "/account/password").json(&body)).await.expect(204);
        }
    })
    .await;
}

#[tokio::test]
async fn a_user_who_is_disabled_or_deleted_past_all_nodes() {
    assert_ends(async |server, presented| {
        let name = &presented.name;
        let statement = if name.ends_with(['0', '2', '4', '6']) {
            format!("update users set disabled_at = now() where username = '{name}'")
        } else {
            format!("delete from users where username = '{name}'")
        };
        sql(server, &statement).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_revokes_any_of_its_tokens() {
    let (server, elsewhere) = two_nodes(&[]).await;
    let service = Service::registered(&server).await;
    for (number, (from, to)) in
        WAYS.into_iter().enumerate().filter(|(_, (from, to))| !from.by_cookie() && !to.by_cookie())
    {
        for revoked in [0, 1] {
            let one = Client::of_new_user(&server, from, &format!("user-{number}-{revoked}")).await;
            let two = hand_off(&elsewhere, &one.at(&elsewhere), to).await;
            let clients = [one, two];
            let form = [("token", clients[revoked].renewal())];
            let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
            let request = Request::post("/jwt/revoke").basic(&service.id, &service.secret).form(&form);
            server.send(request).await.expect(200);
            let acknowledged = Instant::now();
            for client in &clients {
                assert_refused_in_time(&client.at(&elsewhere), acknowledged).await;
            }
        }
    }
}
