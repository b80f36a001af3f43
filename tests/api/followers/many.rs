//! Many followers while many logins end: each is told of each. `FOLLOWERS` and `ENDS` say how many.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use sqlx::AssertSqlSafe;

use super::Follower;
use crate::nodes::{sql, two_nodes};
use crate::support::{PATIENCE, random::Random, text};

/// Logins that end together.
const BATCH: usize = 20;

/// Transactions that end some at once.
const WRITERS: usize = 4;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |number| number.parse().expect("a number"))
}

/// Ends of logins commit in any order, followers ask either node, and each is told of every one.
#[tokio::test]
async fn each_of_many_followers_is_told_of_every_one_of_many_ends() {
    let (followers, ends) = (number("FOLLOWERS", 20), number("ENDS", 1_000));
    let (server, node) = two_nodes(&[]).await;
    server.user("ada").await;
    sql(
        &server,
        &format!(
            "insert into logins (id, user_id, mode, transport, remember_me, address, user_agent, created_at, renewed_at, last_seen_at, idle_expires_at,
                                 expires_at, token_expires_at, sweep_at)
             select gen_random_uuid(), u.id, 'jwt', 'bearer', false, '127.0.0.1', '', now(), now(), now(), '2032-01-01', '2032-01-01', '2032-01-01', '2032-01-01'
             from users u, generate_series(1, {ends})"
        ),
    )
    .await;
    let mut connection = server.sql().await;
    let logins: Vec<String> =
        sqlx::query_scalar("select id::text from logins").fetch_all(&mut connection).await.expect("logins");
    assert_eq!(logins.len(), ends);
    let begun = Follower::up_to_date(&server).await;
    begun.clone().asks(&node).await;
    let told = AtomicUsize::default();

    let ending = join_all((0..WRITERS).map(async |writer| {
        let (mut connection, mut random) = (server.sql().await, Random::new(7, writer as u64));
        for batch in logins.chunks(BATCH).skip(writer).step_by(WRITERS) {
            let ids = batch.join("','");
            let end = format!(
                "begin; select pg_current_xact_id(); select pg_sleep({});
                 update logins set ended_at = now() where id in ('{ids}'); commit",
                random.below(20) as f64 / 1e3,
            );
            sqlx::raw_sql(AssertSqlSafe(end)).execute(&mut connection).await.expect("they end");
        }
    }));
    let following = join_all((0..followers).map(async |number| {
        let (mut follower, mut random) = (begun.clone(), Random::new(8, number as u64));
        let mut known = HashSet::new();
        while known.len() < ends {
            let asked = *random.of(&[&server, &node]);
            // Where all of them are one busy thread, a connection may be given up before its request is written.
            let answered = follower.request("0.25").attempt(asked.address()).await.ok();
            if let Some(response) = answered.filter(|response| response.status == 200) {
                let answer = follower.learns(response);
                assert_eq!(answer["anew"], false);
                for login in answer["ended"].as_array().expect("a list") {
                    known.insert(text(&login["sid"]).to_owned());
                }
            }
        }
        assert_eq!(known, logins.iter().cloned().collect());
        told.fetch_add(1, Ordering::SeqCst);
    }));
    tokio::time::timeout(10 * PATIENCE, join(ending, following)).await.expect("in time");
    assert_eq!(told.load(Ordering::SeqCst), followers);
}
