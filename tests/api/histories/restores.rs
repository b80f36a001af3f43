//! A dump is restored into another cluster, where transaction ids are lower: its rows come from the future.

use std::process::Command;

use super::{
    WATCHED, accepted, burn_transaction_ids, devices, metric, ready, refused, register, sign_all_out,
};
use crate::support::{
    postgres::Postgres,
    program::{Server, folder},
    server::{CHEAP, METRICS, ONE_NAME},
};

/// How many rows of the feed a node has taken in since it began to follow it.
const TAKEN_IN: &str = "dualauth_revocations_total";

async fn node(postgres: &Postgres) -> Server {
    let settings = [("DATABASE_URL", postgres.url()), ONE_NAME, METRICS, ("JWT_WHEN_STALE", "refuse")];
    Server::start(&folder(), &[CHEAP, &settings].concat()).await
}

fn dump(from: &Postgres, to: &Postgres) {
    let line = r#"pg_dump --no-owner "$0" | psql -q -v ON_ERROR_STOP=1 --single-transaction "$1" >/dev/null"#;
    let copied = Command::new("bash").args(["-o", "pipefail", "-c", line, from.url(), to.url()]).status();
    assert!(copied.expect("bash runs").success());
}

#[tokio::test]
async fn rows_of_a_restored_dump_are_read_once() {
    let mut old = Postgres::start(&[]).await;
    // Before anything is written: the new one gets to none of its numbers meanwhile.
    burn_transaction_ids(&mut old.connect().await, 3_000).await;
    let before = node(&old).await;
    register(&before, "ada").await;
    let before = [before];
    let leaving = devices(&before, "ada").await;
    let staying = devices(&before, "ada").await;
    let acknowledged = sign_all_out(&before[0], &leaving).await;
    for node in before {
        assert!(node.terminate().await.success());
    }

    let mut new = Postgres::start(&[]).await;
    dump(&old, &new);
    old.stop().await;
    let restored: i64 = sqlx::query_scalar("select count(*) from revocations")
        .fetch_one(&mut new.connect().await)
        .await
        .expect("a number");
    let restored = usize::try_from(restored).expect("a number of rows");
    let after = [node(&new).await];
    ready(&after[0]).await;

    refused(&after, &leaving, &acknowledged).await;
    accepted(&after, &staying).await;
    tokio::time::sleep(WATCHED).await;
    // Those whose number has come by now were new once more.
    let at_first = metric(&after[0], TAKEN_IN).await;
    assert!(at_first <= restored as f64, "{at_first}");
    let later = devices(&after, "ada").await;
    let acknowledged = sign_all_out(&after[0], &later).await;
    refused(&after, &later, &acknowledged).await;
    tokio::time::sleep(WATCHED).await;
    let taken_in = metric(&after[0], TAKEN_IN).await;
    assert!((later.len() as f64..(later.len() + restored) as f64).contains(&taken_in), "{taken_in}");
    tokio::time::sleep(WATCHED).await;
    assert_eq!(metric(&after[0], TAKEN_IN).await, taken_in, "each once");
    accepted(&after, &staying).await;
    for node in after {
        assert!(node.terminate().await.success());
    }
    new.stop().await;
}
