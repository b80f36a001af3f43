//! examples/native: an app that signs in through the browser, and opens a page there that has the same login.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::driver::Browser;
use crate::external::oidc_provider;
use crate::factors;
use crate::providers::provider_file;
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    eventually,
    http::Request,
    program::folder,
    server::TestServer,
    text,
};

/// The server, and a provider.
struct Site {
    server: TestServer,
    provider: (Child, SocketAddr),
}

impl Site {
    async fn start() -> Self {
        let provider = oidc_provider::start("http://127.0.0.1/providers/stub/callback").await;
        let file = provider_file(&format!("http://{}", provider.1), "hunter2 & more", "");
        let server = TestServer::with(&[("PROVIDERS", &file), ("RETURN_TO", "http://127.0.0.1/")]).await;
        Self { server, provider }
    }

    fn url(&self) -> String {
        format!("http://localhost:{}", self.server.address().port())
    }

    /// Signs in at the provider, and gives the URL that a browser is sent to then.
    async fn sign_in_there(&self, authorization_url: &str) -> String {
        let callback = format!("http://{}", self.server.address());
        let path = oidc_provider::follow(authorization_url, self.provider.1, &callback).await;
        let answer = self.server.send(Request::get(&path)).await.expect(303);
        answer.header("location").expect("a location").to_owned()
    }

    /// The owner, at another device.
    async fn owner(&self) -> Client {
        let body = json!({ "for": "login", "method": "stub", "return_to": "http://127.0.0.1/" });
        let challenge = self.server.send(Request::post("/challenges").json(&body)).await.expect(201).json();
        let url = self.sign_in_there(text(&challenge["authorization_url"])).await;
        let code = url.split_once("&code=").expect("a code").1;
        let mut client = Client::new(&self.server, Pair::JWT_BEARER);
        client.login(&json!({ "challenge": challenge["challenge"], "code": code })).await.expect(200);
        client
    }
}

/// The program, whose browser writes down where it is sent.
struct App {
    process: Child,
    opened: PathBuf,
}

impl App {
    fn start(site: &Site) -> Self {
        let folder = folder();
        let (browser, opened) = (folder.join("browser"), folder.join("opened"));
        let script = format!("#!/bin/sh\necho \"$1\" >>{}\n", opened.display());
        std::fs::write(&browser, script).expect("a file");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&browser, executable).expect("a program");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/native/sign_in.py");
        let mut command = Command::new("python3");
        command.arg(example).args([&site.url(), "stub"]).env("BROWSER", browser).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { process: command.spawn().expect("Python 3"), opened }
    }

    /// The URL that it has opened as the first, the second and so on; waits for it.
    async fn opened(&self, index: usize) -> String {
        let read = || {
            let lines = std::fs::read_to_string(&self.opened).unwrap_or_default();
            lines.lines().nth(index).map(str::to_owned)
        };
        eventually("a page", async || read().is_some()).await;
        read().expect("a URL")
    }

    async fn type_line(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().expect("its input");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
    }

    async fn ends(mut self) -> Output {
        eventually("it ends", async || self.process.try_wait().expect("its state").is_some()).await;
        self.process.wait_with_output().await.expect("its output")
    }
}

/// What is in the login list under the app's name.
async fn login_of_app(owner: &Client) -> Value {
    let listed = owner.get("/account/logins").await.ok();
    let logins = listed["logins"].as_array().expect("a list");
    logins.iter().find(|login| login["device_name"] == "Native example").expect("the app's login").clone()
}

async fn profile_by_cookie(browser: &Browser) -> Value {
    let script = "const [done] = arguments;
        fetch('/session/profile').then((response) => response.json()).then(done, (error) => done(String(error)));";
    browser.run_async(script, vec![]).await
}

#[tokio::test]
async fn the_native_example_signs_in_opens_a_page_and_loses_both_when_its_owner_signs_it_out() {
    let site = Site::start().await;
    let mut owner = site.owner().await;
    let (app, browser) = (App::start(&site), Browser::start().await);
    browser.goto(&app.opened(0).await).await;
    browser.click("#as-17").await;
    eventually("the app has the code", async || browser.text("p").await == "Go back to the app.").await;
    let at = browser.client.current_url().await.expect("a URL");
    assert_eq!((at.host_str(), at.path(), at.fragment()), (Some("127.0.0.1"), "/", None));

    browser.goto(&app.opened(1).await).await;
    eventually("the name", async || browser.text("#go-on").await == "Continue as ada").await;
    browser.click("#go-on").await;
    eventually("the press has signed in", async || browser.text("h1").await == "You are signed in").await;
    let (login, profile) = (login_of_app(&owner).await, profile_by_cookie(&browser).await);
    assert_eq!(profile["auth"]["login_id"], login["id"], "one login");
    assert_eq!(login["modes"], json!(["jwt", "session"]));

    // Roles that have changed, and a token that has run out, are no end.
    for (roles, passed) in [("{user,editor}", MINUTE), ("{user,editor}", 16 * MINUTE)] {
        let before = login_of_app(&owner).await["last_seen_at"].clone();
        crate::nodes::sql(&site.server, &format!("update users set roles = '{roles}'")).await;
        site.server.clock.advance(passed);
        owner.refresh().await.expect(200);
        eventually("a refresh", async || login_of_app(&owner).await["last_seen_at"] != before).await;
    }

    let sign_out = owner.request("DELETE", &format!("/account/logins/{}", text(&login["id"])));
    site.server.send(sign_out).await.expect(204);
    let output = app.ends().await;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["Signed in as ada", "Signed out elsewhere: these tokens are dead, and so is the page"]
    );
    assert_eq!(profile_by_cookie(&browser).await["code"], "session_expired");
    owner.profile().await.expect(200);
    browser.stop().await;
}

#[tokio::test]
async fn the_native_example_takes_nobody_elses_code_waits_for_its_own_and_asks_for_a_second_factor() {
    let site = Site::start().await;
    let authenticator = factors::enrol(&site.server, &site.owner().await).await;
    let mut app = App::start(&site);
    let returned = site.sign_in_there(&app.opened(0).await).await;
    let (page, fragment) = returned.split_once('#').expect("a fragment");
    let address = page.trim_start_matches("http://").trim_end_matches('/');
    let address: SocketAddr = address.parse().expect("an address");
    // A connection that a browser keeps for later, and a page that brings what an attacker has begun.
    let idle = TcpStream::connect(address).await.expect("it listens");
    for body in ["challenge=0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e&code=00", "", "&&=", fragment] {
        Request::post("/").bytes(body).send(address).await.expect(200);
    }
    app.type_line(&authenticator.next_code(&site.server)).await;
    app.opened(1).await;
    drop(idle);
    app.process.kill().await.expect("it ends");
}

#[tokio::test]
async fn the_native_example_says_that_nobody_signed_in() {
    let site = Site::start().await;
    let app = App::start(&site);
    let browser = Browser::start().await;
    browser.goto(&app.opened(0).await).await;
    browser.click("#deny").await;
    let output = app.ends().await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "Nobody signed in: access_denied\n");
    browser.stop().await;
}
