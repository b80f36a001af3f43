//! What nodes do by themselves: they write down which logins were used, and sweep away what is long over.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection};

use super::{GENEROUS, assert_accepted, sql, two_nodes};
use crate::support::{
    MINUTE, SECOND,
    client::{Client, Pair},
    eventually,
    server::{TestServer, beginning},
    statements::LAST_SEEN,
    with,
};

async fn times(server: &TestServer, column: &str) -> Vec<DateTime<Utc>> {
    let mut connection = server.sql().await;
    let query = format!("select {column} from logins order by id");
    let times = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.expect("times");
    connection.close().await.expect("a connection that can be closed");
    times
}

#[tokio::test]
async fn a_session_used_on_one_node_stays_live_on_every_other() {
    let (server, elsewhere) = two_nodes(&[("LAST_SEEN_INTERVAL", "1s"), ("SESSION_IDLE_TTL", "30m")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    assert_accepted(&client.at(&elsewhere)).await;
    for round in 1..4 {
        server.clock.advance(20 * MINUTE);
        assert_accepted(&client).await;
        let now = beginning() + round * 20 * MINUTE;
        eventually("its use is written down", async || times(&server, "last_seen_at").await == [now]).await;
    }
    // Here it was used an hour ago.
    assert_accepted(&client.at(&elsewhere)).await;
    server.clock.advance(31 * MINUTE);
    for node in [&server, &elsewhere] {
        client.at(node).profile().await.problem(401, "session_expired");
    }
}

#[tokio::test]
async fn uses_are_written_down_together_and_at_the_latest_when_the_node_stops() {
    let settings = [GENEROUS, ("LAST_SEEN_INTERVAL", "24h"), ("SESSION_IDLE_TTL", "20h")];
    let (mut server, proxy) = TestServer::behind_a_proxy(&settings).await;
    server.user("ada").await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await);
    }
    proxy.take_statements();
    server.clock.advance(MINUTE);
    for client in &clients {
        assert_accepted(client).await;
        assert_accepted(client).await;
    }
    assert_eq!(times(&server, "last_seen_at").await, vec![beginning(); 30]);
    assert_eq!(proxy.take_statements().count(LAST_SEEN), 0);

    server.stop().await;

    assert_eq!(times(&server, "last_seen_at").await, vec![beginning() + MINUTE; 30]);
    assert_eq!(proxy.take_statements().count(LAST_SEEN), 1);
}

/// An interval that is not set goes by the idle time of each kind of login: here it is two seconds, and an hour.
#[tokio::test]
async fn a_login_that_is_remembered_for_long_is_written_down_seldom() {
    let (mut server, proxy) = TestServer::behind_a_proxy(&[("SESSION_IDLE_TTL", "4s")]).await;
    let brief = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let mut long = Client::new(&server, Pair::SESSION_BEARER);
    long.login(&with(long.pair.credentials("ada"), "remember_me", true)).await.ok();
    proxy.take_statements();
    server.clock.advance(SECOND);
    let (before, used) = (beginning(), beginning() + SECOND);
    for client in [&brief, &long] {
        assert_accepted(client).await;
        assert_accepted(client).await;
    }
    eventually("the brief one's use", async || times(&server, "last_seen_at").await == [used, before]).await;
    assert_eq!(proxy.take_statements().count(LAST_SEEN), 1);

    server.stop().await;
    assert_eq!(times(&server, "last_seen_at").await, [used, used]);
}

/// What could not be written down is tried again, and by then with the last use.
#[tokio::test]
async fn a_use_that_could_not_be_written_down_is_tried_again() {
    let (server, proxy) = TestServer::behind_a_proxy(&[("LAST_SEEN_INTERVAL", "1s")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    assert_accepted(&client).await;
    let refusal = "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
         create trigger refusal before update on logins execute function refuse()";
    sql(&server, refusal).await;
    proxy.take_statements();
    server.clock.advance(MINUTE);
    assert_accepted(&client).await;
    let mut tried = 0;
    eventually("it is tried again", async || {
        tried += proxy.take_statements().count(LAST_SEEN);
        tried > 1
    })
    .await;
    server.clock.advance(MINUTE);
    assert_accepted(&client).await;
    sql(&server, "drop trigger refusal on logins").await;
    let used = beginning() + 2 * MINUTE;
    eventually("its last use", async || times(&server, "last_seen_at").await == [used]).await;
}

/// A use is noted and not yet written when its login ends: that must not bring it back.
#[tokio::test]
async fn a_use_that_is_written_down_late_revives_nothing() {
    let (mut server, elsewhere) = two_nodes(&[("LAST_SEEN_INTERVAL", "24h")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    assert_accepted(&client).await;
    server.clock.advance(MINUTE);
    assert_accepted(&client).await;
    client.at(&elsewhere).logout().await.expect(204);
    server.stop().await;
    assert_eq!(times(&elsewhere, "last_seen_at").await, [beginning()]);
    client.at(&elsewhere).profile().await.problem(401, "session_expired");
}

#[tokio::test]
async fn what_is_long_over_is_swept_away_and_nothing_else() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await);
    }
    let mut ids = Vec::new();
    for client in &clients {
        ids.push(client.login_id().await);
    }
    let now = beginning();
    let prepared = format!(
        "update logins set ended_at = '{now}'::timestamptz - interval '25 hours', sweep_at = '{now}'::timestamptz - interval '25 hours' where id = '{}';
         update logins set idle_expires_at = '{now}'::timestamptz - interval '25 hours', sweep_at = '{now}'::timestamptz - interval '25 hours' where id = '{}';
         update logins set ended_at = '{now}'::timestamptz - interval '23 hours', sweep_at = '{now}'::timestamptz - interval '23 hours' where id = '{}';
         update logins set sweep_at = '{now}'::timestamptz - interval '48 hours' where id = '{}';
         insert into revocations (handle_hash, until) values ('old', '{now}'::timestamptz - interval '61 minutes'),
             ('new', '{now}'::timestamptz - interval '59 minutes');
         insert into revocations (handle_hash, reload, until) values ('reload', true, now() + interval '1 hour')",
        ids[0], ids[1], ids[2], ids[3],
    );
    sql(&server, &prepared).await;

    let _sweeping = server.another_node().await;

    eventually("two logins are gone", async || times(&server, "sweep_at").await.len() == 2).await;
    let mut connection = server.sql().await;
    let left: Vec<String> = sqlx::query_scalar("select id::text from logins order by id")
        .fetch_all(&mut connection)
        .await
        .expect("the logins");
    assert_eq!(left, [ids[2].clone(), ids[3].clone()]);
    eventually("the row of the feed is gone", async || {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "select handle_hash from revocations where handle_hash in ('old', 'new', 'reload') order by until desc",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the feed");
        // What Postgres dates lies far back by this clock, and is not over all the same.
        rows == [b"new".to_vec(), b"reload".to_vec()]
    })
    .await;
    // The one that lives on is looked at when it would end.
    assert_eq!(times(&server, "sweep_at").await[1], times(&server, "idle_expires_at").await[1]);
    assert_accepted(&clients[3]).await;
    for client in &clients[..3] {
        eventually("a session that is known to be over", async || client.profile().await.status == 401).await;
    }
}
