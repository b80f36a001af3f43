//! What it costs others that a login ends: nodes call each other seldom, and never in the transaction that ends it.

use std::time::{Duration, Instant};

use dualauth::database::migrate;
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgListener};
use tokio::time::timeout;

use super::two_nodes;
use crate::support::{
    client::{Client, Pair},
    cluster::options,
    postgres::Postgres,
};

/// How far apart a node's calls are.
const PAUSE: Duration = Duration::from_millis(5);

async fn listen(url: &str) -> PgListener {
    let mut listener = PgListener::connect(url).await.expect("a connection that listens");
    listener.listen("dualauth").await.expect("it listens");
    listener
}

/// How many notifications have come by now.
async fn heard(listener: &mut PgListener) -> u32 {
    let mut heard = 0;
    while let Ok(notification) = timeout(Duration::from_millis(500), listener.recv()).await {
        notification.expect("a notification");
        heard += 1;
    }
    heard
}

#[tokio::test]
async fn a_burst_of_ends_is_told_together() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    let mut clients = Vec::new();
    for number in 0..200 {
        clients.push(Client::signed_in(&server, Pair::ALL[number % Pair::ALL.len()], "ada").await);
    }
    let mut listener = listen(server.database_url().as_str()).await;
    heard(&mut listener).await;

    let began = Instant::now();
    join_all(clients.iter().map(async |client| client.clone().logout().await.expect(204))).await;
    let most = u32::try_from(began.elapsed().as_millis() / PAUSE.as_millis()).expect("a few") + 2;

    let heard = heard(&mut listener).await;
    assert!((1..=most).contains(&heard), "{heard} calls, where {most} fit into that time");
    assert!(heard < 200, "a call for each end");
    for client in &clients {
        assert_eq!(client.at(&elsewhere).profile().await.status, 401);
    }
}

/// Ends so many logins by as many connections of this name, and gives how long that took.
async fn end_all(postgres: &Postgres, name: &str, logins: &[uuid::Uuid], writers: usize) -> Duration {
    let options = options(postgres.url());
    let mut connections = Vec::new();
    for _ in 0..writers {
        let options = options.clone().application_name(name);
        connections.push(PgConnection::connect_with(&options).await.expect("a connection"));
    }
    let began = Instant::now();
    let each = logins.len().div_ceil(writers);
    join_all(connections.iter_mut().zip(logins.chunks(each)).map(async |(connection, logins)| {
        for login in logins {
            let end = sqlx::query("update logins set ended_at = now() where id = $1").bind(login);
            end.execute(&mut *connection).await.expect("an end");
        }
    }))
    .await;
    began.elapsed()
}

/// Live logins, made for it.
async fn logins(postgres: &Postgres, count: usize) -> Vec<uuid::Uuid> {
    let insert = format!(
        "insert into logins (id, user_id, mode, transport, remember_me, address, user_agent, created_at, last_seen_at,
             idle_expires_at, expires_at, renewed_at, token_expires_at, sweep_at)
         select gen_random_uuid(), (select id from users), 'jwt', 'bearer', false, '127.0.0.1', '', now(), now(), '2032-01-01',
             '2032-01-01', now(), '2032-01-01', '2032-01-01' from generate_series(1, {count}) returning id"
    );
    let mut connection = postgres.connect().await;
    sqlx::query_scalar(AssertSqlSafe(insert)).fetch_all(&mut connection).await.expect("logins")
}

/// However many nodes listen, those that end logins wait for nobody: `RING_LOGINS` of them, by 64 at once.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are for whoever runs it with more logins")]
async fn calls_to_a_hundred_nodes_cost_less_than_half_of_the_ends() {
    let count = std::env::var("RING_LOGINS").map_or(3_200, |count| count.parse().expect("a number"));
    let mut postgres = Postgres::start(&[("max_connections", "200")]).await;
    let mut connection = postgres.connect().await;
    migrate(&mut connection).await.expect("a schema");
    let user =
        "insert into users select gen_random_uuid(), 'ada', 'ada@example.org', '', '{}', now(), null, 0";
    sqlx::raw_sql(user).execute(&mut connection).await.expect("a user");
    let silent = end_all(&postgres, "dualauth", &logins(&postgres, count).await, 64).await;

    let mut listeners = Vec::new();
    for _ in 0..100 {
        listeners.push(listen(postgres.url()).await);
    }
    let mut caller = postgres.connect().await;
    let calling = async {
        loop {
            sqlx::query("select pg_notify('dualauth', '')").execute(&mut caller).await.expect("a call");
            tokio::time::sleep(PAUSE).await;
        }
    };
    let hearing = join_all(listeners.iter_mut().map(async |listener| {
        loop {
            listener.recv().await.expect("a notification");
        }
    }));
    let logins = logins(&postgres, 2 * count).await;
    let (told, by_trigger) = logins.split_at(count);
    let ringing = async {
        let ringing = end_all(&postgres, "dualauth", told, 64);
        let told = tokio::select! {
            told = ringing => told,
            () = calling => unreachable!("it goes on"),
        };
        (told, end_all(&postgres, "psql", by_trigger, 64).await)
    };
    let (told, by_trigger) = tokio::select! {
        took = ringing => took,
        _ = hearing => unreachable!("they listen on"),
    };
    let a_second = |took: Duration| count as f64 / took.as_secs_f64();
    let figures =
        [silent, told, by_trigger].map(a_second).map(|a_second| format!("{a_second:.0} ends/s")).join(", ");
    println!("without calls, with them, with one in each transaction: {figures}");
    assert!(told < 2 * silent, "{figures}");
    drop(listeners);
    postgres.stop().await;
}
