//! What Postgres has to read for it: no table as a whole, however young the database is.

use sqlx::PgConnection;

use super::{GENEROUS, sql};
use crate::support::{
    client::{Client, Pair},
    eventually,
    proxy::Proxy,
    server::TestServer,
    statements::FEED,
};

async fn number(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query("select pg_stat_clear_snapshot()").execute(&mut *connection).await.expect("fresh statistics");
    sqlx::query_scalar(query).fetch_one(connection).await.expect("a number")
}

async fn look(proxy: &Proxy) {
    proxy.take_statements();
    eventually("a look", async || proxy.take_statements().count(FEED) > 0).await;
}

#[tokio::test]
async fn a_look_reads_no_table_as_a_whole() {
    let (server, proxy) = TestServer::behind_a_proxy(&[GENEROUS]).await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let many = "alter table users set (autovacuum_enabled = false);
        alter table revocations set (autovacuum_enabled = false);
        insert into users select gen_random_uuid(), 'user-' || n, n || '@example.net', '', '{}', now(), null, 0
            from generate_series(1, 20000) n;
        insert into revocations (login_id, until) select gen_random_uuid(), '2032-01-01' from generate_series(1, 20000)";
    sql(&server, many).await;
    let mut connection = server.sql().await;
    let scans =
        "select sum(seq_scan)::bigint from pg_stat_user_tables where relname in ('users', 'revocations')";
    let mut before = 0;
    eventually("statistics that are at rest", async || {
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let now = number(&mut connection, scans).await;
        std::mem::replace(&mut before, now) == now
    })
    .await;

    for number in 0..10 {
        // As a user would: the trigger reads logins by their index.
        sqlx::query(
            "update users set roles = array['user', $1] where id = (select user_id from logins limit 1)",
        )
        .bind(format!("role-{number}"))
        .execute(&mut connection)
        .await
        .expect("other roles");
        look(&proxy).await;
    }
    client.profile().await.problem(401, "token_revoked");

    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(number(&mut connection, scans).await, before, "scans of users or the feed");
}

#[tokio::test]
async fn a_user_is_deleted_by_an_index_of_logins_and_an_end_moves_no_row() {
    let server = TestServer::start().await;
    let mut connection = server.sql().await;
    let whole = "select count(*) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                 where i.indrelid = 'logins'::regclass and a.attname = 'user_id' and i.indpred is null";
    assert_eq!(number(&mut connection, whole).await, 1);

    // An index that names a column which an end or a use changes would have each of them write every index anew.
    let on_changing = "select count(*) from pg_index i, unnest(i.indkey) as key (attnum)
        join pg_attribute a on a.attrelid = 'logins'::regclass and a.attnum = key.attnum
        where i.indrelid = 'logins'::regclass
          and (a.attname in ('ended_at', 'last_seen_at', 'idle_expires_at', 'token_expires_at', 'generation')
               or i.indpred is not null)";
    assert_eq!(number(&mut connection, on_changing).await, 0);
    let fill = "select (substring(array_to_string(reloptions, ',') from 'fillfactor=(\\d+)'))::bigint
                from pg_class where oid = 'logins'::regclass";
    assert_eq!(number(&mut connection, fill).await, 80);
}
