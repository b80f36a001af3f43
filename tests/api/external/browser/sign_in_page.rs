//! examples/sign-in-page: a page of another origin that signs in by a provider that nobody here wrote.

use std::net::SocketAddr;
use std::path::Path;

use fantoccini::Locator;
use fantoccini::key::Key;
use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use super::axe;
use super::driver::Browser;
use super::keyboard::send_keys;
use crate::external::oidc_provider;
use crate::factors;
use crate::providers::provider_file;
use crate::support::{PASSWORD, eventually, http::Request, server::TestServer, text};

const ADA: &str = "17";
const BEA: &str = "18";

/// The server, a provider, and the page on an origin of its own.
struct Site {
    server: TestServer,
    provider: (Child, SocketAddr),
    page: SocketAddr,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let page = listener.local_addr().expect("an address");
        let callback = "http://127.0.0.1/providers/stub/callback";
        let provider = oidc_provider::start(callback).await;
        let file = provider_file(&format!("http://{}", provider.1), "hunter2 & more", "title = 'Example'");
        let origin = format!("http://localhost:{}", page.port());
        let server = TestServer::with(&[("PROVIDERS", &file), ("ALLOWED_ORIGINS", &origin)]).await;
        tokio::spawn(serve_page(listener, format!("http://localhost:{}", server.address().port())));
        Self { server, provider, page }
    }

    fn url(&self) -> String {
        format!("http://localhost:{}/", self.page.port())
    }

    /// A browser that shows the page, and nobody is signed in.
    async fn open(&self) -> Browser {
        let browser = Browser::start().await;
        browser.goto(&self.url()).await;
        waits_for_status(&browser, "You are not signed in.").await;
        browser
    }

    /// Where the provider sends the browser of somebody who has signed in there, by a sign-in that they have begun by themselves.
    async fn callback_of_an_attacker(&self) -> String {
        let body = json!({ "for": "login", "method": "stub", "return_to": self.url() });
        let challenge = self.server.send(Request::post("/challenges").json(&body)).await.expect(201).json();
        let url = text(&challenge["authorization_url"]);
        let callback =
            oidc_provider::follow(url, self.provider.1, &format!("http://{}", self.server.address())).await;
        format!("http://{}{callback}", self.server.address())
    }

    async fn logins(&self) -> i64 {
        let count = "select count(*) from logins where ended_at is null";
        sqlx::query_scalar(count).fetch_one(&mut self.server.sql().await).await.expect("a count")
    }
}

/// Serves the example, with the server's URL in the place of its own.
async fn serve_page(listener: TcpListener, dualauth: String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sign-in-page");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
    let (html, script) = (read("index.html"), read("sign-in.js"));
    let shown = "const DUALAUTH = \"http://localhost:8080\"";
    assert!(script.contains(shown), "it says where the server is");
    let script = script.replace(shown, &format!("const DUALAUTH = \"{dualauth}\""));
    while let Ok((stream, _)) = listener.accept().await {
        let (html, script) = (html.clone(), script.clone());
        tokio::spawn(answer(stream, html, script));
    }
}

async fn answer(stream: TcpStream, html: String, script: String) -> std::io::Result<()> {
    let mut client = BufReader::new(stream);
    let mut head = String::new();
    while client.read_line(&mut head).await? > 2 {}
    let (status, kind, body) = match head.split(' ').nth(1).unwrap_or_default() {
        "/" => ("200 OK", "text/html", html),
        "/sign-in.js" => ("200 OK", "text/javascript", script),
        _ => ("204 No Content", "text/plain", String::new()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    client.get_mut().write_all(answer.as_bytes()).await
}

async fn waits_for_status(browser: &Browser, expected: &str) {
    eventually(expected, async || shown(browser, "#status").await == expected).await;
}

/// The text that is there now: none, while one page makes way for another.
async fn shown(browser: &Browser, css: &str) -> String {
    match browser.client.find(Locator::Css(css)).await {
        Ok(element) => element.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    }
}

async fn leave(browser: &Browser) {
    browser.press(Locator::XPath("//button[text()='Sign in with Example']")).await;
    browser.find(&format!("#as-{ADA}")).await;
}

async fn sign_in_there(browser: &Browser, subject: &str) {
    browser.click(&format!("#as-{subject}")).await;
}

async fn send(browser: &Browser, proof: &str) {
    browser.type_into("#value", proof).await;
    browser.click("#proof button").await;
}

/// Without a code in the address bar, where it would be bookmarked, shared, or sent once more.
async fn assert_plain_address(browser: &Browser, site: &Site) {
    assert_eq!(browser.client.current_url().await.expect("a URL").as_str(), site.url());
}

async fn show(browser: &Browser, tab: &WindowHandle) {
    browser.client.switch_to_window(tab.clone()).await.expect("the tab");
}

/// The cookies of the server; the provider has its own.
async fn cookies(browser: &Browser) -> Vec<Value> {
    let all = browser.cookies().await;
    all.into_iter().filter(|cookie| cookie["domain"] == "localhost").collect()
}

#[tokio::test]
async fn somebody_signs_in_by_the_example_page_and_no_button_of_the_browser_undoes_or_repeats_it() {
    let site = Site::start().await;
    let browser = site.open().await;
    axe::inspect(&browser, "sign-in-page-1-providers").await;
    leave(&browser).await;
    sign_in_there(&browser, ADA).await;
    waits_for_status(&browser, "You are signed in as ada.").await;
    assert_plain_address(&browser, &site).await;
    axe::inspect(&browser, "sign-in-page-2-signed-in").await;
    let stored = "return JSON.stringify({ ...localStorage, ...sessionStorage, cookie: document.cookie })";
    assert_eq!(browser.run(stored, vec![]).await, r#"{"cookie":""}"#, "no script has anything to steal");
    let names: Vec<_> = cookies(&browser).await.iter().map(|cookie| cookie["name"].clone()).collect();
    assert_eq!(names, [json!("sessionid")]);

    browser.client.refresh().await.expect("a reload");
    waits_for_status(&browser, "You are signed in as ada.").await;
    // Back over the provider's page to the page as it was left, and forward again.
    let at_page = async || browser.client.current_url().await.expect("a URL").as_str() == site.url();
    browser.client.back().await.expect("the page before");
    while !at_page().await {
        browser.client.back().await.expect("the page before");
    }
    waits_for_status(&browser, "You are signed in as ada.").await;
    for _ in 0..2 {
        browser.client.forward().await.expect("the page after");
    }
    assert_eq!(site.logins().await, 1);

    browser.goto(&site.url()).await;
    browser.click("#sign-out").await;
    waits_for_status(&browser, "You are signed out.").await;
    assert_eq!((site.logins().await, cookies(&browser).await), (0, vec![]));
    browser.client.back().await.expect("the page before");
    browser.goto(&site.url()).await;
    waits_for_status(&browser, "You are not signed in.").await;
    browser.stop().await;
}

#[tokio::test]
async fn who_denies_at_the_provider_is_told_in_a_sentence_and_may_sign_in_after_all() {
    let site = Site::start().await;
    let browser = site.open().await;
    leave(&browser).await;
    browser.click("#deny").await;
    waits_for_status(&browser, "You did not sign in there.").await;
    assert_plain_address(&browser, &site).await;
    assert_eq!((site.logins().await, cookies(&browser).await), (0, vec![]));
    // A provider that fails, and a challenge that is over.
    for (half, told) in [("error=provider_failed", "provider does not answer"), ("code=00", "challenge")] {
        browser.run("sessionStorage.setItem('an id', 'dac_over')", vec![]).await;
        browser.goto(&format!("{}#challenge=an%20id&{half}", site.url())).await;
        eventually(told, async || shown(&browser, "#status").await.contains(told)).await;
        assert!(browser.has("#providers button").await, "one may begin again");
        assert_plain_address(&browser, &site).await;
    }
    // Somebody who changes their mind on the way goes back, and begins again.
    leave(&browser).await;
    browser.goto(&site.url()).await;
    waits_for_status(&browser, "You are not signed in.").await;
    leave(&browser).await;
    sign_in_there(&browser, ADA).await;
    waits_for_status(&browser, "You are signed in as ada.").await;
    browser.stop().await;
}

#[tokio::test]
async fn two_tabs_sign_in_at_once_whichever_comes_back_first() {
    let site = Site::start().await;
    let browser = site.open().await;
    let first = browser.client.window().await.expect("a tab");
    let second = browser.client.new_window(true).await.expect("another tab").handle;
    leave(&browser).await;
    show(&browser, &second).await;
    browser.goto(&site.url()).await;
    leave(&browser).await;
    // The tab that left last comes back first.
    sign_in_there(&browser, BEA).await;
    waits_for_status(&browser, "You are signed in as bea.").await;
    show(&browser, &first).await;
    sign_in_there(&browser, ADA).await;
    waits_for_status(&browser, "You are signed in as ada.").await;
    show(&browser, &second).await;
    browser.client.refresh().await.expect("a reload");
    waits_for_status(&browser, "You are signed in as ada.").await;
    browser.stop().await;
}

#[tokio::test]
async fn a_callback_that_an_attacker_began_signs_nobody_in_and_disturbs_nobody() {
    let site = Site::start().await;
    let victim = site.open().await;
    // Opened as a link, whose code comes to the page.
    victim.goto(&site.callback_of_an_attacker().await).await;
    waits_for_status(&victim, "This sign-in was begun elsewhere. Begin again.").await;
    axe::inspect(&victim, "sign-in-page-3-begun-elsewhere").await;
    assert_plain_address(&victim, &site).await;
    assert_eq!((site.logins().await, cookies(&victim).await), (0, vec![]));
    // The page with a code that the attacker has been given, where it was open before.
    let fragment = "#challenge=0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e&code=dap_nothing";
    victim.goto(&format!("{}{fragment}", site.url())).await;
    waits_for_status(&victim, "This sign-in was begun elsewhere. Begin again.").await;
    assert_plain_address(&victim, &site).await;

    // While the victim is on the way, in another tab; and once she is signed in.
    leave(&victim).await;
    let tab = victim.client.window().await.expect("a tab");
    let other = victim.client.new_window(true).await.expect("another tab").handle;
    show(&victim, &other).await;
    victim.goto(&site.callback_of_an_attacker().await).await;
    waits_for_status(&victim, "This sign-in was begun elsewhere. Begin again.").await;
    show(&victim, &tab).await;
    sign_in_there(&victim, BEA).await;
    waits_for_status(&victim, "You are signed in as bea.").await;
    victim.goto(&site.callback_of_an_attacker().await).await;
    waits_for_status(&victim, "You are signed in as bea.").await;
    assert_eq!(site.logins().await, 1);
    victim.stop().await;
}

#[tokio::test]
async fn an_account_with_the_address_is_linked_by_its_password_and_second_factor_and_asked_for_the_latter_next_time()
 {
    let site = Site::start().await;
    let (_, authenticator) = factors::two_step_user(&site.server, "bea").await;
    let before = site.logins().await;
    let browser = site.open().await;
    leave(&browser).await;
    sign_in_there(&browser, BEA).await;
    waits_for_status(&browser, "One more step.").await;
    assert!(browser.text("label").await.contains("password"));
    axe::inspect(&browser, "sign-in-page-4-link").await;
    send(&browser, "not the password").await;
    eventually("it is wrong", async || browser.text("#status").await != "One more step.").await;
    assert_eq!(browser.run("return document.activeElement.id", vec![]).await, "value");
    send(&browser, PASSWORD).await;
    eventually("the next step", async || shown(&browser, "label").await.contains("authenticator")).await;
    let value = "return document.getElementById('value').value";
    assert_eq!(browser.run(value, vec![]).await, "", "the password is not shown in the field of the code");
    axe::inspect(&browser, "sign-in-page-5-second-factor").await;
    send(&browser, "000000").await;
    eventually("it is wrong", async || browser.text("#status").await != "One more step.").await;
    browser.type_into("#value", &authenticator.next_code(&site.server)).await;
    send_keys(&browser, &Key::Enter.to_string()).await;
    waits_for_status(&browser, "You are signed in as bea.").await;
    browser.click("#sign-out").await;
    waits_for_status(&browser, "You are signed out.").await;
    assert_eq!(site.logins().await, before);

    // The provider remembers her.
    browser.press(Locator::XPath("//button[text()='Sign in with Example']")).await;
    eventually("a code", async || shown(&browser, "label").await.contains("authenticator")).await;
    send(&browser, &authenticator.recovery_codes[0]).await;
    waits_for_status(&browser, "You are signed in as bea.").await;
    browser.stop().await;
}
