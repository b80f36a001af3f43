//! A schema of its own, whatever else is in the database, whoever connects, and wherever versions of before had it.

use std::path::Path;
use std::sync::Arc;

use dualauth::crypto::random_bytes;
use dualauth::database::{MIGRATOR, migrate};
use futures_util::future::join_all;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, query_scalar};
use url::Url;

use crate::nodes::{assert_accepted, assert_refused_in_time};
use crate::support::{
    HOUR,
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder, program, run, text},
    server::{CHEAP, ONE_NAME, TestServer, registration},
};

/// Up to here versions of before had their tables wherever their connection's search_path led.
const BEFORE: usize = 14;

/// As somebody else connects: nothing names the schema but the statements.
async fn stranger(database: &Database) -> PgConnection {
    PgConnection::connect(database.url().as_str()).await.expect("the test's database answers")
}

async fn execute(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.expect("statements that run");
}

async fn column(connection: &mut PgConnection, query: &str) -> Vec<String> {
    query_scalar(AssertSqlSafe(query)).fetch_all(connection).await.expect("rows")
}

/// What a version of before makes of an empty database with so many migrations.
async fn installed_before(migrations: usize) -> (Database, PgConnection) {
    let database = Database::empty().await;
    let mut connection = stranger(&database).await;
    older(migrations).run(&mut connection).await.expect("migrations that run");
    (database, connection)
}

fn older(migrations: usize) -> Migrator {
    Migrator::with_migrations(MIGRATOR.iter().take(migrations).cloned().collect())
}

/// Runs the program to its end, by these words.
async fn says(url: &Url, words: &[&str]) -> (Option<i32>, String) {
    let settings = [CHEAP, &[("DATABASE_URL", url.as_str())]].concat();
    let mut command = program(&folder(), &settings);
    command.args(words);
    let output = run(command, "").await;
    (output.status.code(), text(&output.stderr))
}

/// Tables and functions in a schema.
async fn things(connection: &mut PgConnection, schema: &str) -> Vec<String> {
    let query = format!(
        "select relname::text from pg_class where relnamespace = '{schema}'::regnamespace and relkind in ('r', 'v')
         union all
         select proname || '/' || pronargs from pg_proc where pronamespace = '{schema}'::regnamespace
         order by 1"
    );
    column(connection, &query).await
}

#[tokio::test]
async fn an_installation_of_before_is_moved_whole_and_nothing_else_is() {
    let fresh = Database::migrated().await;
    let all = things(&mut stranger(&fresh).await, "dualauth").await;
    for migrations in 5..=BEFORE {
        let (_database, mut connection) = installed_before(migrations).await;
        let others = "create table orders (id integer, user_id uuid references users (id));
            create view names as select username from users;
            create function ring(integer) returns integer language sql as 'select $1';
            insert into users (id, username, email, password_hash, roles, created_at)
                values (gen_random_uuid(), 'ada', 'ada@example.org', '', '{}', now());
            insert into orders select 1, id from users";
        execute(&mut connection, others).await;

        migrate(&mut connection).await.expect("a schema that is moved");

        assert_eq!(things(&mut connection, "dualauth").await, all, "after {migrations}");
        let left = ["_sqlx_migrations", "names", "orders", "ring/1"];
        assert_eq!(things(&mut connection, "public").await, left, "after {migrations}");
        let kept = "select username from dualauth.users join orders on user_id = users.id";
        assert_eq!(column(&mut connection, kept).await, ["ada"]);
        assert_eq!(column(&mut connection, "select username from names").await, ["ada"]);

        // An older version that is started by mistake does not make itself a second set of tables.
        let refused = older(migrations).run(&mut connection).await;
        assert!(matches!(refused, Err(MigrateError::VersionMissing(15))), "{refused:?}");
        migrate(&mut connection).await.expect("nothing to do any more");
    }
}

#[tokio::test]
async fn an_installation_of_before_is_served_on_after_the_move() {
    let source = TestServer::start().await;
    source.user("ada").await;
    let hash = column(&mut source.sql().await, "select password_hash from users").await;
    let (database, mut connection) = installed_before(BEFORE).await;
    let insert = "insert into users (id, username, email, password_hash, roles, created_at)
                  values (gen_random_uuid(), 'ada', 'ada@example.org', $1, '{user}', now())";
    sqlx::query(insert).bind(&hash[0]).execute(&mut connection).await.expect("a user");

    let server = TestServer::on(Arc::new(database), &[]).await;

    for client in Client::in_every_way(&server, "ada").await {
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn the_move_waits_until_no_older_node_is_connected() {
    let (database, mut connection) = installed_before(BEFORE).await;
    let before = things(&mut connection, "public").await;
    let older = "set application_name = 'dualauth'";
    let mut node = stranger(&database).await;
    execute(&mut node, older).await;

    for words in [&["serve"][..], &["migrate"], &["keys", "list"]] {
        let (code, told) = says(database.url(), words).await;
        assert_eq!(code, Some(1), "{words:?}: {told}");
        assert!(told.contains("older version") && told.contains("stop them all"), "{words:?}: {told}");
    }
    assert_eq!(things(&mut connection, "public").await, before);
    let (_, told) = says(database.url(), &["doctor"]).await;
    assert!(told.contains("problems"), "{told}");

    node.close().await.expect("it leaves");
    eventually("the older node is gone", async || says(database.url(), &["migrate"]).await.0 == Some(0))
        .await;
    assert_eq!(things(&mut connection, "public").await, ["_sqlx_migrations"]);
}

#[tokio::test]
async fn an_application_with_tables_of_the_same_names_is_left_alone() {
    let database = Database::empty().await;
    let mut connection = stranger(&database).await;
    let others = "create table users (name text); insert into users values ('bob');
        create table logins (name text); create table clients (name text); create table history (name text);
        create function note_revoked_login() returns trigger language plpgsql as 'begin return null; end';
        create table _sqlx_migrations (version bigint primary key, description text not null,
            installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
            execution_time bigint not null);
        insert into _sqlx_migrations values (20240101, 'theirs', now(), true, 'x', 1), (1, 'users', now(), true, 'y', 1)";
    execute(&mut connection, others).await;
    let before = things(&mut connection, "public").await;

    let server = TestServer::on(Arc::new(database), &[]).await;
    server.user("ada").await;
    for client in Client::in_every_way(&server, "ada").await {
        client.assert_goes_on().await;
    }

    assert_eq!(things(&mut connection, "public").await, before);
    assert_eq!(column(&mut connection, "select name from users").await, ["bob"]);
    assert_eq!(column(&mut connection, "select count(*)::text from _sqlx_migrations").await, ["2"]);
}

/// Whoever waited for the lock sees what was done meanwhile, whatever its role takes for a transaction.
#[tokio::test]
async fn nodes_that_start_at_once_migrate_once_and_leave_no_lock() {
    let database = Database::empty().await;
    let mut connection = stranger(&database).await;
    let name = database.url().path().trim_start_matches('/').to_owned();
    let default = format!("alter database {name} set default_transaction_isolation = 'serializable'");
    execute(&mut connection, &default).await;

    let mut starting = Vec::new();
    for _ in 0..8 {
        starting.push(stranger(&database).await);
    }
    let started = join_all(starting.iter_mut().map(migrate)).await;

    assert!(started.iter().all(Result::is_ok), "{started:?}");
    let run = "select count(*)::text from dualauth._sqlx_migrations";
    assert_eq!(column(&mut connection, run).await, [MIGRATOR.iter().count().to_string()]);
    let locks = "select pid::text from pg_locks where locktype = 'advisory'
                 and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(column(&mut connection, locks).await, [""; 0]);
}

/// Who only reads for long does not fail an upgrade, and the upgrade lets others in between.
#[tokio::test]
async fn a_migration_that_finds_a_table_in_use_is_tried_again() {
    let (database, mut connection) = installed_before(BEFORE).await;
    execute(&mut connection, "begin; lock table users in access share mode").await;
    let settings = [("DATABASE_URL", database.url().as_str())];
    let mut command = program(&folder(), &settings);
    let migrating = command.arg("migrate").spawn().expect("it starts");
    let mut other = stranger(&database).await;
    let waits = "select count(*)::text from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for state in ["1", "0", "1"] {
        eventually("it waits, gives up, and waits again", async || {
            column(&mut other, waits).await == [state]
        })
        .await;
    }
    execute(&mut connection, "rollback").await;
    let output = migrating.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("will retry"), "{}", text(&output.stderr));
}

/// Roles of one test's own, and how each connects.
struct Role {
    name: String,
    url: Url,
}

impl Role {
    fn of(database: &Database, kind: &str) -> Self {
        let name = format!("{kind}_{:08x}", u32::from_ne_bytes(random_bytes()));
        let mut url = database.url().clone();
        url.set_username(&name).expect("a name");
        Self { name, url }
    }

    async fn drop(&self, connection: &mut PgConnection) {
        let drop = format!("drop owned by {0} cascade; drop role {0}", self.name);
        execute(connection, &drop).await;
    }
}

/// Where each start says the one statement that it lacks, and has all that it needs after it.
#[tokio::test]
async fn what_a_role_may_not_do_is_said_as_the_grant_that_lets_it() {
    let database = Database::empty().await;
    let mut connection = stranger(&database).await;
    let (role, other) = (Role::of(&database, "alone"), Role::of(&database, "late"));
    // As Postgres 15 and later have it.
    let roles = format!(
        "create role {} login; create role {} login; revoke create on schema public from public",
        role.name, other.name
    );
    execute(&mut connection, &roles).await;

    let create = format!(
        "grant create on database {} to {}",
        database.url().path().trim_start_matches('/'),
        role.name
    );
    let (code, told) = says(&role.url, &["migrate"]).await;
    assert!(code == Some(1) && told.contains(&create), "{told}");
    execute(&mut connection, &create).await;
    assert_eq!(says(&role.url, &["migrate"]).await, (Some(0), String::new()));

    // A node has to read which migrations have run, at least; then it says all the rest at once.
    for _ in 0..2 {
        let (code, told) = says(&other.url, &["serve"]).await;
        let grants =
            told.trim().rsplit_once("owner of the tables: ").unwrap_or_else(|| panic!("{code:?} {told}")).1;
        assert!(grants.contains(&format!("to {}", other.name)), "{told}");
        execute(&mut connection, grants).await;
    }
    let server = Server::start(&folder(), &[CHEAP, &[("DATABASE_URL", other.url.as_str())]].concat()).await;
    server.send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(201);
    assert!(server.terminate().await.success());

    // The tables are the first one's.
    execute(&mut connection, "delete from dualauth._sqlx_migrations where version = 15").await;
    let (code, told) = says(&other.url, &["migrate"]).await;
    for right in [
        format!("grant usage, create on schema dualauth to {}", other.name),
        format!("grant {} to {}", role.name, other.name),
    ] {
        assert!(code == Some(1) && told.contains(&right), "{right} is not in {told}");
    }
    other.drop(&mut connection).await;
    role.drop(&mut connection).await;
}

/// What docs/operations.md has typed into psql.
fn documented_roles(owner: &str, serve: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let docs = std::fs::read_to_string(docs).expect("the documentation");
    let sql = docs.split_once("```sql\n").and_then(|(_, rest)| rest.split_once("```")).expect("statements").0;
    sql.replace("dualauth_owner", owner).replace("dualauth_serve", serve)
}

#[tokio::test]
async fn a_role_that_can_create_nothing_serves_what_another_migrates() {
    let database = Arc::new(Database::empty().await);
    let mut connection = stranger(&database).await;
    let (owner, serve) = (Role::of(&database, "owner"), Role::of(&database, "serve"));
    execute(&mut connection, "revoke create on schema public from public").await;
    execute(&mut connection, &documented_roles(&owner.name, &serve.name)).await;
    assert_eq!(says(&owner.url, &["migrate"]).await, (Some(0), String::new()));
    let mut own = PgConnection::connect(serve.url.as_str()).await.expect("it is let in");
    for statement in
        ["create table dualauth.mine ()", "drop table dualauth.users", "create table public.mine ()"]
    {
        let refused = sqlx::raw_sql(statement).execute(&mut own).await.expect_err("no right");
        assert!(
            refused.as_database_error().is_some_and(|it| it.code().as_deref() == Some("42501")),
            "{refused}"
        );
    }

    let url = ("DATABASE_URL", serve.url.as_str());
    let server = TestServer::on(database.clone(), &[url, ONE_NAME]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    for mut client in Client::in_every_way(&server, "ada").await {
        client.refresh().await.ok();
        assert_accepted(&client.at(&node)).await;
        if client.pair == Pair::SESSION_BEARER {
            let put = client.request("PUT", "/session/data/theme").json(&"dark".into());
            client.send(put).await.expect(204);
        }
        let copy = client.at(&node);
        client.logout().await.expect(204);
        assert_refused_in_time(&copy, std::time::Instant::now()).await;
    }
    let count = "select count(*)::text from dualauth.logins";
    assert_eq!(column(&mut connection, count).await, ["4"]);
    server.clock.advance(26 * HOUR);
    let sweeping = server.another_node().await;
    eventually("what is over is swept", async || column(&mut connection, count).await == ["0"]).await;
    drop((own, node, server, sweeping));
    let drop = format!("drop owned by {0} cascade; drop owned by {1} cascade", serve.name, owner.name);
    execute(&mut connection, &drop).await;
    execute(&mut connection, &format!("drop role {}; drop role {}", serve.name, owner.name)).await;
}

/// As it is typed into psql, where nothing is known of the schema but its name.
#[tokio::test]
async fn sql_by_hand_works_whatever_its_search_path_is() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let mut connection = PgConnection::connect(server.database_url().as_str()).await.expect("a connection");
    for (path, name) in [("public", "ada"), ("''", "bob"), ("pg_temp, public", "eve")] {
        execute(&mut connection, &format!("set search_path = {path}")).await;
        // What lies in the way of names that aren't qualified.
        execute(&mut connection, "create temporary table if not exists revocations (oops text)").await;
        let of_user = format!("(select id from dualauth.users where username = '{name}')");
        for end in [
            format!("update dualauth.logins set ended_at = now() where user_id = {of_user}"),
            format!("delete from dualauth.logins where user_id = {of_user}"),
            format!("update dualauth.users set disabled_at = now() where id = {of_user}"),
            format!(
                "update dualauth.users set password_version = password_version + 1 where id = {of_user};
                     select * from dualauth.end_logins({of_user}, null, now())"
            ),
            format!("delete from dualauth.users where id = {of_user}"),
        ] {
            if column(&mut connection, &format!("select username from dualauth.users where id = {of_user}"))
                .await
                .is_empty()
            {
                server.user(name).await;
            }
            execute(
                &mut connection,
                &format!("update dualauth.users set disabled_at = null where id = {of_user}"),
            )
            .await;
            let clients = Client::in_every_way(&server, name).await;
            execute(&mut connection, &end).await;
            let ended = std::time::Instant::now();
            for client in &clients {
                assert_refused_in_time(&client.at(&node), ended).await;
            }
        }
    }
}

/// A function that is replaced loses it, unless it says so again.
#[tokio::test]
async fn every_function_names_its_search_path() {
    let database = Database::migrated().await;
    let without = "select proname::text from pg_proc where pronamespace = 'dualauth'::regnamespace
                   and proconfig is distinct from array['search_path=dualauth, pg_temp']";
    assert_eq!(column(&mut stranger(&database).await, without).await, [""; 0]);
}

/// An older version takes every account for one with a password: docs/decisions/0016.
#[tokio::test]
async fn once_an_account_has_no_password_older_versions_are_not_to_start() {
    let database = Database::migrated().await;
    let mut connection = stranger(&database).await;
    let oldest = "select oldest_version from dualauth.compatibility";
    let add = |name: &str, hash: &str| {
        format!(
            "insert into dualauth.users (id, username, email, password_hash, roles, created_at)
             values (gen_random_uuid(), '{name}', '{name}@example.org', {hash}, '{{user}}', now())"
        )
    };
    execute(&mut connection, &add("ada", "'x'")).await;
    assert_eq!(column(&mut connection, oldest).await, ["0.1.0"]);
    execute(&mut connection, "update dualauth.users set password_hash = null").await;
    assert_eq!(column(&mut connection, oldest).await, ["0.2.0"]);

    execute(&mut connection, "update dualauth.compatibility set oldest_version = '0.1.9'").await;
    execute(&mut connection, &add("bob", "null")).await;
    assert_eq!(column(&mut connection, oldest).await, ["0.2.0"]);
    assert_eq!(says(database.url(), &["user", "list"]).await.0, Some(0));

    // What a version that is newer still has said stays.
    execute(&mut connection, "update dualauth.compatibility set oldest_version = '0.10.0'").await;
    execute(&mut connection, "update dualauth.users set password_hash = null").await;
    assert_eq!(column(&mut connection, oldest).await, ["0.10.0"]);
    let (code, told) = says(database.url(), &["user", "list"]).await;
    assert!(code == Some(1) && told.contains("0.10.0 or later"), "{told}");
}

#[tokio::test]
async fn once_an_account_has_two_step_sign_in_versions_that_know_of_none_are_not_to_start() {
    let database = Database::migrated().await;
    let mut connection = stranger(&database).await;
    let oldest = "select oldest_version from dualauth.compatibility";
    let add = "insert into dualauth.users (id, username, email, password_hash, roles, created_at)
               values (gen_random_uuid(), 'ada', 'ada@example.org', 'x', '{user}', now())";
    execute(&mut connection, add).await;
    execute(&mut connection, "update dualauth.users set two_step = false").await;
    assert_eq!(column(&mut connection, oldest).await, ["0.1.0"]);
    execute(&mut connection, "update dualauth.users set two_step = true").await;
    assert_eq!(column(&mut connection, oldest).await, ["0.3.0"]);
    assert_eq!(says(database.url(), &["user", "list"]).await.0, Some(0), "this one knows of it");

    // One that runs on inserts what it knows of: no aal.
    let login = |name: &str| {
        format!(
            "insert into dualauth.logins (id, user_id, mode, transport, remember_me, address, user_agent, created_at,
                 last_seen_at, idle_expires_at, expires_at, renewed_at, sweep_at)
             select gen_random_uuid(), id, 'jwt', 'bearer', false, '192.0.2.1', '', now(), now(), now(), now(), now(), now()
             from dualauth.users where username = '{name}'"
        )
    };
    let bea = add.replace("ada", "bea");
    execute(&mut connection, &bea).await;
    execute(&mut connection, &login("bea")).await;
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(login("ada"))).execute(&mut connection).await;
    let told = refused.expect_err("a login by one factor").to_string();
    assert!(told.contains("two-step sign-in"), "{told}");
}
