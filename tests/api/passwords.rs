//! Stored password hashes: which of them sign somebody in, what becomes of them then, and what they may cost.

use futures_util::future::{join, join_all};
use serde_json::json;
use sqlx::{PgConnection, query, query_as, query_scalar};

use crate::support::{
    PASSWORD,
    client::{Client, Pair},
    http::Request,
    program::{folder, program, run, text},
    server::{TestServer, registration},
    statements::Statements,
    with,
};

/// Django 5.2, `PBKDF2PasswordHasher().encode(PASSWORD, "saltsaltsalt", iterations=1000)`.
const LEGACY: &str = "pbkdf2_sha256$1000$saltsaltsalt$5GdHZhjL1pD05JE9i0+q29woFlVEg9EcJrz+0CLsk1M=";

/// What the tests' servers are set to.
const TODAY: &str = "$argon2id$v=19$m=64,t=1,p=1$";

const ITERATIONS: &str = "ARGON2_ITERATIONS";

/// A user's hash, and how often the password was changed.
async fn stored(sql: &mut PgConnection, name: &str) -> (String, i32) {
    let row = query_as("select password_hash, password_version from users where username = $1").bind(name);
    row.fetch_one(sql).await.expect("a user")
}

/// Sets somebody's hash, as if it had been there all along.
async fn store(sql: &mut PgConnection, name: &str, hash: &str) {
    let update = query("update users set password_hash = $2 where username = $1").bind(name).bind(hash);
    assert_eq!(update.execute(sql).await.expect("an update").rows_affected(), 1);
}

async fn attempt(server: &TestServer, password: &str) -> u16 {
    let body = with(Pair::JWT_BEARER.credentials("ada"), "password", password);
    Client::new(server, Pair::JWT_BEARER).login(&body).await.status
}

#[tokio::test]
async fn a_hash_is_renewed_at_sign_in_when_the_settings_rose_and_stays_when_they_fell() {
    let server = TestServer::start().await;
    let raised = server.another_node_with(&[(ITERATIONS, "3")]).await;
    let sql = &mut server.sql().await;
    let before = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let (first, version) = stored(sql, "ada").await;
    assert!(first.starts_with(TODAY), "{first}");
    Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    assert_eq!(stored(sql, "ada").await, (first.clone(), version));

    assert_eq!(attempt(&raised, "another lantern, no weir").await, 401);
    assert_eq!(stored(sql, "ada").await.0, first);
    let during = Client::signed_in(&raised, Pair::JWT_COOKIE, "ada").await;

    let renewed = stored(sql, "ada").await;
    assert!(renewed.0.starts_with("$argon2id$v=19$m=64,t=3,p=1$"), "{}", renewed.0);
    assert_eq!(renewed.1, version, "the password is the same");
    for node in [&server, &raised] {
        let after = Client::signed_in(node, Pair::SESSION_COOKIE, "ada").await;
        after.assert_goes_on().await;
    }
    assert_eq!(stored(sql, "ada").await, renewed);
    before.assert_goes_on().await;
    during.assert_goes_on().await;
}

#[tokio::test]
async fn to_renew_a_hash_takes_one_statement_once() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.user("ada").await;
    let statements = async || {
        proxy.take_statements();
        Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
        let Statements(all) = proxy.take_statements();
        Statements(all.into_iter().filter(|sql| !sql.contains("revocations")).collect())
    };
    let usual = statements().await;
    assert_eq!(usual.count("update dualauth.users set password_hash"), 0, "{usual:?}");

    store(&mut server.sql().await, "ada", LEGACY).await;
    let first = statements().await;
    assert_eq!(first.count("update dualauth.users set password_hash"), 1, "{first:?}");
    assert_eq!(first.of_requests().len(), usual.of_requests().len() + 1, "{first:?}");
    let second = statements().await;
    assert_eq!(second.of_requests(), usual.of_requests());
}

#[tokio::test]
async fn who_may_not_sign_in_keeps_the_hash_that_is_stored() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let sql = &mut server.sql().await;
    store(sql, "ada", LEGACY).await;

    assert_eq!(attempt(&server, "another lantern, no weir").await, 401);
    query("update users set disabled_at = now()").execute(&mut *sql).await.expect("an update");
    assert_eq!(attempt(&server, PASSWORD).await, 401);

    assert_eq!(stored(sql, "ada").await.0, LEGACY);
    query("update users set disabled_at = null").execute(&mut *sql).await.expect("an update");
    assert_eq!(attempt(&server, PASSWORD).await, 200);
    assert!(stored(sql, "ada").await.0.starts_with(TODAY));
}

#[tokio::test]
async fn a_hash_that_can_not_be_renewed_keeps_nobody_from_signing_in() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let sql = &mut server.sql().await;
    store(sql, "ada", LEGACY).await;
    let refuse = "create function refuse() returns trigger language plpgsql as
                  $$ begin raise exception 'no'; end $$;
                  create trigger refuse before update of password_hash on users
                  for each row execute function refuse()";
    sqlx::raw_sql(refuse).execute(&mut *sql).await.expect("a trigger");

    Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await.assert_goes_on().await;

    assert_eq!(stored(sql, "ada").await.0, LEGACY);
    sqlx::raw_sql("drop trigger refuse on users").execute(&mut *sql).await.expect("no trigger");
    Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await.assert_goes_on().await;
    assert!(stored(sql, "ada").await.0.starts_with(TODAY));
}

#[tokio::test]
async fn a_renewed_hash_never_takes_the_place_of_a_changed_password() {
    const NEW: &str = "another lantern over the weir";
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let sql = &mut server.sql().await;
    for _ in 0..10 {
        store(sql, "ada", LEGACY).await;
        let body = json!({ "current_password": PASSWORD, "new_password": NEW });
        let change = client.request("POST", "/account/password").json(&body);
        let logins = (0..8).map(|_| attempt(&server, PASSWORD));
        let (_, changed) = join(join_all(logins), server.send(change)).await;
        changed.expect(204);
        assert_eq!([attempt(&server, PASSWORD).await, attempt(&server, NEW).await], [401, 200]);
    }
}

#[tokio::test]
async fn a_stored_hash_of_hostile_cost_is_a_wrong_password_and_nothing_is_computed() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let sql = &mut server.sql().await;
    let wrong = with(Pair::JWT_BEARER.credentials("ada"), "password", "another lantern, no weir");
    let wrong =
        Client::new(&server, Pair::JWT_BEARER).login(&wrong).await.problem(401, "invalid_credentials");
    // Each would take hours, or more memory than there is.
    for hostile in [
        "$argon2id$v=19$m=4194304,t=100000,p=1$775xdDPs5EupH+F2rSs5hw$XkXWj/jyNffKQR45u9RJ1f9Joig5YZCbhhgsUA8UcXA",
        "$argon2id$v=19$m=64,t=4294967295,p=1$775xdDPs5EupH+F2rSs5hw$XkXWj/jyNffKQR45u9RJ1f9Joig5YZCbhhgsUA8UcXA",
        "$2b$31$.h7YBLb5CKCwr/yRPwCEweUO0k5OWCxLlODO5BMmuiacUfegybf7q",
        "bcrypt_sha256$$2b$31$YGVsp9ISsd.eMqNewYv99.FC8DPR6OzokfnnNsQa4VhSJlaoZCel.",
        "pbkdf2_sha256$4294967295$saltsaltsalt$5GdHZhjL1pD05JE9i0+q29woFlVEg9EcJrz+0CLsk1M=",
        "$scrypt$ln=40,r=8,p=1$2Pu/V6q1NkZIaU0pRWhNaQ$uNJ45psWHdF2iKI5lemeLkjY9YI+xE/s59Icxg4tttw",
        "$scrypt$ln=1,r=1,p=1073741823$2Pu/V6q1NkZIaU0pRWhNaQ$uNJ45psWHdF2iKI5lemeLkjY9YI+xE/s59Icxg4tttw",
        "!",
        "",
    ] {
        store(sql, "ada", hostile).await;
        let refused =
            Client::new(&server, Pair::JWT_BEARER).login(&Pair::JWT_BEARER.credentials("ada")).await;
        assert_eq!(refused.but_for_the_date(), wrong.but_for_the_date(), "{hostile}");
        assert_eq!(stored(sql, "ada").await.0, hostile);
    }
    let body = json!({ "current_password": PASSWORD, "new_password": "another lantern over the weir" });
    let change = client.request("POST", "/account/password").json(&body);
    server.send(change).await.problem(403, "invalid_credentials");
    client.assert_goes_on().await;
}

#[tokio::test]
async fn a_password_that_was_hashed_as_typed_is_one_in_all_its_forms_after_the_first_sign_in() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let sql = &mut server.sql().await;
    // Django does not normalise: `encode("ﬁne cafe\u{301} under the weir", "saltsaltsalt", iterations=1000)`.
    let legacy = "pbkdf2_sha256$1000$saltsaltsalt$oYdTjyg0ZrdFtsgx+w5BJ9MpNsoqRHuNCUvNQwvDZ7o=";
    store(sql, "ada", legacy).await;
    let (typed, normal) = ("ﬁne cafe\u{301} under the weir", "fine caf\u{e9} under the weir");
    let mut answers = Vec::new();
    for password in [normal, typed, normal] {
        answers.push(attempt(&server, password).await);
    }
    assert_eq!(answers, [401, 200, 200]);
}

#[tokio::test]
async fn a_password_that_is_registered_is_never_stored_as_it_is() {
    let server = TestServer::start().await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let rows: Vec<String> = query_scalar("select to_jsonb(users)::text from users")
        .fetch_all(&mut server.sql().await)
        .await
        .expect("rows");
    assert!(rows.len() == 1 && !rows[0].contains(PASSWORD), "{rows:?}");
}

#[tokio::test]
async fn what_calibration_proposes_can_be_set_and_is_no_less_than_owasp_recommends() {
    let folder = folder();
    // The least that can be measured: with today's usual settings as well.
    let mut calibrate = program(&folder, &[("HASH_CONCURRENCY", "1")]);
    calibrate.args(["hash", "calibrate", "--target", "1"]);
    let output = run(calibrate, "").await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let proposed = text(&output.stdout);
    let setting = |name: &str| {
        let value = proposed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    let names = ["ARGON2_MEMORY_KIB", "ARGON2_ITERATIONS", "ARGON2_PARALLELISM"];
    assert_eq!(names.map(setting), [19_456, 2, 1], "{proposed}");

    std::fs::write(folder.join(".env"), &proposed).expect("a file");
    let mut openapi = program(&folder, &[]);
    openapi.arg("openapi");
    let output = run(openapi, "").await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    std::fs::remove_dir_all(&folder).expect("a folder");
}
