//! `/mail`, which the link in a mail opens: it goes on in the browser that asked, after a press; elsewhere it shows the code.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use fantoccini::key::Key;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::axe;
use super::driver::Browser;
use super::keyboard::{send_keys, tab_to};
use crate::challenges::{asking, email_of};
use crate::support::{
    MINUTE, PASSWORD,
    cluster::Database,
    collector::Collector,
    eventually,
    http::Request,
    mail_server::MailServer,
    program::{Server, folder},
    server::{CHEAP, TestServer, credentials, registration},
    text,
};

const NEW_PASSWORD: &str = "another quiet lantern by the river";

/// A server that signs in by mail, and the mails that it sends.
async fn server(registration: &str) -> (TestServer, MailServer) {
    let mails = MailServer::start().await;
    let url = mails.url();
    let settings = [("SMTP_URL", url.as_str()), ("REGISTRATION", registration), ("EMAIL_SIGN_IN", "on")];
    (TestServer::with(&settings).await, mails)
}

/// The link that a mail has.
struct Link {
    address: SocketAddr,
    id: String,
    code: String,
}

impl Link {
    /// As the mail of this challenge says; waits for it.
    async fn of(address: SocketAddr, mails: &MailServer, id: &str) -> Self {
        let has_it = |mail: &crate::support::mail_server::ReceivedMail| mail.text().contains(id);
        eventually("the mail of the challenge", async || mails.received().iter().any(has_it)).await;
        let mail = mails.received().into_iter().find(has_it).expect("it came");
        Self { address, id: id.to_owned(), code: mail.code().1 }
    }

    fn url(&self) -> String {
        format!("http://{}/mail#{}.{}", self.address, self.id, self.code)
    }

    /// As the page shows it.
    fn shown_code(&self) -> String {
        format!("{} {}", &self.code[..4], &self.code[4..])
    }

    /// The same with a code that is wrong.
    fn altered(&self) -> String {
        let digit = if self.code.starts_with('0') { '1' } else { '0' };
        format!("http://{}/mail#{}.{digit}{}", self.address, self.id, &self.code[1..])
    }
}

/// Asks as a page of this server does: with a POST of this body to this path, and the challenge's token kept for `/mail`.
async fn ask(browser: &Browser, path: &str, body: Value, kept: Value) -> Value {
    let script = "const [path, body, kept, csrf, done] = arguments;
        const headers = { 'Content-Type': 'application/json', ...(csrf ? { 'X-CSRF-Token': csrf } : {}) };
        fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }).then((response) => response.json())
            .then(async (asked) => {
                const { keepChallenge } = await import('/mail/challenge-store.js');
                keepChallenge(asked.id, { ...kept, challenge: asked.challenge });
                done(asked);
            }).catch((error) => done(String(error)));";
    let csrf = kept["csrf"].clone();
    browser.run_async(script, vec![json!(path), body, kept, csrf]).await
}

/// A page that is open in a browser, on any address of the server.
async fn stand_on(browser: &Browser, address: SocketAddr) {
    browser.goto(&format!("http://{address}/mail")).await;
}

/// Asks in this browser to do this with an address, and gets the link.
async fn asked_here(
    browser: &Browser,
    (server, mails): (&TestServer, &MailServer),
    purpose: &str,
    email: &str,
    kept: Value,
) -> Link {
    server.clock.advance(MINUTE);
    stand_on(browser, server.address()).await;
    let asked = ask(browser, "/challenges", asking(purpose, email), kept).await;
    Link::of(server.address(), mails, text(&asked["id"])).await
}

/// Opens a link as a mail program has the browser do it: in a page of its own.
async fn open(browser: &Browser, url: &str) {
    browser.goto("about:blank").await;
    browser.goto(url).await;
    assert_eq!(browser.client.current_url().await.expect("a URL").fragment(), None, "it is taken away");
}

async fn title(browser: &Browser) -> String {
    browser.text("h1").await
}

async fn waits_for_title(browser: &Browser, expected: &str) {
    eventually(expected, async || title(browser).await == expected).await;
}

async fn waits_for_failure(browser: &Browser, expected: &str) {
    eventually(expected, async || browser.text("#failure").await.contains(expected)).await;
}

/// What the page has requested, without its own files. A request is listed once it is answered, so one that is made now is
/// waited for.
async fn requested(browser: &Browser) -> Value {
    let script = "const [done] = arguments;
        fetch('/mail/icon.svg', { cache: 'no-store' }).then((response) => response.text()).then(() => done(
            performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)
                .filter((path) => !path.startsWith('/mail/'))));";
    browser.run_async(script, vec![]).await
}

async fn assert_shows_the_code(browser: &Browser, link: &Link) {
    assert_eq!(title(browser).await, "Your code");
    assert_eq!(browser.text("#code").await, link.shown_code());
    assert!(browser.text("#message").await.contains("where you were asked for it"));
    assert_eq!(requested(browser).await, json!([]));
}

fn reset_kept() -> Value {
    json!({ "for": "reset_password", "mode": "session", "transport": "cookie" })
}

async fn tries(server: &TestServer) -> i64 {
    let tries = "select coalesce(sum(tries), 0)::bigint + count(used_at) from challenges";
    sqlx::query_scalar(tries).fetch_one(&mut server.sql().await).await.expect("a number")
}

#[tokio::test]
async fn a_program_that_opens_the_link_and_runs_its_script_changes_nothing_and_gets_nothing() {
    let (server, mails) = server("open").await;
    server.user("ada").await;
    let (asking, scanner) = (Browser::start().await, Browser::start().await);
    let link = asked_here(&asking, (&server, &mails), "reset_password", &email_of("ada"), reset_kept()).await;

    for _ in 0..20 {
        for method in ["GET", "HEAD"] {
            let answer = server.send(Request::new(method, "/mail")).await.expect(200);
            assert!(answer.set_cookies().is_empty(), "{answer}");
        }
        open(&scanner, &link.url()).await;
        assert_shows_the_code(&scanner, &link).await;
    }
    // It presses whatever there is.
    scanner.run("document.querySelectorAll('button').forEach((it) => it.click())", vec![]).await;
    assert_eq!(requested(&scanner).await, json!([]));
    assert_eq!(scanner.cookies().await, Vec::<Value>::new());
    assert_eq!(tries(&server).await, 0);

    // Where it was asked for, a scanner that looks over the owner's shoulder changes nothing either.
    for _ in 0..3 {
        open(&asking, &link.url()).await;
        assert_eq!(title(&asking).await, "Set a new password");
        assert_eq!(requested(&asking).await, json!([]));
    }
    assert_eq!(tries(&server).await, 0);
    asking.click("#go-on").await;
    asking.type_into("#new-password", NEW_PASSWORD).await;
    asking.click("#password-view [type='submit']").await;
    waits_for_title(&asking, "Your password is new").await;
    let login = Request::post("/jwt/login").json(&json!({ "username": "ada", "password": NEW_PASSWORD }));
    server.send(login).await.expect(200);
    for browser in [asking, scanner] {
        browser.assert_quiet(&[]).await;
        browser.assert_within_its_policy().await;
        browser.stop().await;
    }
}

#[tokio::test]
async fn the_browser_that_asked_resets_the_password_after_a_press_and_can_correct_one_that_is_refused() {
    let (server, mails) = server("open").await;
    server.user("ada").await;
    let browser = Browser::start().await;
    let link =
        asked_here(&browser, (&server, &mails), "reset_password", &email_of("ada"), reset_kept()).await;
    open(&browser, &link.url()).await;
    axe::inspect(&browser, "mail-1-confirm").await;
    browser.click("#go-on").await;
    assert_eq!(requested(&browser).await, json!([]), "a form is no request");
    axe::inspect(&browser, "mail-2-password").await;
    browser.type_into("#new-password", "short").await;
    browser.click("#password-view [type='submit']").await;
    waits_for_failure(&browser, "This password is too short").await;
    axe::inspect(&browser, "mail-3-refused").await;
    browser.type_into("#new-password", NEW_PASSWORD).await;
    browser.click("#password-view [type='submit']").await;
    waits_for_title(&browser, "Your password is new").await;
    axe::inspect(&browser, "mail-4-done").await;
    assert_eq!(browser.cookies().await, Vec::<Value>::new(), "nobody is signed in");
    let stored = "return JSON.stringify({ ...localStorage, ...sessionStorage })";
    assert_eq!(browser.run(stored, vec![]).await, "{}", "the token is forgotten");
    browser.assert_quiet(&[422]).await;
    browser.assert_within_its_policy().await;
    browser.stop().await;
}

#[tokio::test]
async fn the_browser_that_asked_signs_in_proves_an_address_and_registers_after_a_press() {
    let (server, mails) = server("open").await;
    server.user("ada").await;
    let browser = Browser::start().await;
    for (mode, cookie) in [("session", "sessionid"), ("jwt", "access_token")] {
        let kept = json!({ "for": "login", "mode": mode, "transport": "cookie" });
        let link = asked_here(&browser, (&server, &mails), "login", &email_of("ada"), kept).await;
        open(&browser, &link.url()).await;
        let has_it = async || browser.cookies().await.iter().any(|it| it["name"] == cookie);
        assert!(!has_it().await, "before the press");
        browser.click("#go-on").await;
        waits_for_title(&browser, "You are signed in").await;
        assert!(has_it().await, "{mode}");
        let script =
            "const [path, done] = arguments; fetch(path).then((response) => response.json()).then(done)";
        let csrf = browser.run_async(script, vec![json!(format!("/{mode}/csrf"))]).await;
        let kept = json!({ "for": "email", "mode": mode, "transport": "cookie", "csrf": csrf["csrf_token"] });
        let new = format!("ada.{mode}@example.org");
        let link = asked_here(&browser, (&server, &mails), "email", &new, kept).await;
        open(&browser, &link.url()).await;
        browser.click("#go-on").await;
        waits_for_title(&browser, "Your address is confirmed").await;
        let email = "select email from users where email_verified_at is not null";
        let email: String =
            sqlx::query_scalar(email).fetch_one(&mut server.sql().await).await.expect("a proved address");
        assert_eq!(email, new);
        // The next mode asks for the address of before.
        crate::nodes::sql(&server, "update users set email = 'ada@example.org'").await;
    }
    let (verified, mails) = self::server("verified").await;
    stand_on(&browser, verified.address()).await;
    let kept = json!({ "for": "register", "mode": "jwt", "transport": "cookie" });
    let asked = ask(&browser, "/jwt/register", registration("bea"), kept).await;
    let link = Link::of(verified.address(), &mails, text(&asked["id"])).await;
    open(&browser, &link.url()).await;
    verified.send(Request::post("/jwt/login").json(&credentials("bea"))).await.expect(401);
    browser.click("#go-on").await;
    waits_for_title(&browser, "Your account is ready").await;
    verified.send(Request::post("/jwt/login").json(&credentials("bea"))).await.expect(200);
    browser.assert_quiet(&[]).await;
    browser.stop().await;
}

#[tokio::test]
async fn a_code_that_is_over_or_wrong_and_a_login_that_has_ended_are_told_in_a_sentence() {
    let (server, mails) = server("open").await;
    for name in ["ada", "bea"] {
        server.user(name).await;
    }
    let browser = Browser::start().await;
    let both = (&server, &mails);
    let kept = json!({ "for": "login", "mode": "session", "transport": "cookie" });

    let link = asked_here(&browser, both, "login", &email_of("ada"), kept.clone()).await;
    open(&browser, &link.altered()).await;
    browser.click("#go-on").await;
    waits_for_title(&browser, "This code is wrong").await;
    // The right one is still right.
    open(&browser, &link.url()).await;
    browser.click("#go-on").await;
    waits_for_title(&browser, "You are signed in").await;
    // In this browser it has been used, and is one like any other.
    open(&browser, &link.url()).await;
    assert_eq!(title(&browser).await, "Your code");

    // Signed in, until the login ends meanwhile.
    let script =
        "const [done] = arguments; fetch('/session/csrf').then((response) => response.json()).then(done)";
    let csrf = browser.run_async(script, vec![]).await;
    let kept_email =
        json!({ "for": "email", "mode": "session", "transport": "cookie", "csrf": csrf["csrf_token"] });
    let link = asked_here(&browser, both, "email", "new@example.org", kept_email).await;
    open(&browser, &link.url()).await;
    let cookies = browser.cookies().await;
    let session = cookies.iter().find(|cookie| cookie["name"] == "sessionid").expect("a session");
    let logout =
        Request::post("/session/logout").header("Cookie", format!("sessionid={}", text(&session["value"])));
    let logout = logout.header("X-CSRF-Token", text(&csrf["csrf_token"]));
    server.send(logout).await.expect(204);
    browser.click("#go-on").await;
    waits_for_failure(&browser, "You are not signed in here any more").await;

    let link = asked_here(&browser, both, "login", &email_of("bea"), kept).await;
    server.clock.advance(10 * MINUTE);
    open(&browser, &link.url()).await;
    browser.click("#go-on").await;
    waits_for_title(&browser, "This code can’t be used any more").await;
    axe::inspect(&browser, "mail-5-over").await;
    browser.assert_quiet(&[401]).await;
    browser.stop().await;
}

#[tokio::test]
async fn another_browser_shows_the_code_to_be_typed_and_so_does_this_one_for_a_bearer_token() {
    let (server, mails) = server("open").await;
    server.user("ada").await;
    let (asking, other) = (Browser::start().await, Browser::start().await);
    let both = (&server, &mails);
    let link = asked_here(&asking, both, "reset_password", &email_of("ada"), reset_kept()).await;
    open(&other, &link.url()).await;
    assert_shows_the_code(&other, &link).await;
    axe::inspect(&other, "mail-6-code").await;
    other.allow_clipboard().await;
    other.click("#copy").await;
    eventually("copied", async || other.text("#notice").await == "Copied.").await;
    let read =
        "const [done] = arguments; navigator.clipboard.readText().then(done, (error) => done(String(error)))";
    assert_eq!(other.run_async(read, vec![]).await, json!(link.code));

    // In a tab that shows one already.
    let kept = json!({ "for": "login", "mode": "jwt", "transport": "bearer" });
    let bearer = asked_here(&asking, both, "login", &email_of("ada"), kept).await;
    other.goto(&bearer.url()).await;
    eventually("the other code", async || other.text("#code").await == bearer.shown_code()).await;
    open(&asking, &bearer.url()).await;
    assert_shows_the_code(&asking, &bearer).await;
    // Whoever asked may type it as well.
    open(&asking, &link.url()).await;
    asking.click("#show-code").await;
    assert_shows_the_code(&asking, &link).await;

    for broken in
        ["", "#", "#nothing", &format!("#{}", link.id), &format!("#{}.123", link.id), "#%00.12345678"]
    {
        open(&other, &format!("http://{}/mail{broken}", server.address())).await;
        assert_eq!(title(&other).await, "This link is not complete", "{broken}");
    }
    axe::inspect(&other, "mail-7-incomplete").await;
    assert_eq!(tries(&server).await, 0);
    other.assert_quiet(&[]).await;
    for browser in [asking, other] {
        browser.stop().await;
    }
}

#[tokio::test]
async fn the_page_speaks_german_and_has_every_text_in_both_languages() {
    let (server, mails) = server("open").await;
    server.user("ada").await;
    let browser = Browser::start().await;
    let both = (&server, &mails);
    let link = asked_here(&browser, both, "reset_password", &email_of("ada"), reset_kept()).await;
    let shape = "const [done] = arguments;
        const keys = (texts) => Object.entries(texts).map(([key, value]) => typeof value === 'string' ? key : [key, keys(value)]);
        import('/mail/texts.js').then(({ TEXTS }) => done(Object.values(TEXTS).map(keys)));";
    let shape = browser.run_async(shape, vec![]).await;
    assert_eq!(shape[0], shape[1]);
    for (language, used) in [("de", "de"), ("de-AT", "de"), ("fr", "en"), ("den", "en"), ("en-GB", "en")] {
        browser.prefer(language).await;
        open(&browser, &link.url()).await;
        assert_eq!(browser.run("return document.documentElement.lang", vec![]).await, used, "{language}");
    }
    browser.prefer("de-DE").await;
    open(&browser, &link.url()).await;
    assert_eq!(title(&browser).await, "Neues Passwort setzen");
    axe::inspect(&browser, "mail-8-german").await;
    browser.click("#go-on").await;
    browser.type_into("#new-password", "kurz").await;
    browser.click("#password-view [type='submit']").await;
    waits_for_failure(&browser, "Dieses Passwort ist zu kurz").await;
    browser.type_into("#new-password", NEW_PASSWORD).await;
    browser.click("#password-view [type='submit']").await;
    waits_for_title(&browser, "Ihr Passwort ist geändert").await;
    browser.stop().await;
}

#[tokio::test]
async fn the_page_works_by_keyboard() {
    let (server, mails) = server("open").await;
    server.user("ada").await;
    let browser = Browser::start().await;
    let link =
        asked_here(&browser, (&server, &mails), "reset_password", &email_of("ada"), reset_kept()).await;
    let enter = Key::Enter.to_string();
    open(&browser, &link.url()).await;
    tab_to(&browser, "#show-code").await;
    send_keys(&browser, &enter).await;
    tab_to(&browser, "#copy").await;
    open(&browser, &link.url()).await;
    tab_to(&browser, "#go-on").await;
    send_keys(&browser, &enter).await;
    // The focus is in the field.
    send_keys(&browser, NEW_PASSWORD).await;
    tab_to(&browser, "#show-password").await;
    send_keys(&browser, " ").await;
    assert!(browser.has("#new-password[type='text']").await);
    tab_to(&browser, "#password-view [type='submit']").await;
    send_keys(&browser, &enter).await;
    waits_for_title(&browser, "Your password is new").await;
    let focused = browser.run("return document.activeElement.id", vec![]).await;
    assert_eq!(focused, "title", "which a screen reader reads");
    browser.stop().await;
}

/// A relay in front of a server, which keeps all that is sent to it.
struct Relay {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    async fn start() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        (Self { address, sent: Arc::default() }, listener)
    }

    fn relay(&self, listener: TcpListener, server: SocketAddr) {
        let sent = Arc::clone(&self.sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("the server");
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass_on(from_client, to_server, Some(Arc::clone(&sent))));
                tokio::spawn(pass_on(from_server, to_client, None));
            }
        });
    }

    fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    kept: Option<Arc<Mutex<Vec<u8>>>>,
) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some(kept) = &kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..count]);
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn the_code_is_sent_in_one_body_after_the_press_and_is_in_no_url_referrer_log_or_span() {
    let database = Arc::new(Database::migrated().await);
    let (mails, collector, (relay, listener)) =
        (MailServer::start().await, Collector::start(), Relay::start().await);
    let (url, smtp, endpoint) = (database.url().to_string(), mails.url(), collector.url());
    let public = format!("http://{}", relay.address);
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("SMTP_URL", &smtp),
        ("REGISTRATION", "open"),
        ("PUBLIC_URL", &public),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("LOG", "trace"),
    ];
    let server = Server::start(&folder(), &[CHEAP, &settings].concat()).await;
    relay.relay(listener, server.address());
    server.send(Request::post("/jwt/register").json(&registration("ada"))).await.expect(201);
    let browser = Browser::start().await;
    stand_on(&browser, relay.address).await;
    let asked = ask(&browser, "/challenges", asking("reset_password", &email_of("ada")), reset_kept()).await;
    let link = Link::of(relay.address, &mails, text(&asked["id"])).await;
    let mail = mails.received().pop().expect("a mail");
    assert!(mail.text().contains(&link.url()), "{}", mail.text());

    open(&browser, &link.url()).await;
    assert!(!relay.sent().contains(&link.code) && !relay.sent().contains(&link.id), "before the press");
    browser.click("#go-on").await;
    browser.type_into("#new-password", NEW_PASSWORD).await;
    browser.click("#password-view [type='submit']").await;
    waits_for_title(&browser, "Your password is new").await;
    let sent = relay.sent();
    assert_eq!(sent.matches(&link.code).count(), 1, "{sent}");
    assert!(sent.contains(&format!("\"code\":\"{}\"", link.code)), "in the body");
    assert!(!sent.to_ascii_lowercase().contains("\nreferer:"), "{sent}");

    eventually("the line of the request", async || server.output().contains("/account/password/reset")).await;
    eventually("its span", async || format!("{:?}", collector.received()).contains("password/reset")).await;
    let written = [("log", server.output()), ("spans", format!("{:?}", collector.received()))];
    for (place, written) in written {
        for secret in [&link.code, text(&asked["challenge"]), NEW_PASSWORD, PASSWORD] {
            assert!(!written.contains(secret), "{place} has {secret}");
        }
    }
    browser.stop().await;
}
