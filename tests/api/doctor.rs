//! `doctor`: finds what was planted, says what to do, changes nothing, and is quiet where all is well.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use dualauth::crypto::random_bytes;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    free_port,
    http::Request,
    program::{Server, folder, program, run, text},
    server::{METRICS, TestServer, registration},
};

pub struct Told {
    output: Output,
    text: String,
}

impl Told {
    /// What it says at this level, with what to do about it.
    fn of(&self, level: &str) -> Vec<String> {
        let mut found: Vec<(bool, String)> = Vec::new();
        for line in self.text.lines() {
            match line.strip_prefix("         ") {
                Some(advice) => found.last_mut().expect("a finding").1.push_str(advice),
                None => found.push((line.starts_with(&format!("{level} ")), line.to_owned())),
            }
        }
        found.into_iter().filter(|(is_of_level, _)| *is_of_level).map(|(_, line)| line).collect()
    }

    pub fn says(&self, level: &str, word: &str) -> bool {
        self.of(level).iter().any(|line| line.contains(word))
    }

    #[track_caller]
    pub fn assert_has(&self, level: &str, words: &[&str]) {
        let found = self.of(level);
        let has = |line: &String| words.iter().all(|word| line.contains(word));
        assert!(found.iter().any(has), "no {level} with {words:?} in\n{}", self.text);
        assert!(level != "problem" || self.output.status.code() == Some(1), "{}", self.text);
    }
}

pub async fn doctor_in(folder: &Path, settings: &[(&str, &str)], words: &[&str]) -> Told {
    let mut command = program(folder, settings);
    command.arg("doctor").args(words);
    let output = run(command, "").await;
    let text = text(&output.stdout);
    Told { output, text }
}

async fn doctor(settings: &[(&str, &str)]) -> Told {
    doctor_in(&folder(), settings, &[]).await
}

fn secret() -> String {
    let random: [u8; 32] = random_bytes();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn execute(database: &Database, statements: &str) {
    let mut connection = database.connect().await;
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.expect("statements that run");
    connection.close().await.expect("a connection that can be closed");
}

#[tokio::test]
async fn a_good_set_up_is_well() {
    let (folder, secret) = (folder(), secret());
    let settings = [("APP_SECRET", secret.as_str())];
    let server = Server::start(&folder, &settings).await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let url = format!("http://{}", server.address());
    for words in [&[][..], &["--url", &url]] {
        let told = doctor_in(&folder, &settings, words).await;
        assert_eq!((told.of("problem"), told.of("warning")), (vec![], vec![]), "{}", told.text);
        assert_eq!(told.output.status.code(), Some(0), "{}", told.text);
        assert_eq!(told.of("skipped").len(), usize::from(words.is_empty()), "{}", told.text);
        assert!(!told.text.contains(&secret) && told.of("ok").len() >= 12, "{}", told.text);
    }
    assert!(server.terminate().await.success());
    std::fs::remove_dir_all(&folder).expect("nobody holds it any more");
}

#[tokio::test]
async fn where_nothing_ran_yet_nothing_is_made() {
    let folder = folder();
    let secret = secret();
    let told = doctor_in(&folder, &[("APP_SECRET", &secret)], &[]).await;
    assert_eq!(told.output.status.code(), Some(0), "{}", told.text);
    told.assert_has("skipped", &["DATABASE_URL"]);
    assert_eq!(std::fs::read_dir(&folder).expect("the folder").count(), 0);

    let database = Database::empty().await;
    let told = doctor(&[("DATABASE_URL", database.url().as_str())]).await;
    told.assert_has("warning", &["Migrations", "dualauth migrate"]);
    let mut connection = database.connect().await;
    let tables = sqlx::query_scalar::<_, i64>("select count(*) from pg_tables where schemaname = 'public'");
    assert_eq!(tables.fetch_one(&mut connection).await.expect("a count"), 0);
}

#[tokio::test]
async fn settings_that_do_not_do_what_they_should_are_found() {
    let database = Database::migrated().await;
    let url = ("DATABASE_URL", database.url().as_str());
    let https = ("PUBLIC_URL", "https://127.0.0.1:1");
    let told =
        doctor(&[url, ("SESION_TTL", "1h"), https, ("APP_SECRET", "hunter2-hunter2-hunter2-hunter2-")]).await;
    told.assert_has("warning", &["SESION_TTL", "SESSION_TTL"]);
    told.assert_has("problem", &["TRUSTED_PROXIES", "proxy's address"]);
    told.assert_has("problem", &["APP_SECRET", "openssl rand"]);
    assert!(!told.text.contains("hunter2"), "{}", told.text);

    let told = doctor(&[url, ("PUBLIC_URL", "http://0.0.0.0:1")]).await;
    told.assert_has("problem", &["PUBLIC_URL=http://0.0.0.0:1", "not Secure"]);
    told.assert_has("warning", &["APP_SECRET is not set"]);

    let told = doctor(&[url, ("LISTEN", "0.0.0.0:0"), ("ARGON2_MEMORY_KIB", "64")]).await;
    told.assert_has("problem", &["PUBLIC_URL is not set"]);
    told.assert_has("problem", &["ARGON2_MEMORY_KIB=64", "OWASP"]);

    // What keeps the service from starting is a problem as well, and there is no more to look at.
    let told = doctor(&[url, ("SESSION_TTL", "soon"), ("COOKIE_DOMAIN", "elsewhere.example")]).await;
    told.assert_has("problem", &["SESSION_TTL"]);
    told.assert_has("problem", &["COOKIE_DOMAIN"]);
    assert_eq!(told.of("ok"), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_of_settings_is_looked_at_line_by_line() {
    let folder = folder();
    let write = |text: &str| std::fs::write(folder.join(".env"), text).expect("a file");
    write("LOG=info\n\nAPP SECRET=hunter2\n");
    let told = doctor_in(&folder, &[], &[]).await;
    told.assert_has("problem", &[".env, line 3"]);
    let serve = run(program(&folder, &[]), "").await;
    assert!(text(&serve.stderr).contains(".env, line 3"), "{}", text(&serve.stderr));
    assert!(!told.text.contains("hunter2") && !text(&serve.stderr).contains("hunter2"));

    write("\u{feff}LOG=info\nSHOE_SIZE=43\n");
    let told = doctor_in(&folder, &[("APP_SECRET", &secret())], &[]).await;
    told.assert_has("warning", &["SHOE_SIZE", ".env"]);
    assert_eq!(told.output.status.code(), Some(0), "a warning is no failure\n{}", told.text);
}

#[tokio::test]
async fn the_service_says_so_too_when_it_starts() {
    let settings =
        [("DATABASE_URL", "postgres://127.0.0.1:1/nowhere"), ("SESION_TTL", "1h"), ("LISTEN", "0.0.0.0:0")];
    let told = text(&run(program(&folder(), &settings), "").await.stderr);
    let about = |word: &str| told.lines().filter(|line| line.contains(word)).count();
    assert_eq!((about("SESION_TTL"), about("PUBLIC_URL is not set")), (1, 1), "{told}");
}

#[tokio::test]
async fn a_database_that_can_t_be_used_is_told_from_one_that_is_not_there() {
    let database = Database::migrated().await;
    let told = doctor(&[("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/nowhere")]).await;
    told.assert_has("problem", &["127.0.0.1:1", "can't be reached"]);
    assert!(!told.text.contains("hunter2"), "{}", told.text);

    let mut nowhere = database.url().clone();
    nowhere.set_path("/nowhere");
    doctor(&[("DATABASE_URL", nowhere.as_str())]).await.assert_has("problem", &["no such database"]);

    let name = database.url().path().trim_start_matches('/').to_owned();
    execute(&database, &format!("alter database {name} set default_transaction_read_only = on")).await;
    doctor(&[("DATABASE_URL", database.url().as_str())]).await.assert_has("problem", &["read-only"]);
    execute(&database, &format!("set transaction_read_only = off; alter database {name} reset all")).await;

    // Here the tests' own Postgres has a word to say: it is a superuser's, and has no crash to fear.
    let told = doctor(&[("DATABASE_URL", database.url().as_str())]).await;
    told.assert_has("problem", &["fsync"]);
    told.assert_has("warning", &["superuser"]);
    told.assert_has("ok", &["notifications arrive"]);
    told.assert_has("ok", &["clock"]);
    told.assert_has("ok", &["the schema is up to date"]);

    execute(&database, "update _sqlx_migrations set checksum = '' where version = 1").await;
    doctor(&[("DATABASE_URL", database.url().as_str())])
        .await
        .assert_has("problem", &["migration 1", "another content"]);
    execute(&database, "delete from _sqlx_migrations where version = 1").await;
    doctor(&[("DATABASE_URL", database.url().as_str())]).await.assert_has("warning", &["Migrations"]);
}

#[tokio::test]
async fn notifications_that_get_lost_are_found() {
    let database = Database::migrated().await;
    let url = [("DATABASE_URL", database.url().as_str())];
    doctor(&url).await.assert_has("ok", &["notifications arrive"]);

    // As behind a pooler that hands out another connection for each statement: whoever listens hears nothing.
    let name = database.url().path().trim_start_matches('/');
    let silence = "create function public.pg_notify(text, text) returns void language sql as 'select'";
    execute(&database, &format!("{silence}; alter database {name} set search_path = public, pg_catalog"))
        .await;
    doctor(&url).await.assert_has("warning", &["Notifications don't arrive", "pooler"]);
}

#[tokio::test]
async fn keys_that_this_node_can_t_sign_with_are_found() {
    let (right, wrong) = (secret(), secret());
    let database = Arc::new(Database::migrated().await);
    let mut server = TestServer::on(database.clone(), &[("APP_SECRET", &right)]).await;
    server.stop().await;
    let url = ("DATABASE_URL", database.url().as_str());

    let told = doctor(&[url, ("APP_SECRET", &right)]).await;
    told.assert_has("ok", &["HS256", "decrypts the keys"]);
    let told = doctor(&[url, ("APP_SECRET", &wrong)]).await;
    told.assert_has("problem", &["can't sign", "APP_SECRET_PREVIOUS", "keys reset"]);
    let told = doctor(&[url]).await;
    told.assert_has("problem", &["APP_SECRET is not set", "encrypted"]);
    let told = doctor(&[url, ("APP_SECRET", &right), ("JWT_ALGORITHM", "EdDSA")]).await;
    told.assert_has("warning", &["EdDSA", "HS256"]);
    let told = doctor(&[url, ("APP_SECRET", &right), ("APP_SECRET_PREVIOUS", &right)]).await;
    told.assert_has("warning", &["APP_SECRET_PREVIOUS"]);
    // None of this has changed a thing.
    let told = doctor(&[url, ("APP_SECRET", &right)]).await;
    told.assert_has("ok", &["HS256", "decrypts the keys"]);
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_found() {
    let (folder, secret) = (folder(), secret());
    let path = folder.join("jwt.key");
    std::fs::write(&path, "a key of thirty-two bytes or somewhat more").expect("a file");
    for (mode, level) in [(0o644, "problem"), (0o640, "warning"), (0o600, "ok")] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("permissions");
        let settings = [("APP_SECRET", secret.as_str()), ("JWT_KEY_FILE", path.to_str().expect("a path"))];
        let told = doctor_in(&folder, &settings, &[]).await;
        told.assert_has(level, &["JWT_KEY_FILE"]);
        assert!(!told.text.contains("thirty-two"), "{}", told.text);
    }
}

#[tokio::test]
async fn a_service_that_takes_itself_for_another_is_found() {
    let server = TestServer::with(&[("PUBLIC_URL", "http://auth.example.org")]).await;
    let database = ("DATABASE_URL", server.database_url().as_str());
    let url = format!("http://{}", server.address());
    let told = doctor_in(&folder(), &[database], &["--url", &url]).await;
    told.assert_has("ok", &["is ready"]);
    told.assert_has("problem", &["does not take", "PUBLIC_URL"]);

    let metrics = TestServer::with(&[METRICS]).await;
    let url = format!("http://{}", metrics.metrics_address().expect("an address"));
    let told = doctor_in(&folder(), &[database], &["--url", &url]).await;
    told.assert_has("problem", &["session/logout answers 404", "not this service"]);

    let told = doctor_in(&folder(), &[database], &["--url", "http://127.0.0.1:1"]).await;
    told.assert_has("problem", &["Nothing answers at http://127.0.0.1:1"]);
}

#[tokio::test]
async fn a_service_below_a_path_is_asked_there_by_the_names_that_are_set() {
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}/auth");
    let prefix = ("COOKIE_NAME_PREFIX", "staging_");
    let settings = [("LISTEN", address.as_str()), ("PUBLIC_URL", &url), prefix];
    let server = TestServer::with(&settings).await;
    let database = ("DATABASE_URL", server.database_url().as_str());
    for settings in [&[database, prefix, ("PUBLIC_URL", &url)][..], &[database, prefix]] {
        let told = doctor_in(&folder(), settings, &["--url", &url]).await;
        told.assert_has("ok", &[&format!("the service at {url} is ready")]);
        told.assert_has("ok", &["are accepted, and get their cookies"]);
    }
    let told = doctor_in(&folder(), &[database], &["--url", &format!("http://{address}/elsewhere")]).await;
    told.assert_has("problem", &["/elsewhere/session/logout answers 404"]);
}

#[tokio::test]
async fn origins_whose_pages_get_no_cookies_are_named() {
    let origins =
        ("ALLOWED_ORIGINS", "https://app.example.com,https://app.example.org,capacitor://localhost");
    let told = doctor(&[("PUBLIC_URL", "https://auth.example.com"), origins]).await;
    told.assert_has("warning", &["https://app.example.org, capacitor://localhost", "another site", "bearer"]);
    assert!(told.of("warning").iter().all(|line| !line.contains("app.example.com,")), "{}", told.text);
}

/// What it says is lacking is what a node needs: given that and no more, it does everything.
#[tokio::test]
async fn rights_that_are_lacking_are_all_that_a_node_needs() {
    let database = Arc::new(Database::migrated().await);
    let role = format!("auth_{:08x}", u32::from_ne_bytes(random_bytes()));
    execute(&database, &format!("create role {role} login; revoke create on schema public from public"))
        .await;
    let mut url = database.url().clone();
    url.set_username(&role).expect("a name");
    let settings = [("DATABASE_URL", url.as_str())];

    let told = doctor(&settings).await;
    told.assert_has("problem", &["The list of migrations can't be read", "on dualauth._sqlx_migrations to"]);
    let lacking = told.of("problem").into_iter().find(|line| line.contains("lacks rights")).expect("rights");
    let (_, grants) = lacking.split_once("owner of the tables, run: ").expect("statements");
    let mut connection = database.connect().await;
    let tables = "select tablename::text from pg_tables where schemaname = 'dualauth'";
    let tables: Vec<String> =
        sqlx::query_scalar(tables).fetch_all(&mut connection).await.expect("the tables");
    for table in &tables {
        assert!(grants.contains(&format!("on dualauth.{table} to {role};")), "{table} is not in {grants}");
    }
    execute(&database, grants).await;

    let told = doctor(&settings).await;
    told.assert_has("ok", &["the rights that it needs"]);
    told.assert_has("ok", &["the schema is up to date"]);
    assert!(told.of("warning").iter().all(|line| !line.contains("superuser")), "{}", told.text);
    let mut server = TestServer::on(database.clone(), &[("DATABASE_URL", url.as_str())]).await;
    server.user("ada").await;
    for mut client in Client::in_every_way(&server, "ada").await {
        client.profile().await.ok();
        client.refresh().await.ok();
        if client.pair == Pair::SESSION_BEARER {
            let put = client.request("PUT", "/session/data/theme").json(&"dark".into());
            client.send(put).await.expect(204);
        }
        client.logout().await.expect(204);
    }
    server.stop().await;
    let events = "select count(*) from audit_events";
    let events: i64 = sqlx::query_scalar(events).fetch_one(&mut connection).await.expect("a count");
    assert_eq!(events, 9);

    // Without the right to create tables, a migration is for somebody else.
    execute(&database, "delete from _sqlx_migrations where version = 1").await;
    let right = format!("grant usage, create on schema dualauth to {role};");
    doctor(&settings).await.assert_has("problem", &["Migrations", "may not run", &right]);
    execute(&database, &format!("drop owned by {role}; alter role {role} connection limit 5")).await;
    let connect = PgConnection::connect(url.as_str()).await;
    drop(connect);
    doctor(&settings).await.assert_has("problem", &["allows 5 connections"]);
    execute(&database, &format!("drop role {role}")).await;
}
