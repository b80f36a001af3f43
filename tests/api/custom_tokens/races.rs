//! Many at once, on two nodes and through a kill: a token is good for exactly its uses, and each operation is one statement.

use futures_util::future::join_all;
use serde_json::json;

use super::{invitation, invitation_of, rows};
use crate::nodes::{GENEROUS, sql, two_nodes};
use crate::oauth::Service;
use crate::support::{
    cluster::Database,
    program::{Server, folder},
    random::Random,
    server::{CHEAP, ONE_NAME, TestServer},
    with,
};

#[tokio::test]
async fn of_fifty_at_once_on_two_nodes_exactly_as_many_succeed_as_it_has_uses() {
    let (server, other) = two_nodes(&[GENEROUS]).await;
    let service = Service::registered(&server).await;
    let ada = server.user("ada").await;
    for (uses, user) in [(1, None), (7, None), (50, None), (7, Some(&ada))] {
        let body = user.map_or_else(invitation, |user| invitation_of(user));
        let token = service.creates(&server, &with(body, "uses", uses)).await;
        let at_once = (0..50).map(|number| {
            let node = if number % 2 == 0 { &server } else { &other };
            service.redeems(node, &token)
        });
        let mut left = Vec::new();
        for response in join_all(at_once).await {
            if response.status == 200 {
                left.push(response.json()["uses_left"].as_i64().expect("a number"));
            } else {
                response.problem(404, "not_found");
            }
        }
        left.sort_unstable();
        // Each use is told another number of those that are left.
        assert_eq!(left, (0..uses).collect::<Vec<i64>>());
    }
}

#[tokio::test]
async fn a_token_is_redeemed_or_deleted_first_and_never_redeemed_later() {
    let (server, other) = two_nodes(&[GENEROUS]).await;
    let service = Service::registered(&server).await;
    for _ in 0..5 {
        let token = service.creates(&server, &with(invitation(), "uses", 1_000)).await;
        let redeeming = join_all((0..10).map(|_| service.redeems(&other, &token)));
        let deleting = server.send(service.deletion(&token.id));
        let (redeemed, deleted) = futures_util::future::join(redeeming, deleting).await;
        deleted.expect(204);
        assert!(redeemed.iter().all(|response| matches!(response.status, 200 | 404)), "{redeemed:#?}");
        service.redeems(&other, &token).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn nobody_gets_a_token_that_outlives_its_user() {
    let (server, other) = two_nodes(&[GENEROUS]).await;
    let service = Service::registered(&server).await;
    for round in 0..5 {
        let user = server.user(&format!("user-{round}")).await;
        let creating = join_all((0..10).map(|number| {
            let node = if number % 2 == 0 { &server } else { &other };
            node.send(service.creation(&invitation_of(&user)))
        }));
        let delete = format!("delete from users where id = '{user}'");
        let (made, ()) = futures_util::future::join(creating, sql(&server, &delete)).await;
        for response in made.into_iter().filter(|response| response.status != 201) {
            response.points_at(&["/user_id"]);
        }
        assert_eq!(rows(&server).await, Vec::<String>::new());
    }
}

/// The service, of which a node that was just started knows by then.
fn settings(database: &Database) -> Vec<(&str, &str)> {
    [CHEAP, &[ONE_NAME, GENEROUS, ("DATABASE_URL", database.url().as_str())]].concat()
}

#[tokio::test]
async fn a_use_that_was_acknowledged_outlives_a_kill() {
    let (database, folder) = (Database::migrated().await, folder());
    let service = Service::registered_in(database.connect().await).await;
    let mut server = Server::start(&folder, &settings(&database)).await;
    let made = server.send(service.creation(&with(invitation(), "uses", 1_000))).await.expect(201).json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let mut random = Random::new(20_261_127, 0);
    let mut redeemed = 0;
    for _ in 0..3 {
        let address = server.address();
        let redeeming = async {
            let (mut redeemed, mut tried) = (0, 0);
            loop {
                tried += 1;
                match service.redemption(&token, "invitation").attempt(address).await {
                    Ok(response) if response.status == 200 => redeemed += 1,
                    _ => return (redeemed, tried),
                }
            }
        };
        let killing = async {
            tokio::time::sleep(random.millis(20..120)).await;
            server.child.kill().await.expect("it dies");
        };
        let ((told, tried), ()) = futures_util::future::join(redeeming, killing).await;
        server = Server::start(&folder, &settings(&database)).await;
        let next = server.send(service.redemption(&token, "invitation")).await.ok();
        let used = 1_000 - next["uses_left"].as_i64().expect("a number");
        // What was told was used; the one that was never answered may have been.
        assert!(
            (redeemed + told + 1..=redeemed + tried + 1).contains(&used),
            "{used} of {redeemed}, {told}, {tried}"
        );
        redeemed = used;
    }
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn each_operation_is_one_statement() {
    let (server, proxy) = TestServer::behind_a_proxy(&[GENEROUS, ONE_NAME]).await;
    let service = Service::registered(&server).await;
    let ada = server.user("ada").await;
    let made = service.creates(&server, &with(invitation_of(&ada), "data", json!([1]))).await;
    for (request, status, count) in [
        (service.creation(&invitation_of(&ada)), 201, 1),
        (service.redemption(&made.token, "invitation"), 200, 1),
        (service.redemption(&made.token, "invitation"), 404, 1),
        // What can be no token is not looked for.
        (service.redemption("dat_x", "invitation"), 404, 0),
        (service.deletion(&made.id), 204, 1),
    ] {
        proxy.take_statements();
        server.send(request).await.expect(status);
        let statements = proxy.take_statements();
        assert_eq!(statements.of_requests().len(), count, "{statements:?}");
    }
}
