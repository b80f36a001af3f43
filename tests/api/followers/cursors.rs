//! What a cursor is good for: it means the same on every node, and whatever can't be continued begins anew.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{AssertSqlSafe, PgConnection};

use super::Follower;
use crate::nodes::{GENEROUS, sql, two_nodes};
use crate::support::{
    client::{Client, Pair},
    eventually,
    server::{APP_SECRET, TestServer},
};

async fn run(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.expect("statements that run");
}

/// A login that has ended, and whose end each node has read.
async fn ended(nodes: &[&TestServer], name: &str) -> String {
    let mut client = Client::of_new_user(nodes[0], Pair::JWT_BEARER, name).await;
    let login = client.login_id().await;
    for node in nodes {
        client.at(node).profile().await.ok();
    }
    let there: Vec<_> = nodes.iter().map(|node| client.at(node)).collect();
    client.logout().await.expect(204);
    for client in there {
        crate::nodes::assert_refused_in_time(&client, std::time::Instant::now()).await;
    }
    login
}

#[tokio::test]
async fn any_node_goes_on_where_another_one_ended() {
    let (server, node) = two_nodes(&[GENEROUS]).await;
    let mut follower = Follower::up_to_date(&server).await;
    for (number, asked) in [&node, &server, &node, &node].into_iter().enumerate() {
        let login = ended(&[&server, &node], &format!("person-{number}")).await;
        let answer = follower.asks(asked).await;
        assert_eq!(answer["anew"], false);
        assert_eq!(answer["ended"].as_array().map(Vec::len), Some(1), "{answer}");
        assert_eq!(answer["ended"][0]["sid"], login);
    }
    assert_eq!(follower.ended.len(), 4);
}

#[tokio::test]
async fn a_cursor_that_is_not_ours_begins_anew() {
    let server = TestServer::with(&[GENEROUS]).await;
    let login = ended(&[&server], "ada").await;
    let follower = Follower::up_to_date(&server).await;
    let bytes = URL_SAFE_NO_PAD.decode(&follower.cursor).expect("base64url");
    let changed = (0..bytes.len()).map(|at| {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        URL_SAFE_NO_PAD.encode(changed)
    });
    let broken =
        ["x".to_owned(), "é".to_owned(), follower.cursor[1..].to_owned(), format!("{}A", follower.cursor)];
    for cursor in changed.chain(broken) {
        let mut other = Follower { cursor: cursor.clone(), ..follower.clone() };
        let answer = other.asks(&server).await;
        assert_eq!(
            (answer["anew"].as_bool(), other.ended.contains_key(&login)),
            (Some(true), true),
            "{cursor}"
        );
    }
    // While APP_SECRET is replaced, nodes with the new one know the old one, and not the other way round.
    let next = [("APP_SECRET", "another secret, of 32 bytes and more"), ("APP_SECRET_PREVIOUS", APP_SECRET)];
    let rotated = server.another_node_with(&next).await;
    let mut follower = follower.clone();
    assert_eq!(follower.asks(&rotated).await["anew"], false);
    assert_eq!(follower.asks(&server).await["anew"], true);
}

/// Whoever goes by the highest number that was told misses the first one here.
#[tokio::test]
async fn what_commits_late_is_told_though_later_ends_were_told_before() {
    let (server, node) = two_nodes(&[GENEROUS]).await;
    let late = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await.login_id().await;
    let mut follower = Follower::up_to_date(&server).await;
    let mut slow = server.sql().await;
    run(&mut slow, &format!("begin; update logins set ended_at = now() where id = '{late}'")).await;
    for number in 0..3 {
        let login = ended(&[&server, &node], &format!("person-{number}")).await;
        follower.asks(if number == 1 { &node } else { &server }).await;
        assert!(follower.ended.contains_key(&login) && !follower.ended.contains_key(&late));
    }
    run(&mut slow, "commit").await;
    follower.hears_of(&node, &late).await;
    let answer = follower.asks(&server).await;
    assert_eq!((answer["anew"].as_bool(), answer["ended"].as_array().map(Vec::len)), (Some(false), Some(0)));
}

/// A change of the same user commits first that was begun later.
#[tokio::test]
async fn roles_are_told_as_they_are_however_their_changes_commit() {
    let server = TestServer::with(&[GENEROUS]).await;
    let ada = server.user("ada").await;
    let mut follower = Follower::up_to_date(&server).await;
    let mut first = server.sql().await;
    run(&mut first, "begin; select pg_current_xact_id()").await;
    sql(&server, "update users set roles = '{editor}'").await;
    assert_eq!(follower.waits(&server).await["roles"][0]["roles"][0], "editor");
    run(&mut first, "update users set roles = '{user}'; commit").await;
    assert_eq!(follower.waits(&server).await["roles"][0]["roles"][0], "user");
    assert_eq!(follower.roles[&ada], serde_json::json!(["user"]));
}

#[tokio::test]
async fn many_revocations_are_told_in_parts_and_none_is_missed() {
    let (server, node) = two_nodes(&[GENEROUS]).await;
    let mut follower = Follower::up_to_date(&server).await;
    let flood = "insert into revocations (login_id, until) select gen_random_uuid(), '2032-01-01' from generate_series(1, 20000)";
    // In one transaction, and in many.
    sql(&server, flood).await;
    sql(
        &server,
        &"insert into revocations (login_id, until) values (gen_random_uuid(), '2032-01-01');".repeat(1_000),
    )
    .await;
    let last = ended(&[&server, &node], "ada").await;
    for anew in [false, true] {
        if anew {
            follower.cursor.clear();
        }
        let mut parts = 0;
        loop {
            let asked = if parts % 2 == 0 { &server } else { &node };
            let answer = follower.asks(asked).await;
            assert_eq!(answer["anew"], anew && parts == 0);
            parts += 1;
            if answer["more"] == false {
                break;
            }
            assert_eq!(answer["age_ms"], 600_000, "a part says nothing of what is known");
        }
        assert!(parts > 2, "{parts}");
        assert_eq!(follower.ended.len(), 21_001);
        assert!(follower.ended.contains_key(&last));
    }
}

#[tokio::test]
async fn what_has_expired_is_not_told_any_more() {
    let server = TestServer::with(&[GENEROUS]).await;
    let login = ended(&[&server], "ada").await;
    assert!(Follower::up_to_date(&server).await.ended.contains_key(&login));
    server.clock.advance(std::time::Duration::from_secs(40 * 60));
    let mut follower = Follower::of(&server).await;
    eventually("a node that has forgotten", async || {
        follower.cursor.clear();
        follower.asks(&server).await;
        follower.ended.is_empty()
    })
    .await;
}

/// A node reads everything again that may have been changed behind its back, and tells it again.
#[tokio::test]
async fn another_history_of_postgres_begins_anew() {
    let server = TestServer::with(&[GENEROUS]).await;
    let login = ended(&[&server], "ada").await;
    let mut follower = Follower::up_to_date(&server).await;
    // As every crash recovery does.
    sql(&server, "truncate history; select pg_notify('dualauth', '')").await;
    let answer = follower.waits(&server).await;
    assert_eq!((answer["anew"].as_bool(), follower.ended.contains_key(&login)), (Some(true), true));
    assert_eq!(follower.asks(&server).await["anew"], false);
}

/// What a node forgot too early, by a clock that was ahead, is told again when that is set back.
#[tokio::test]
async fn a_clock_that_was_ahead_hides_no_end() {
    let server = TestServer::with(&[GENEROUS]).await;
    let (twenty_minutes, jump) = (chrono::Duration::minutes(20), std::time::Duration::from_secs(40 * 60));
    let mut follower = Follower::up_to_date(&server).await;
    let login = "00000000-0000-4000-8000-000000000001";
    let end = "insert into revocations (login_id, until) values ($1::uuid, $2)";
    let until = server.clock.now() + twenty_minutes;
    sqlx::query(end).bind(login).bind(until).execute(&mut server.sql().await).await.expect("an end");
    follower.hears_of(&server, login).await;

    server.clock.advance(jump);
    // Only then has the node seen that clock.
    eventually("a node that read everything anew", async || follower.asks(&server).await["anew"] == true)
        .await;
    assert!(follower.ended.is_empty(), "{:?}", follower.ended);

    server.clock.set(server.clock.now() - jump);
    let answer = follower.waits(&server).await;
    assert_eq!((answer["anew"].as_bool(), follower.ended.contains_key(login)), (Some(true), true));
}
