//! Upgrades without a gap: nodes start, serve, and are rolled back on a schema that later versions have added to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::{Request, Response},
    program::{Server, folder, program, run, text},
    server::{CHEAP, ONE_NAME, registration},
};

/// What a later version may do to the tables while this one uses them: see docs/decisions/0013.
const ADDITIVE: &str = "
    alter table dualauth.users add column later jsonb;
    alter table dualauth.logins add column later text not null default 'as before';
    alter table dualauth.revocations add column later uuid;
    alter table dualauth.session_data add column later text;
    alter table dualauth.signing_keys add column later text;
    alter table dualauth.key_ring add column later text;
    alter table dualauth.clients add column later text;
    alter table dualauth.custom_tokens add column later text;
    alter table dualauth.guesses add column later integer;
    alter table dualauth.guessers add column later integer;
    alter table dualauth.audit_events add column later text;
    alter table dualauth.history add column later text;
    alter table dualauth.secrets add column later text;
    create table dualauth.later (id uuid primary key, user_id uuid references dualauth.users on delete cascade);
    create index on dualauth.later (user_id)";

/// Has it run, as a later version does it: whole, and without keeping anybody waiting.
async fn migrate(database: &Database, version: i64, sql: &str) {
    let whole = format!(
        "begin; set local lock_timeout = '200ms'; {sql};
         insert into dualauth._sqlx_migrations (version, description, success, checksum, execution_time)
             values ({version}, 'of a later version', true, 'theirs', 1);
         commit"
    );
    eventually("a migration that has run", async || {
        let mut connection = database.connect().await;
        let outcome = sqlx::raw_sql(AssertSqlSafe(whole.as_str())).execute(&mut connection).await;
        let done = match &outcome {
            Ok(_) => true,
            Err(error) => {
                let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                assert!(code == "55P03", "{error}");
                false
            }
        };
        connection.close().await.expect("a connection that can be closed");
        done
    })
    .await;
}

fn settings(database: &Database) -> Vec<(&str, &str)> {
    // However busy the machine is: who tests what nodes refuse wants them fresh.
    let own = [ONE_NAME, ("DATABASE_URL", database.url().as_str()), ("STALENESS_BOUND", "10s")];
    [CHEAP, &own].concat()
}

async fn command(database: &Database, words: &[&str]) -> (Option<i32>, String) {
    let mut command = program(&folder(), &settings(database));
    command.args(words);
    let output = run(command, "").await;
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// Nodes behind a balancer, which sends nothing to one that is being replaced.
struct Nodes<'a> {
    database: &'a Database,
    nodes: Vec<RwLock<Server>>,
    requests: AtomicUsize,
}

impl<'a> Nodes<'a> {
    async fn start(database: &'a Database) -> Self {
        let nodes = [Self::node(database).await, Self::node(database).await];
        Self { database, nodes: nodes.map(RwLock::new).into(), requests: AtomicUsize::new(0) }
    }

    async fn node(database: &Database) -> Server {
        Server::start(&folder(), &settings(database)).await
    }

    /// The next one in turn that takes requests.
    async fn next(&self) -> RwLockReadGuard<'_, Server> {
        let turn = self.requests.fetch_add(1, Ordering::Relaxed);
        let node = |step: usize| &self.nodes[(turn + step) % self.nodes.len()];
        match node(0).try_read() {
            Ok(node) => node,
            Err(_) => node(1).read().await,
        }
    }

    async fn ask(&self, client: &mut Client, what: impl AsyncFnOnce(&mut Client) -> Response) -> Response {
        let node = self.next().await;
        *client = client.at_node(node.address());
        let response = what(client).await;
        assert!(response.status < 500, "{response}: {}", node.output());
        response
    }

    async fn replace(&self, node: usize) {
        let mut node = self.nodes[node].write().await;
        let new = Self::node(self.database).await;
        let old = std::mem::replace(&mut *node, new);
        assert!(old.terminate().await.success());
    }

    async fn replace_each(&self) {
        for node in 0..self.nodes.len() {
            self.replace(node).await;
            self.go_on().await;
        }
    }

    /// Until everybody has asked more.
    async fn go_on(&self) {
        let before = self.requests.load(Ordering::Relaxed);
        eventually("requests", async || self.requests.load(Ordering::Relaxed) > before + 200).await;
    }
}

/// Signs in, is looked at by either node, renews, leaves, and comes again, until it is over.
async fn live(nodes: &Nodes<'_>, pair: Pair, name: &str, is_over: &AtomicBool) -> usize {
    let address = nodes.next().await.address();
    Request::post("/session/register").json(&registration(name)).send(address).await.expect(201);
    let mut rounds = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut client = Client::at_address(nodes.next().await.address(), pair);
        nodes.ask(&mut client, async |client| client.login(&pair.credentials(name)).await).await.expect(200);
        for _ in 0..4 {
            nodes.ask(&mut client, async |client| client.profile().await).await.expect(200);
            nodes.ask(&mut client, async |client| client.refresh().await).await.expect(200);
            nodes.ask(&mut client, async |client| client.get("/account/logins").await).await.expect(200);
        }
        nodes.ask(&mut client, async |client| client.logout().await).await.expect(204);
        rounds += 1;
    }
    rounds
}

/// Everything is 2xx for everybody, all along: each request says so by itself.
#[tokio::test]
async fn nodes_are_replaced_one_by_one_and_back_on_a_schema_that_grows_and_nobody_notices() {
    let database = Database::migrated().await;
    let nodes = Nodes::start(&database).await;
    let is_over = AtomicBool::new(false);
    let names: Vec<String> = (0..Pair::ALL.len()).map(|number| format!("ada-{number}")).collect();
    let people = Pair::ALL.iter().zip(&names).map(|(pair, name)| live(&nodes, *pair, name, &is_over));
    let upgrading = async {
        nodes.go_on().await;
        migrate(&database, 9_001, ADDITIVE).await;
        nodes.go_on().await;
        nodes.replace_each().await;
        for words in [
            &["migrate"][..],
            &["user", "role", "add", "ada-0", "editor"],
            &["keys", "list"],
            &["keys", "rotate"],
            &["client", "create", "gateway"],
            &["audit", "tail", "-n", "5"],
        ] {
            let (code, told) = command(&database, words).await;
            assert_eq!(code, Some(0), "{words:?}: {told}");
        }
        let (_, told) = command(&database, &["doctor"]).await;
        assert!(told.contains("that of a later version") && told.contains("unknown to it: 1"), "{told}");
        // As it was before, and with a further step of a version that is being rolled back.
        migrate(&database, 9_002, "create table dualauth.later_still (id uuid)").await;
        nodes.replace_each().await;
        is_over.store(true, Ordering::Relaxed);
    };
    let (rounds, ()) = join(join_all(people), upgrading).await;
    assert!(rounds.iter().all(|rounds| *rounds > 0), "{rounds:?}");
    for node in nodes.nodes {
        let node = node.into_inner();
        for trouble in ["ERROR", " 500", " 503"] {
            assert!(!node.output().contains(trouble), "{trouble} in {}", node.output());
        }
        assert!(node.terminate().await.success());
    }
}

#[tokio::test]
async fn a_schema_that_is_not_for_this_version_is_refused_by_the_version_that_it_is_for() {
    let database = Database::migrated().await;
    let contracting = "alter table dualauth.users drop column password_hash cascade;
                       update dualauth.compatibility set oldest_version = '99.1.0'";
    migrate(&database, 9_001, contracting).await;
    for words in [&["serve"][..], &["migrate"], &["keys", "list"], &["doctor"]] {
        let (code, told) = command(&database, words).await;
        assert_eq!(code, Some(1), "{words:?}: {told}");
        assert!(
            told.contains("99.1.0 or later") && told.contains(env!("CARGO_PKG_VERSION")),
            "{words:?}: {told}"
        );
    }

    database.execute("update dualauth.compatibility set oldest_version = '0.0.9'").await;
    assert_eq!(command(&database, &["migrate"]).await.0, Some(0));
}

#[tokio::test]
async fn a_migration_that_ran_with_another_content_is_refused() {
    let database = Database::migrated().await;
    database.execute("update dualauth._sqlx_migrations set checksum = 'theirs' where version = 3").await;
    let (code, told) = command(&database, &["migrate"]).await;
    assert!(code == Some(1) && told.contains("migration 3 was applied with another content"), "{told}");
    database.execute("update dualauth._sqlx_migrations set success = false where version = 2").await;
    let (code, told) = command(&database, &["migrate"]).await;
    assert!(code == Some(1) && told.contains("migration 2 failed half way"), "{told}");
}
