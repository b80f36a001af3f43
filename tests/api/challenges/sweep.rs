//! Expired challenges are deleted, however many there are.

use super::{count, server};
use crate::nodes::sql;
use crate::support::eventually;

#[tokio::test]
async fn more_expired_challenges_than_one_statement_deletes_are_gone_in_one_sweep() {
    let (server, _mails) = server().await;
    let insert = "insert into challenges (id, token_hash, purpose, method, created_at, expires_at)
                  select gen_random_uuid(), sha256(number::text::bytea), 'login', 'provider', 'epoch', 'epoch'
                  from generate_series(1, 30001) as number";
    sql(&server, insert).await;
    // A node sweeps when it starts, and then once a minute.
    let _another = server.another_node().await;
    eventually("they are gone", async || count(&server, "select count(*) from challenges").await == 0).await;
}
