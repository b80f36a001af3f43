//! Whatever ends a credential on one node, or past all of them, ends it on every other in time.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;

use super::{BOUND, PAIRS, assert_accepted, assert_refused_in_time, sql, two_nodes};
use crate::support::{
    PASSWORD, SECOND,
    client::{Client, Pair},
    eventually,
    http::Request,
    server::TestServer,
};

/// A device on which somebody is signed in, known to both nodes and in use there; and another one of theirs.
struct Person {
    victim: Client,
    there: Client,
    other: Client,
}

async fn people(server: &TestServer, elsewhere: &TestServer, pairs: &[Pair]) -> Vec<Person> {
    let mut people = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        let name = format!("person-{number}");
        let victim = Client::of_new_user(server, *pair, &name).await;
        let other = Client::signed_in(server, Pair::SESSION_BEARER, &name).await;
        let there = victim.at(elsewhere);
        for client in [&victim, &there, &other.at(elsewhere)] {
            assert_accepted(client).await;
        }
        people.push(Person { victim, there, other });
    }
    people
}

/// Ends a credential of each pair on one node, and asserts that both refuse it in time. `end` returns when it was told
/// that it is done. Gives the other devices.
async fn assert_ends(pairs: &[Pair], end: impl AsyncFn(&TestServer, &Person)) -> Vec<Client> {
    let (server, elsewhere) = two_nodes(&[]).await;
    let people = people(&server, &elsewhere, pairs).await;
    let ends = people.iter().map(async |person| {
        end(&server, person).await;
        let acknowledged = Instant::now();
        assert_refused_in_time(&person.there, acknowledged).await;
        assert_refused_in_time(&person.victim, acknowledged).await;
    });
    join_all(ends).await;
    let others = people.iter().map(|person| person.other.clone()).collect::<Vec<_>>();
    for other in &others {
        // A server goes when its test does: what is said of the others is said here.
        let is_live = other.profile().await.status == 200;
        assert_eq!(is_live, other.at(&elsewhere).profile().await.status == 200);
    }
    others
}

/// The same, of an end that concerns nobody else.
async fn assert_ends_alone(pairs: &[Pair], end: impl AsyncFn(&TestServer, &Person)) {
    assert_ends(pairs, async |server, person| {
        end(server, person).await;
        assert_accepted(&person.other).await;
    })
    .await;
}

#[tokio::test]
async fn a_logout_is_kept_by_every_node() {
    assert_ends_alone(&PAIRS, async |_, person| {
        person.victim.clone().logout().await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_login_that_is_signed_out_from_the_list_is_refused_by_every_node() {
    assert_ends_alone(&PAIRS, async |_, person| {
        let id = person.victim.login_id().await;
        let delete = person.other.request("DELETE", &format!("/account/logins/{id}"));
        person.other.clone().send(delete).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_logout_everywhere_is_kept_by_every_node() {
    assert_ends(&PAIRS, async |_, person| {
        let everywhere = person.other.request("POST", "/session/logout-all");
        person.other.clone().send(everywhere).await.expect(204);
        assert_refused_in_time(&person.other, Instant::now()).await;
    })
    .await;
}

#[tokio::test]
async fn a_change_of_the_password_ends_every_other_login_on_every_node() {
    assert_ends_alone(&PAIRS, async |_, person| {
        let body = json!({ "current_password": PASSWORD, "new_password": "another lantern over the weir" });
        let change = person.other.request("POST", "/account/password").json(&body);
        person.other.clone().send(change).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_session_id_that_was_changed_is_refused_by_every_node_after_its_grace() {
    assert_ends_alone(&[Pair::SESSION_COOKIE, Pair::SESSION_BEARER], async |server, person| {
        let mut renewed = person.victim.clone();
        renewed.refresh().await.ok();
        assert_accepted(&renewed).await;
        server.clock.advance(30 * SECOND);
    })
    .await;
}

#[tokio::test]
async fn a_login_that_another_took_the_place_of_is_refused_by_every_node() {
    assert_ends_alone(&[Pair::SESSION_COOKIE, Pair::JWT_COOKIE], async |_, person| {
        let name = person.victim.profile().await.ok()["username"].to_string();
        let mut next = person.victim.clone();
        next.login(&person.victim.pair.credentials(name.trim_matches('"'))).await.ok();
        assert_accepted(&next).await;
    })
    .await;
}

#[tokio::test]
async fn the_theft_of_a_refresh_token_ends_its_login_on_every_node() {
    assert_ends_alone(&[Pair::JWT_COOKIE, Pair::JWT_BEARER], async |server, person| {
        let mut renewed = person.victim.clone();
        renewed.refresh().await.ok();
        server.clock.advance(30 * SECOND);
        renewed.refresh().await.ok();
        let stolen = Request::post("/jwt/refresh").json(&json!({ "refresh_token": person.victim.renewal() }));
        server.send(stolen).await.problem(401, "refresh_token_reused");
    })
    .await;
}

#[tokio::test]
async fn a_user_who_is_disabled_is_signed_out_on_every_node() {
    let others = assert_ends(&PAIRS, async |server, person| {
        let id = user_id(&person.victim).await;
        sql(server, &format!("update users set disabled_at = now() where id = '{id}'")).await;
    })
    .await;
    assert_eq!(others.len(), PAIRS.len());
}

#[tokio::test]
async fn what_an_operator_ends_by_sql_is_refused_by_every_node() {
    assert_ends_alone(&PAIRS, async |server, person| {
        let id = person.victim.login_id().await;
        sql(server, &format!("update logins set ended_at = now() where id = '{id}'")).await;
    })
    .await;
}

#[tokio::test]
async fn what_an_operator_deletes_is_refused_by_every_node() {
    assert_ends_alone(&PAIRS, async |server, person| {
        let id = person.victim.login_id().await;
        sql(server, &format!("delete from logins where id = '{id}'")).await;
    })
    .await;
    assert_ends(&PAIRS, async |server, person| {
        let id = user_id(&person.victim).await;
        sql(server, &format!("delete from users where id = '{id}'")).await;
    })
    .await;
}

async fn user_id(client: &Client) -> String {
    let profile = client.profile().await.ok();
    crate::support::text(&profile["user_id"]).to_owned()
}

async fn set_roles(server: &TestServer, client: &Client, roles: &str) {
    let id = user_id(client).await;
    sql(server, &format!("update users set roles = '{{{roles}}}' where id = '{id}'")).await;
}

#[tokio::test]
async fn an_access_token_with_other_roles_is_refused_by_every_node_and_a_refresh_brings_the_new_ones() {
    let (server, elsewhere) = two_nodes(&[]).await;
    for person in people(&server, &elsewhere, &[Pair::JWT_COOKIE, Pair::JWT_BEARER]).await {
        set_roles(&server, &person.victim, "user,auditor").await;
        let acknowledged = Instant::now();
        assert_refused_in_time(&person.there, acknowledged).await;
        assert_refused_in_time(&person.victim, acknowledged).await;

        let mut renewed = person.there.clone();
        renewed.refresh().await.ok();
        for client in [&renewed, &renewed.at(&server)] {
            let profile = client.profile().await.ok();
            assert_eq!(profile["roles"], json!(["user", "auditor"]));
        }
    }
}

#[tokio::test]
async fn a_session_shows_new_roles_on_every_node_in_time() {
    let (server, elsewhere) = two_nodes(&[]).await;
    for person in people(&server, &elsewhere, &[Pair::SESSION_COOKIE, Pair::SESSION_BEARER]).await {
        set_roles(&server, &person.victim, "user,auditor").await;
        let acknowledged = Instant::now();
        for client in [&person.victim, &person.there] {
            eventually("the new roles", async || {
                let sent = Instant::now();
                let profile = client.profile().await.ok();
                let is_new = profile["roles"] == json!(["user", "auditor"]);
                assert!(is_new || sent <= acknowledged + BOUND, "{profile}");
                is_new
            })
            .await;
        }
    }
}

/// What nodes know of a user's roles must not outlive the roles: there is nobody whose tokens the second change could
/// speak against, and still it has to be told.
#[tokio::test]
async fn who_signs_in_after_two_changes_of_roles_is_accepted_by_every_node() {
    let (server, elsewhere) = two_nodes(&[]).await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut person = people(&server, &elsewhere, &[pair]).await.remove(0);
        let name = crate::support::text(&person.other.profile().await.ok()["username"]).to_owned();
        set_roles(&server, &person.other, "user,auditor").await;
        assert_refused_in_time(&person.there, Instant::now()).await;
        person.victim.refresh().await.ok();
        person.victim.logout().await.expect(204);
        set_roles(&server, &person.other, "user").await;

        let back = Client::signed_in(&server, pair, &name).await;

        for client in [&back, &back.at(&elsewhere)] {
            assert_accepted(client).await;
        }
        sql(&server, "delete from users").await;
    }
}
