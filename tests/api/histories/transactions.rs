//! A transaction that somebody keeps open, in another database of the same cluster: what a look costs depends on what is
//! new.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    nodes::{GENEROUS, assert_accepted, assert_refused_in_time},
    support::{
        client::{Client, Pair},
        cluster::Database,
        eventually,
        proxy::Proxy,
        server::{METRICS, ONE_NAME, TestServer},
        statements::FEED,
    },
};

/// `FEED_ROWS`, or what a few seconds allow.
fn rows() -> u64 {
    std::env::var("FEED_ROWS").map_or(50_000, |rows| rows.parse().expect("a number of rows"))
}

async fn run(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.expect("statements that run");
}

/// How many rows of the feed anybody has fetched so far, as Postgres has counted.
async fn fetched(connection: &mut PgConnection) -> i64 {
    let query = "select pg_stat_clear_snapshot();
                 select coalesce(seq_tup_read + idx_tup_fetch, 0) from pg_stat_user_tables where relname = 'revocations'";
    let (_, query) = query.split_once(';').expect("two statements");
    sqlx::query("select pg_stat_clear_snapshot()")
        .execute(&mut *connection)
        .await
        .expect("no statistics kept");
    sqlx::query_scalar(query).fetch_one(connection).await.expect("a number")
}

/// Waits for as many looks.
async fn looks(proxy: &Proxy, count: usize) {
    let mut seen = 0;
    proxy.take_statements();
    eventually("looks at the feed", async || {
        seen += proxy.take_statements().count(FEED);
        seen >= count
    })
    .await;
}

#[tokio::test]
async fn a_look_reads_what_is_new_whoever_keeps_a_transaction_open() {
    let elsewhere = Database::empty().await;
    let mut open = elsewhere.connect().await;
    run(&mut open, "begin; select pg_current_xact_id()").await;
    let (server, proxy) = TestServer::behind_a_proxy(&[ONE_NAME, METRICS, GENEROUS]).await;
    server.user("ada").await;
    let mut sql = server.sql().await;
    let flood = format!(
        "insert into revocations (login_id, until) select gen_random_uuid(), '2032-01-01' from generate_series(1, {})",
        rows()
    );
    run(&mut sql, &flood).await;
    let ended = "dualauth_directory_entries{kind=\"ended_logins\"}";
    eventually("a node that took it in", async || server.metric(ended).await >= rows() as f64).await;
    // Postgres tells of what was read a second later.
    looks(&proxy, 3).await;
    let mut before = fetched(&mut sql).await;
    eventually("all that was read is counted", async || {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let after = fetched(&mut sql).await;
        std::mem::replace(&mut before, after) == after
    })
    .await;

    for pair in Pair::ALL {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        assert_accepted(&client).await;
        let gone = client.clone();
        client.logout().await.expect(204);
        assert_refused_in_time(&gone, std::time::Instant::now()).await;
    }
    looks(&proxy, 8).await;

    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let read = fetched(&mut sql).await - before;
    assert!(read < 1_000, "{read} rows were read, though a few are new");
    run(&mut open, "rollback").await;
}
