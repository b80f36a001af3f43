//! How many mails strangers may have sent to one address, whoever has it.

use super::*;

async fn allowed(sql: &mut PgConnection, address: &str, at: DateTime<Utc>) -> bool {
    let address = mails(&Clock::system()).address_mac(address);
    let query = sqlx::query_scalar("select dualauth.mail_allowed($1, $2)").bind(address).bind(at);
    query.fetch_one(sql).await.expect("an answer")
}

#[tokio::test]
async fn one_a_minute_and_five_an_hour_go_to_one_address_however_it_is_written() {
    let database = Database::migrated().await;
    let mut sql = database.connect().await;
    let at = |seconds: i64| beginning() + chrono::Duration::seconds(seconds);
    for (seconds, is_allowed) in [
        (0, true),
        (1, false),
        (59, false),
        (60, true),
        (119, false),
        (120, true),
        (180, true),
        (240, true),
        // Five in an hour: the first counts until an hour after it.
        (300, false),
        (3_599, false),
        (3_600, true),
        (3_601, false),
        (3_659, false),
        (3_660, true),
    ] {
        let address = if seconds % 2 == 0 { "ada@example.org" } else { "ADA@Example.org" };
        assert_eq!(allowed(&mut sql, address, at(seconds)).await, is_allowed, "after {seconds} s");
    }
    assert!(allowed(&mut sql, "bea@example.org", at(3_661)).await, "another address");
}

#[tokio::test]
async fn of_many_at_once_one_goes() {
    let database = Arc::new(Database::migrated().await);
    let asking = (0..20).map(|_| {
        let database = Arc::clone(&database);
        async move { allowed(&mut database.connect().await, ADDRESS, beginning()).await }
    });
    let answers = futures_util::future::join_all(asking).await;
    assert_eq!(answers.iter().filter(|is_allowed| **is_allowed).count(), 1);
}

#[tokio::test]
async fn what_is_counted_is_forgotten_after_an_hour() {
    let server = TestServer::start().await;
    let mut sql = server.sql().await;
    for (address, age) in [("old@example.org", 61), ("new@example.org", 59)] {
        assert!(allowed(&mut sql, address, server.clock.now() - chrono::Duration::minutes(age)).await);
    }
    // A node sweeps when it starts.
    let _another = server.another_node().await;
    let left = || sqlx::query_scalar::<_, i64>("select count(*) from dualauth.mail_quotas");
    eventually("one is left", async || left().fetch_one(&mut sql).await.expect("a number") == 1).await;
    assert!(!allowed(&mut sql, "new@example.org", server.clock.now() - chrono::Duration::minutes(59)).await);
}
