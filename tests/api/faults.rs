//! Clients that hang up, a Postgres in trouble, a program that is stopped or killed: what was acknowledged holds, and
//! nobody is told a lie.

mod kills;
mod postgres;
mod resets;
mod stops;

use std::{sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use sqlx::{Connection, PgConnection};
use url::Url;

use crate::support::{
    MINUTE,
    client::{Client, Mode, Pair},
    cluster::Database,
    eventually,
    http::{Request, Response},
    people,
    proxy::Proxy,
    server::{ONE_NAME, TestServer, credentials, registration},
    with,
};

/// One after the other: requests that write, each reset somewhere on its way.
async fn resetting_people(server: &TestServer, lane: usize) {
    for number in 0..60 {
        let mode = Pair::ALL[number % Pair::ALL.len()].mode;
        let victim = Client::signed_in(server, Pair::ALL[(lane + number) % Pair::ALL.len()], "victim");
        let request = match number % 5 {
            0 => victim.await.refresh_request(),
            1 => {
                let victim = victim.await;
                victim.request("POST", &victim.path("logout"))
            }
            2 => Request::post(&mode.path("login")).json(&credentials("victim")),
            _ => {
                let name = format!("ghost-{lane}-{number}");
                Request::post(&mode.path("register")).json(&registration(&name))
            }
        };
        let after = Duration::from_millis((number as u64 * 7 + lane as u64 * 3) % 90);
        request.send_and_reset(server.address(), after).await;
    }
}

async fn begin_twice(database: &Url) {
    let mut connection = PgConnection::connect(database.as_str()).await.expect("a connection");
    sqlx::raw_sql("begin; begin; rollback").execute(&mut connection).await.expect("a warning, no more");
}

#[tokio::test]
async fn resets_lose_no_acknowledged_write() {
    let (mut server, proxy) = TestServer::behind_a_proxy(&[ONE_NAME]).await;
    server.user("victim").await;
    proxy.set_delay(Duration::from_millis(20));

    let resetting = join_all((0..8).map(|lane| resetting_people(&server, lane)));
    let (people, _) = people::live_through(server.address(), "honest", resetting).await;
    assert!(!people.is_empty() && people.iter().all(|person| person.is_served));

    assert_eq!(proxy.transactions_begun_twice(), 0);
    // Had there been one, it would have been heard.
    begin_twice(proxy.url()).await;
    assert_eq!(proxy.transactions_begun_twice(), 1);

    // What hides in an open transaction goes with its connection.
    proxy.set_delay(Duration::ZERO);
    server.stop().await;
    let server = server.another_node().await;
    people::assert_kept(&people, server.address()).await;
}

#[tokio::test]
async fn a_logged_out_login_does_not_rise_again() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.user("ada").await;
    proxy.set_delay(Duration::from_millis(5));
    for pair in Pair::ALL {
        for offset in 0..12 {
            let first = Client::signed_in(&server, pair, "ada").await;
            let (mut leaving, mut renewing) = (first.clone(), first.clone());
            let logout = async {
                tokio::time::sleep(Duration::from_millis(offset * 4)).await;
                leaving.logout().await
            };
            let used = async {
                first.profile().await;
                renewing.refresh().await
            };
            let (logout, _) = join(logout, used).await;

            if logout.status == 204 {
                for client in [first, renewing] {
                    let response = client.profile().await;
                    assert_eq!(response.status, 401, "{pair:?} {offset}: {response}");
                    let response = client.clone().refresh().await;
                    assert_eq!(response.status, 401, "{pair:?} {offset}: {response}");
                }
            } else {
                // It came too late: what it showed had been renewed.
                logout.expect(401);
                renewing.profile().await.ok();
            }
        }
    }
}

/// A server with one signed-in client for each pair, and its way to Postgres.
async fn before_the_outage() -> (TestServer, Proxy, Vec<Client>) {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.user("ada").await;
    let mut clients = Vec::new();
    for pair in Pair::ALL {
        clients.push(Client::signed_in(&server, pair, "ada").await);
    }
    (server, proxy, clients)
}

fn unavailable(response: Response) {
    let response = response.problem(503, "unavailable");
    assert_eq!(response.set_cookies(), []);
}

/// Asserts that while Postgres is lost nothing is answered that only it can know.
async fn assert_honest_in_an_outage(server: &TestServer, clients: &[Client]) {
    let mut requests = Vec::new();
    for client in clients {
        let wrong = with(credentials("ada"), "password", "no lantern, no weir");
        requests.extend([
            Request::post(&client.path("register")).json(&registration("grace")),
            Request::post(&client.path("login")).json(&credentials("ada")),
            Request::post(&client.path("login")).json(&wrong),
            Request::post(&client.path("login")).json(&credentials("nobody")),
            client.refresh_request(),
            client.request("POST", &client.path("logout")),
        ]);
    }
    let answers = requests.iter().map(|request| server.send(request.clone()));
    join_all(answers).await.into_iter().for_each(unavailable);

    let profiles = clients.iter().flat_map(|client| {
        [client.path("profile"), "/profile".to_owned()].map(|path| assert_honest_profile(client, path))
    });
    join_all(profiles).await;
}

async fn assert_honest_profile(client: &Client, path: String) {
    match client.pair.mode {
        // Its claims speak for themselves.
        Mode::Jwt => {
            client.get(&path).await.ok();
        }
        // What is known well enough may be served, for the staleness bound.
        Mode::Session => {
            eventually("a session that is not served any longer", async || {
                let response = client.get(&path).await;
                response.status != 200 && {
                    unavailable(response);
                    true
                }
            })
            .await;
        }
    }
}

/// Asserts that everything is served again, and nobody told anything but 503 meanwhile.
async fn assert_recovers(clients: &mut [Client]) {
    for client in clients {
        eventually("a new login", async || {
            let response = Client::clone(client).login(&client.pair.credentials("ada")).await;
            response.status == 200 || {
                unavailable(response);
                false
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_postgres_that_is_away_is_unavailable_until_it_is_back() {
    let (server, proxy, mut clients) = before_the_outage().await;

    proxy.go_away();
    assert_honest_in_an_outage(&server, &clients).await;
    proxy.come_back();

    assert_recovers(&mut clients).await;
}

#[tokio::test]
async fn a_postgres_that_says_nothing_is_unavailable_until_it_is_back() {
    let (server, proxy, mut clients) = before_the_outage().await;

    proxy.fall_silent();
    assert_honest_in_an_outage(&server, &clients).await;
    proxy.come_back();

    assert_recovers(&mut clients).await;
}

#[tokio::test]
async fn a_login_outlives_an_outage() {
    let (_server, proxy, clients) = before_the_outage().await;

    proxy.go_away();
    for client in &clients {
        unavailable(client.clone().refresh().await);
    }
    proxy.come_back();

    for client in clients {
        eventually("a profile", async || {
            let response = client.profile().await;
            response.status == 200 || {
                unavailable(response);
                false
            }
        })
        .await;
        client.clone().refresh().await.ok();
    }
}

/// Hashing that takes its time, one at a time.
const SLOW_HASHES: [(&str, &str); 3] =
    [("HASH_CONCURRENCY", "1"), ("ARGON2_MEMORY_KIB", "19456"), ("ARGON2_ITERATIONS", "2")];

#[tokio::test]
async fn a_storm_of_logins_is_served_or_told_to_come_again() {
    let server = TestServer::with(&SLOW_HASHES).await;
    let signed_in = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;

    let logins = (0..60).map(|_| {
        let login = Request::post("/jwt/login").json(&credentials("ada"));
        server.send(login)
    });
    let meanwhile = async {
        for _ in 0..20 {
            signed_in.profile().await.ok();
        }
    };
    let (answers, ()) = join(join_all(logins), meanwhile).await;

    let (served, told): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!served.is_empty());
    told.into_iter().for_each(unavailable);
}

#[tokio::test]
async fn resets_while_hashing_leave_room_for_others() {
    let server = TestServer::with(&SLOW_HASHES).await;
    server.user("ada").await;
    let login = Request::post("/session/login").json(&credentials("ada"));

    for wave in 0..4 {
        let resets = (0..15).map(|number| {
            let after = Duration::from_millis(number * 5 + wave);
            login.send_and_reset(server.address(), after)
        });
        join_all(resets).await;
    }

    eventually("a login", async || {
        let response = server.send(login.clone()).await;
        response.status == 200 || {
            unavailable(response);
            false
        }
    })
    .await;
}

#[tokio::test]
async fn nodes_that_start_at_once_share_one_schema_and_one_secret() {
    let database = Arc::new(Database::empty().await);
    let no_secret = [ONE_NAME, ("APP_SECRET", "")];

    let nodes = (0..3).map(|_| TestServer::on(database.clone(), &no_secret));
    let nodes = join_all(nodes).await;

    nodes[0].user("ada").await;
    for pair in Pair::ALL {
        let client = Client::signed_in(&nodes[0], pair, "ada").await;
        for node in &nodes[1..] {
            client.at(node).profile().await.ok();
        }
        let mut client = client.at(&nodes[1]);
        client.refresh().await.ok();
        client.at(&nodes[2]).logout().await.expect(204);
    }
}

#[tokio::test]
async fn a_session_in_use_lives_on_while_its_use_is_written_down() {
    let settings = [("SESSION_LOOKUP", "always"), ("LAST_SEEN_INTERVAL", "1s"), ("SESSION_TTL", "3650d")];
    let (server, proxy) = TestServer::behind_a_proxy(&settings).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    // So slow that a write is always under way while somebody asks.
    proxy.set_delay(Duration::from_millis(20));

    for _ in 0..100 {
        server.clock.advance(20 * MINUTE);
        client.profile().await.ok();
    }
}

#[tokio::test]
async fn a_node_that_hears_late_of_new_roles_takes_the_token_that_has_them() {
    let database = Arc::new(Database::migrated().await);
    let proxy = Proxy::in_front_of(&database).await;
    let server = TestServer::on(database, &[ONE_NAME, ("STALENESS_BOUND", "1m")]).await;
    let late = server.another_node_with(&[("DATABASE_URL", proxy.url().as_str())]).await;
    server.user("ada").await;
    proxy.set_delay(Duration::from_millis(200));

    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        for roles in ["{user,editor}", "{user,admin}", "{user}"] {
            let before = client.at(&late);
            sqlx::query("update users set roles = $1::text::text[]")
                .bind(roles)
                .execute(&mut server.sql().await)
                .await
                .expect("other roles");
            // Not known here at once either: what a refresh signs is.
            client.refresh().await.ok();
            client.at(&late).profile().await.ok();
            client.profile().await.ok();
            eventually("the old roles' refusal", async || before.profile().await.status == 401).await;
            before.profile().await.problem(401, "token_revoked");
        }
    }
}
