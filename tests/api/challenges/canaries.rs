//! No half of a challenge gets out: not into a line, a span, an audit event, or the database in the clear.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{NEW_PASSWORD, asking, with_its_code};
use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    collector::Collector,
    eventually,
    http::Request,
    mail_server::MailServer,
    program::{Server, folder},
    server::{CHEAP, credentials, registration},
    with,
};

/// Whether a text has these digits, and none before or after them.
fn has_code(text: &str, code: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    text.match_indices(code).any(|(at, _)| {
        let bytes = text.as_bytes();
        !is_digit(at.checked_sub(1).and_then(|before| bytes.get(before)))
            && !is_digit(bytes.get(at + code.len()))
    })
}

/// Everything that is in the database, as text.
async fn all_rows(database: &Database) -> String {
    let mut connection = database.connect().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select quote_ident(table_name) from information_schema.tables where table_schema = 'dualauth'",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the tables");
    let mut rows = Vec::new();
    for table in tables {
        let query = format!("select coalesce(string_agg(t::text, E'\\n'), '') from dualauth.{table} t");
        let text: String =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await.expect("the rows");
        rows.push(text);
    }
    rows.join("\n")
}

#[tokio::test]
async fn no_token_and_no_code_is_logged_traced_audited_or_stored_in_the_clear() {
    let database = Arc::new(Database::migrated().await);
    let (mails, collector) = (MailServer::start().await, Collector::start());
    let (url, smtp, endpoint) = (database.url().to_string(), mails.url(), collector.url());
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("SMTP_URL", &smtp),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("EMAIL_SIGN_IN", "on"),
        ("LOG", "trace"),
        ("LOG_FORMAT", "json"),
    ];
    let server = Server::start(&folder(), &[CHEAP, &settings].concat()).await;
    let mut secrets = Vec::new();
    let mut keep = |halves: &super::Halves| {
        secrets.push(halves.clone());
        halves.json()
    };

    let asked =
        server.send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(202).json();
    let code = mails.receives(1).await[0].code().1;
    let halves = super::Halves { challenge: crate::support::text(&asked["challenge"]).to_owned(), code };
    let body = keep(&halves);
    for (request, status) in [
        (Request::post("/jwt/register").json(&with(body.clone(), "code", "1")), 401),
        (Request::post("/jwt/register").json(&with(body.clone(), "code", json!([halves.code]))), 422),
        (Request::post("/jwt/register").json(&body), 201),
        (Request::post("/jwt/register").json(&body), 401),
    ] {
        server.send(request).await.expect(status);
    }
    // One mail a minute goes to an address.
    let ask = async |purpose: &str, email: &str| -> Value {
        database.execute("delete from mail_quotas").await;
        server.send(Request::post("/challenges").json(&asking(purpose, email))).await.expect(201).json()
    };
    let login = with_its_code(&mails, &ask("login", "ada@example.org").await).await;
    let body = keep(&login);
    server
        .send(Request::post("/session/login").json(&with(body.clone(), "username", &*login.code)))
        .await
        .expect(422);
    server.send(Request::post("/session/login").json(&body)).await.expect(200);
    let forgotten = with_its_code(&mails, &ask("reset_password", "ada@example.org").await).await;
    let body = with(keep(&forgotten), "new_password", NEW_PASSWORD);
    let reset = |body: &Value| Request::post("/account/password/reset").json(body);
    server.send(reset(&with(body.clone(), "new_password", &*forgotten.code))).await.expect(422);
    server.send(reset(&with(body.clone(), &forgotten.challenge, &*forgotten.code))).await.expect(422);
    server.send(reset(&body)).await.expect(204);
    let mut client = Client::at_address(server.address(), Pair::JWT_BEARER);
    client.login(&with(credentials("ada"), "password", NEW_PASSWORD)).await.expect(200);
    database.execute("delete from mail_quotas").await;
    let own = client.request("POST", "/challenges").json(&asking("email", "new@example.org"));
    let own = with_its_code(&mails, &server.send(own).await.expect(201).json()).await;
    let body = keep(&own);
    server.send(client.request("POST", "/account/email").json(&body)).await.expect(200);
    // What is still open, and a mail that waits.
    let open = with_its_code(&mails, &ask("login", "new@example.org").await).await;
    keep(&open);

    let last = server.send(Request::get("/health/live")).await;
    let id = last.header("x-request-id").expect("an id").to_owned();
    eventually("the last line", async || server.output().contains(&id)).await;
    eventually("the audit trail", async || all_rows(&database).await.contains("email_changed")).await;
    eventually("spans", async || !collector.spans().is_empty()).await;
    let written = [
        ("the log", server.output()),
        ("spans", format!("{:?}", collector.received())),
        ("the database", all_rows(&database).await),
    ];
    assert!(written[0].1.contains("sqlx") && written[0].1.contains("TRACE"), "it was told to say everything");
    for (place, text) in &written {
        for secret in &secrets {
            assert!(!text.contains(&secret.challenge[4..]), "{place} has a token");
            assert!(!has_code(text, &secret.code), "{place} has the code {}", secret.code);
        }
    }
}
