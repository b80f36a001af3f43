//! One Postgres for the whole run, and in it a database of its own for every test.
//!
//! `DATABASE_URL` names a server to use. Without it a private one is started, once, and it goes when the process goes;
//! `TEST_POSTGRES` names the folder for its files, which is below `target` otherwise.

use std::{
    fs::File,
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use dualauth::database::migrate;
use dualauth_postgres::PrivatePostgres;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::runtime::{Builder, Handle, Runtime};
use url::Url;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    // A test's own runtime may not block on another one: a plain thread may.
    thread::spawn(Cluster::start).join().expect("a Postgres for the tests")
});

struct Cluster {
    /// Outlives every test, so what is to be cleared up after one has somewhere to run.
    runtime: Runtime,
    url: Url,
    /// What this run's databases are called by.
    run: u32,
    /// Holds the number as an advisory lock, so that the next run knows whose databases are left over.
    _lock: PgConnection,
    databases: AtomicU32,
    /// For what creates and drops databases: a new connection would cost half as much as that itself.
    pool: PgPool,
    _postgres: Option<(PrivatePostgres, File)>,
}

impl Cluster {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let run = uuid::Uuid::new_v4().as_fields().0;
        let (url, postgres, admin, pool) = runtime.block_on(async {
            let (url, postgres) = match std::env::var("DATABASE_URL") {
                Ok(url) => (url, None),
                Err(_) => {
                    let (postgres, lock) = private_postgres().await;
                    (postgres.url(), Some((postgres, lock)))
                }
            };
            let mut admin = PgConnection::connect(&url).await.expect("the tests' Postgres answers");
            drop_what_dead_runs_left(&mut admin).await;
            sqlx::query("select pg_advisory_lock($1)")
                .bind(i64::from(run))
                .execute(&mut admin)
                .await
                .expect("this run's lock");
            let url = Url::parse(&url).expect("a URL of a Postgres");
            migrate_template(&mut admin, &url, run).await;
            // As many as may be wanted at once: no test waits for what is dropped after another.
            let pool = PgPoolOptions::new().max_connections(50).connect_lazy(url.as_str());
            (url, postgres, admin, pool.expect("a URL of a Postgres"))
        });
        Self { runtime, url, run, _lock: admin, databases: AtomicU32::new(0), pool, _postgres: postgres }
    }

    async fn execute(&self, sql: String) {
        let mut connection = self.pool.acquire().await.expect("the tests' Postgres answers");
        execute(&mut connection, sql).await;
    }
}

async fn execute(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql.as_str()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Without it a server that connects as `dualauth` would find the schema of that name whether it names it or not.
pub const SEARCH_PATH: (&str, &str) = ("search_path", "public");

/// A private Postgres in the first place that no other run of the tests holds.
async fn private_postgres() -> (PrivatePostgres, File) {
    let homes = std::env::var_os("TEST_POSTGRES").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    let homes = PathBuf::from(homes);
    let (home, lock) = (0..)
        .find_map(|place| {
            let home = homes.join(format!("api-{place}"));
            let lock = File::create(home.with_extension("lock")).expect("a lock file");
            lock.try_lock().is_ok().then_some((home, lock))
        })
        .expect("a free place");
    let settings = [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        ("max_connections", "400"),
        // Each backend maps it, each dropped database is looked for in it: a third of what a connection costs.
        ("shared_buffers", "16MB"),
        SEARCH_PATH,
    ];
    let postgres = PrivatePostgres::start(&home, &settings).await.expect("a private Postgres");
    (postgres, lock)
}

fn template(run: u32) -> String {
    format!("dualauth_test_{run}_template")
}

async fn migrate_template(admin: &mut PgConnection, url: &Url, run: u32) {
    let name = template(run);
    execute(admin, format!("create database {name}")).await;
    let mut connection =
        PgConnection::connect(url_of(url, &name).as_str()).await.expect("the template database answers");
    migrate(&mut connection).await.expect("the template is migrated");
    connection.close().await.expect("nobody is in the template");
}

async fn drop_what_dead_runs_left(admin: &mut PgConnection) {
    let left: Vec<(String, i64)> = sqlx::query_as(
        "select datname::text, split_part(datname, '_', 3)::bigint
         from pg_database where datname ~ '^dualauth_test_[0-9]+_'",
    )
    .fetch_all(&mut *admin)
    .await
    .expect("the list of databases");
    for (name, run) in left {
        let (dead,): (bool,) = sqlx::query_as("select pg_try_advisory_lock($1)")
            .bind(run)
            .fetch_one(&mut *admin)
            .await
            .expect("a word on a run's lock");
        if dead {
            execute(admin, format!("drop database if exists {name} with (force)")).await;
            execute(admin, format!("select pg_advisory_unlock({run})")).await;
        }
    }
}

fn url_of(server: &Url, database: &str) -> Url {
    let mut url = server.clone();
    url.set_path(database);
    url
}

/// How a test connects itself: what it says need not name the schema. Servers are not given this, so theirs must.
pub fn options(url: &str) -> PgConnectOptions {
    url.parse::<PgConnectOptions>()
        .expect("a URL of a Postgres")
        .options([("search_path", "dualauth,public")])
}

/// Where things run that must outlive the test that began them.
pub fn runtime() -> Handle {
    CLUSTER.runtime.handle().clone()
}

/// A database that one test has for itself; it goes when the last server on it has gone.
pub struct Database {
    name: String,
    url: Url,
}

impl Database {
    pub async fn migrated() -> Self {
        Self::create(&format!("template {} strategy file_copy", template(CLUSTER.run))).await
    }

    pub async fn empty() -> Self {
        Self::create("").await
    }

    /// Empty, in another encoding than ours.
    pub async fn in_encoding(encoding: &str) -> Self {
        Self::create(&format!("template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'")).await
    }

    async fn create(options: &str) -> Self {
        let cluster = &*CLUSTER;
        let number = cluster.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("dualauth_test_{}_{number}", cluster.run);
        runtime()
            .spawn(cluster.execute(format!("create database {name} {options}")))
            .await
            .expect("a database for the test");
        let url = url_of(&cluster.url, &name);
        Self { name, url }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&options(self.url.as_str())).await.expect("the test's database answers")
    }

    /// Runs statements in it.
    pub async fn execute(&self, statements: &str) {
        let mut connection = self.connect().await;
        execute(&mut connection, statements.to_owned()).await;
        connection.close().await.expect("a connection that can be closed");
    }

    /// Whether it takes writes from now on. Whoever is connected has to connect anew.
    pub async fn set_read_only(&self, is_read_only: bool) {
        let change = format!(
            "set transaction_read_only = off;
             alter database {} set default_transaction_read_only = {is_read_only}",
            self.name
        );
        self.execute(&change).await;
        self.execute(&self.cut()).await;
    }

    /// Whether it lets anybody in from now on; whoever is in has to leave.
    pub async fn set_closed(&self, is_closed: bool) {
        let admin = Self::empty().await;
        let change = format!("alter database {} allow_connections {}", self.name, !is_closed);
        admin.execute(&change).await;
        admin.execute(&self.cut()).await;
    }

    /// Ends every other connection to it.
    fn cut(&self) -> String {
        format!(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = '{}' and pid <> pg_backend_pid()",
            self.name
        )
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("drop database if exists {} with (force)", self.name);
        runtime().spawn(CLUSTER.execute(sql));
    }
}
