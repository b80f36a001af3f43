//! Behind a real pgbouncer: the service starts, loses no answer, keeps its bound, and leaves nothing behind on connections
//! that it shares with others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::PgConnection;

use super::pgbouncer::PgBouncer;
use crate::nodes::assert_refused_in_time;
use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::{Request, Response},
    program::{folder, program, run, text},
    proxy::Proxy,
    server::{ONE_NAME, TestServer, registration},
};

/// Two nodes on a database by way of a pooler.
struct Site {
    database: Arc<Database>,
    pooler: PgBouncer,
    nodes: [TestServer; 2],
}

impl Site {
    async fn start(pooler: impl AsyncFnOnce(&Database) -> PgBouncer, direct: Direct) -> Self {
        let database = Arc::new(Database::migrated().await);
        let pooler = pooler(&database).await;
        let direct = match direct {
            Direct::NotSet => String::new(),
            Direct::Database => database.url().to_string(),
            Direct::None => "none".to_owned(),
        };
        let settings = [ONE_NAME, ("DATABASE_URL", pooler.url().as_str()), ("DATABASE_DIRECT_URL", &direct)];
        let node = TestServer::on(Arc::clone(&database), &settings).await;
        let nodes = [node.another_node().await, node];
        Self { database, pooler, nodes }
    }

    /// About a thousand requests of every kind, on both nodes, many at a time. None of them may be told that the database is
    /// away.
    async fn assert_carries_load(&self) {
        let people = (0..16).map(|number| self.live_through(number));
        let requests: usize = join_all(people).await.into_iter().sum();
        assert!(requests >= 1_000, "{requests}");
    }

    /// What somebody does all day, on a device of each kind, at one node and at the other.
    async fn live_through(&self, number: usize) -> usize {
        let name = format!("person-{number}");
        let mut requests = 1;
        let mut expect = |response: Response, status: u16| {
            requests += 1;
            response.expect(status)
        };
        let register = Request::post("/session/register").json(&registration(&name));
        self.nodes[0].send(register).await.expect(201);
        for round in 0..2 {
            for (place, pair) in Pair::ALL.into_iter().enumerate() {
                let [here, there] = [place + round, place + round + 1].map(|at| &self.nodes[at % 2]);
                let mut client = Client::new(here, pair);
                expect(client.login(&pair.credentials(&name)).await, 200);
                for _ in 0..2 {
                    expect(client.at(there).profile().await, 200);
                    expect(client.refresh().await, 200);
                }
                expect(client.get("/account/logins").await, 200);
                expect(client.at(there).get("/verify").await, 200);
                expect(client.logout().await, 204);
            }
        }
        requests
    }

    /// An end on one node is known on the other within the bound.
    async fn assert_ends_are_known_in_time(&self) {
        let [here, there] = &self.nodes;
        here.user("grace").await;
        for pair in Pair::ALL {
            let client = Client::signed_in(here, pair, "grace").await;
            let elsewhere = client.at(there);
            elsewhere.profile().await.ok();
            client.clone().logout().await.expect(204);
            assert_refused_in_time(&elsewhere, Instant::now()).await;
        }
    }

    /// Looks at every backend of the pooler at once.
    async fn assert_nothing_is_left_behind(&self) {
        let mut clients = Vec::new();
        for _ in 0..6 {
            let mut client = self.pooler.connect().await;
            execute(&mut client, "begin").await;
            clients.push(client);
        }
        for client in &mut clients {
            for left in [
                "select pg_listening_channels()",
                "select 'statement ' || name from pg_prepared_statements",
                "select 'statement_timeout ' || setting from pg_settings where name = 'statement_timeout' and setting <> '0'",
            ] {
                let rows = sqlx::raw_sql(left).fetch_all(&mut *client).await.expect("an answer");
                assert!(rows.is_empty(), "{left}");
            }
        }
        let locks = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                     where l.locktype = 'advisory' and d.datname = current_database()";
        let mut past_the_pooler = self.database.connect().await;
        let locks: i64 = sqlx::query_scalar(locks).fetch_one(&mut past_the_pooler).await.expect("a number");
        assert_eq!(locks, 0, "advisory locks");
    }
}

enum Direct {
    NotSet,
    Database,
    None,
}

async fn execute(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.expect("a statement that runs");
}

#[tokio::test]
async fn a_pgbouncer_as_it_comes_is_nothing_special() {
    let pooler = async |database: &Database| PgBouncer::by_default(database.url()).await;
    let site = Site::start(pooler, Direct::NotSet).await;
    site.assert_carries_load().await;
    site.assert_ends_are_known_in_time().await;
}

const TRANSACTION: &str = "transaction";

async fn by_transaction(database: &Database) -> PgBouncer {
    PgBouncer::in_mode(database.url(), TRANSACTION).await
}

#[tokio::test]
async fn where_backends_are_shared_nothing_is_lost_and_nothing_stays_behind() {
    for direct in [Direct::NotSet, Direct::Database, Direct::None] {
        let site = Site::start(by_transaction, direct).await;
        site.assert_carries_load().await;
        site.assert_ends_are_known_in_time().await;
        site.assert_nothing_is_left_behind().await;
    }
}

/// Runs the program by this pooler, without another way.
async fn run_by(pooler: &PgBouncer, arguments: &[&str]) -> std::process::Output {
    let settings = [("DATABASE_URL", pooler.url().as_str())];
    let mut command = program(&folder(), &settings);
    command.args(arguments);
    run(command, "").await
}

#[tokio::test]
async fn migrations_leave_no_lock_behind_by_which_the_next_would_hang() {
    let database = Database::empty().await;
    let pooler = by_transaction(&database).await;
    for _ in 0..2 {
        let output = run_by(&pooler, &["migrate"]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let again = std::array::from_fn::<_, 4, _>(|_| run_by(&pooler, &["migrate"]));
    for output in join_all(again).await {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[tokio::test]
async fn a_pooler_that_shares_backends_is_noticed_and_what_to_set_is_said_once() {
    let database = Database::migrated().await;
    let pooler = by_transaction(&database).await;
    let output = run_by(&pooler, &["migrate"]).await;
    let log = text(&output.stderr);
    assert_eq!(log.matches("DATABASE_DIRECT_URL").count(), 1, "{log}");

    let settings =
        [("DATABASE_URL", pooler.url().as_str()), ("DATABASE_DIRECT_URL", database.url().as_str())];
    let mut command = program(&folder(), &settings);
    command.arg("migrate");
    let log = text(&run(command, "").await.stderr);
    assert!(!log.contains("DATABASE_DIRECT_URL"), "{log}");
}

#[tokio::test]
async fn a_pooler_without_transactions_is_refused() {
    let database = Database::migrated().await;
    let pooler = PgBouncer::in_mode(database.url(), "statement").await;
    let output = run_by(&pooler, &["serve"]).await;
    let log = text(&output.stderr);
    assert!(!output.status.success());
    assert!(log.contains("statement mode") && log.contains("pool_mode"), "{log}");
}

#[tokio::test]
async fn a_doctor_says_how_the_pooler_pools() {
    let database = Database::migrated().await;
    for (mode, told) in
        [("session", "its own Postgres backend"), (TRANSACTION, "a pooler in transaction mode")]
    {
        let pooler = PgBouncer::in_mode(database.url(), mode).await;
        let said = text(&run_by(&pooler, &["doctor"]).await.stdout);
        assert!(said.contains(told) && !said.contains("The time limits"), "{said}");
    }
}

#[tokio::test]
async fn clients_that_go_in_the_middle_of_a_statement_leave_no_transaction_open() {
    let database = Arc::new(Database::migrated().await);
    let pooler = by_transaction(&database).await;
    let proxy = Proxy::before(pooler.url()).await;
    let settings = [
        ("DATABASE_URL", proxy.url().as_str()),
        ("DATABASE_DIRECT_URL", "none"),
        // Each request asks Postgres.
        ("SESSION_LOOKUP", "always"),
    ];
    let server = TestServer::on(Arc::clone(&database), &settings).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    proxy.set_delay(Duration::from_millis(5));
    for millis in 0..80 {
        let request = client.request("GET", "/session/profile");
        request.send_and_reset(server.address(), Duration::from_millis(millis)).await;
    }
    proxy.set_delay(Duration::ZERO);
    for _ in 0..20 {
        client.profile().await.ok();
    }
    assert_eq!(proxy.transactions_begun_twice(), 0);
    let open = "select count(*) from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'";
    let mut past_the_pooler = database.connect().await;
    eventually("no transaction is open", async || {
        sqlx::query_scalar::<_, i64>(open).fetch_one(&mut past_the_pooler).await.expect("a number") == 0
    })
    .await;
}
