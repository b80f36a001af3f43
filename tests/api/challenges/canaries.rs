//! No half of a challenge gets out: not into a line, a span, an audit event, or the database in the clear.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
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
    proxy::Proxy,
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

/// As Postgres writes bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Whatever both halves may look like: as text, as bytes, and as the bytes of the text.
fn assert_lacks(place: &str, text: &[u8], halves: &super::Halves) {
    let readable = String::from_utf8_lossy(text);
    let token = halves.challenge.strip_prefix("dac_").expect("a token");
    let random = URL_SAFE_NO_PAD.decode(token).expect("base64");
    let has = |part: &[u8]| text.windows(part.len()).any(|it| it == part);
    for form in [token.as_bytes(), &random, hex(&random).as_bytes(), hex(token.as_bytes()).as_bytes()] {
        assert!(!has(form), "{place} has a token");
    }
    let shown = format!("{} {}", &halves.code[..4], &halves.code[4..]);
    assert!(!has_code(&readable, &halves.code), "{place} has the code {}", halves.code);
    for form in [hex(halves.code.as_bytes()), hex(shown.as_bytes()), shown] {
        assert!(!readable.contains(&form), "{place} has the code {}", halves.code);
    }
}

/// Everything that is in the database, as text, and what it tells of who is asking for what.
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
    let activity =
        "select string_agg(query, E'\\n') from pg_stat_activity where datname = current_database()";
    rows.push(sqlx::query_scalar(activity).fetch_one(&mut connection).await.expect("this query at least"));
    rows.join("\n")
}

#[tokio::test]
async fn no_token_and_no_code_is_logged_traced_audited_or_stored_in_the_clear() {
    let database = Database::migrated().await;
    // What Postgres is never told is in no table, no statistics and no log of it.
    let proxy = Proxy::in_front_of(&database).await;
    proxy.keep_what_is_sent();
    let (mails, collector) = (MailServer::start().await, Collector::start());
    let (url, smtp, endpoint) = (proxy.url().to_string(), mails.url(), collector.url());
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

    // As though somebody's program had put both halves where they don't belong.
    for halves in &secrets {
        let path = format!("/mail?id=1&challenge={}&code={}", halves.challenge, halves.code);
        server.send(Request::get(&path)).await;
    }

    let last = server.send(Request::get("/health/live")).await;
    let id = last.header("x-request-id").expect("an id").to_owned();
    eventually("the last line", async || server.output().contains(&id)).await;
    eventually("the audit trail", async || all_rows(&database).await.contains("email_changed")).await;
    eventually("spans", async || !collector.spans().is_empty()).await;
    let written = [
        ("the log", server.output().into_bytes()),
        ("spans", format!("{:?}", collector.received()).into_bytes()),
        ("the database", all_rows(&database).await.into_bytes()),
        ("what the database was sent", proxy.sent()),
    ];
    let log = server.output();
    assert!(log.contains("sqlx") && log.contains("TRACE"), "it was told to say everything");
    let has = |text: &[u8], part: &str| text.windows(part.len()).any(|it| it == part.as_bytes());
    assert!(has(&written[3].1, "insert into dualauth.challenges"), "it was listened to");
    for (place, text) in &written {
        for halves in &secrets {
            assert_lacks(place, text, halves);
        }
        assert!(!has(text, NEW_PASSWORD), "{place} has the new password");
    }
}
