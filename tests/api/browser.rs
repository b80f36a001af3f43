//! Swagger UI in a real browser: every route can be tried in both modes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::oauth::Service;
use super::support::PASSWORD;
use super::support::server::TestServer;

/// How long the browser may take for one step, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

struct Browser {
    driver: Child,
    client: Client,
}

impl Browser {
    async fn start() -> Self {
        let (driver, port) = start_driver().await;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1600",
        ];
        let mut capabilities = Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": arguments }));
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser session");
        Self { driver, client }
    }

    async fn stop(mut self) {
        self.client.close().await.expect("the browser closes");
        self.driver.kill().await.expect("the driver ends");
    }
}

async fn start_driver() -> (Child, u16) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver, which scripts/chromium installs");
    let output = driver.stdout.take().expect("its output");
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await.expect("a line") {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            // Read on, or the driver stops when the pipe is full.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (driver, port.trim_end_matches('.').parse().expect("a port"));
        }
    }
    panic!("chromedriver did not start");
}

/// The page, as a person uses it.
struct SwaggerUi<'a>(&'a Client);

impl SwaggerUi<'_> {
    async fn find(&self, css: &str) -> Element {
        let found = self.0.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Clicks where it stands on the page, scrolled to the middle, clear of what floats at the edges.
    async fn click(&self, css: &str) {
        let element = serde_json::to_value(self.find(css).await).expect("an element");
        let script = "arguments[0].scrollIntoView({ block: 'center' })";
        self.0.execute(script, vec![element]).await.expect("it scrolls");
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    async fn type_into(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.expect("it clears");
        field.send_keys(text).await.expect("it takes keys");
    }

    /// Tries an operation: opens it, types the body if there is one, executes, and reads the live response.
    async fn try_out(&self, tag: &str, id: &str, body: Option<Value>) -> (String, Value) {
        let block = format!("#operations-{tag}-{id}");
        if self.0.find(Locator::Css(&format!("{block}.is-open"))).await.is_err() {
            self.click(&format!("{block} .opblock-summary-control")).await;
        }
        if let Some(body) = body {
            self.type_into(&format!("{block} textarea.body-param__text"), &body.to_string()).await;
        }
        if self.0.find(Locator::Css(&format!("{block} .btn-clear"))).await.is_ok() {
            self.click(&format!("{block} .btn-clear")).await;
        }
        self.click(&format!("{block} .execute")).await;
        let status =
            self.find(&format!("{block} .live-responses-table .response .response-col_status")).await;
        let status = status.text().await.expect("a status");
        let shown =
            self.0.find(Locator::Css(&format!("{block} .live-responses-table .highlight-code > pre"))).await;
        let text = match shown {
            Ok(shown) => shown.text().await.expect("a body"),
            Err(_) => String::new(),
        };
        (
            status.split_whitespace().next().unwrap_or_default().to_owned(),
            serde_json::from_str(&text).unwrap_or(Value::Null),
        )
    }

    async fn authorize(&self, token: &str) {
        self.fill_in_authorization(&[("auth-bearer-value", token)]).await;
    }

    async fn authorize_service(&self, service: &Service) {
        let fields = [("auth-basic-username", service.id.as_str()), ("auth-basic-password", &service.secret)];
        self.fill_in_authorization(&fields).await;
    }

    async fn fill_in_authorization(&self, fields: &[(&str, &str)]) {
        self.click(".scheme-container .authorize").await;
        for (name, value) in fields {
            self.type_into(&format!(".auth-container input[aria-label='{name}']"), value).await;
        }
        let of_these = format!(".auth-container:has(input[aria-label='{}']) .authorize", fields[0].0);
        self.click(&of_these).await;
        self.click(".modal-ux .btn-done").await;
    }

    /// Types into a field of an operation's form.
    async fn fill_in(&self, tag: &str, id: &str, field: &str, value: &str) {
        let block = format!("#operations-{tag}-{id}");
        self.click(&format!("{block} .opblock-summary-control")).await;
        self.type_into(&format!("{block} [data-property-name='{field}'] input"), value).await;
    }

    /// Asserts that the page has asked for nothing that its policy refuses: nothing of it is missing.
    async fn assert_within_its_policy(&self) {
        let script = "const [done] = arguments;
            new ReportingObserver((reports) => done(reports.map((report) => report.body)),
                { types: ['csp-violation'], buffered: true }).observe();
            setTimeout(() => done([]), 500);";
        let violations = self.0.execute_async(script, vec![]).await.expect("an answer");
        assert_eq!(violations, json!([]));
    }

    async fn keep_screenshot(&self, name: &str) {
        let png = self.0.screenshot().await.expect("a screenshot");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(name), png).expect("a file");
    }
}

#[tokio::test]
async fn every_mode_can_be_tried_in_swagger_ui() {
    let server = TestServer::start().await;
    let browser = Browser::start().await;
    let page = SwaggerUi(&browser.client);
    browser.client.goto(&format!("http://{}/docs/", server.address())).await.expect("the page");

    let user = json!({"username": "ada", "email": "ada@example.org", "password": PASSWORD});
    let (status, registered) = page.try_out("session", "session_register", Some(user)).await;
    assert_eq!((status.as_str(), &registered["username"]), ("201", &json!("ada")));
    page.keep_screenshot("swagger-ui-register.png").await;
    page.assert_within_its_policy().await;

    // By cookie: it rides along, and what changes something gets its CSRF header by itself.
    let credentials = json!({"username": "ada", "password": PASSWORD});
    let (status, session) = page.try_out("session", "session_login", Some(credentials.clone())).await;
    assert_eq!((status.as_str(), &session["login"]["transport"]), ("200", &json!("cookie")));
    let (status, profile) = page.try_out("session", "session_profile", None).await;
    assert_eq!((status.as_str(), &profile["auth"]["mode"]), ("200", &json!("session")));
    let (status, refreshed) = page.try_out("session", "session_refresh", None).await;
    assert_eq!((status.as_str(), &refreshed["login"]["id"]), ("200", &session["login"]["id"]));
    let (status, shared) = page.try_out("account", "profile", None).await;
    assert_eq!((status.as_str(), &shared["auth"]["mode"]), ("200", &json!("session")));

    // A page that was loaded anew, with no token kept, asks for one.
    browser.client.execute("sessionStorage.clear()", vec![]).await.expect("it clears");
    browser.client.refresh().await.expect("the page again");
    let (status, _) = page.try_out("session", "session_refresh", None).await;
    assert_eq!(status, "200");

    // By Bearer: the token goes in once.
    let (status, jwt) = page.try_out("jwt", "jwt_login", Some(credentials.clone())).await;
    assert_eq!((status.as_str(), &jwt["login"]["transport"]), ("200", &json!("bearer")));
    page.authorize(jwt["access_token"].as_str().expect("a token")).await;
    let (status, profile) = page.try_out("jwt", "jwt_profile", None).await;
    assert_eq!((status.as_str(), &profile["auth"]["mode"]), ("200", &json!("jwt")));
    let (status, shared) = page.try_out("account", "profile", None).await;
    assert_eq!((status.as_str(), &shared["auth"]["login_id"]), ("200", &jwt["login"]["id"]));
    page.keep_screenshot("swagger-ui-profile.png").await;

    // As another service: it shows its own secret, and the token goes into the form.
    let service = Service::registered(&server).await;
    page.authorize_service(&service).await;
    page.fill_in("oauth", "oauth_introspect", "token", jwt["access_token"].as_str().expect("a token")).await;
    let (status, told) = page.try_out("oauth", "oauth_introspect", None).await;
    assert_eq!((status.as_str(), &told["sid"]), ("200", &jwt["login"]["id"]));
    page.keep_screenshot("swagger-ui-introspect.png").await;
    page.assert_within_its_policy().await;

    let (status, _) = page.try_out("jwt", "jwt_logout", None).await;
    assert_eq!(status, "204");
    let (status, refused) = page.try_out("jwt", "jwt_profile", None).await;
    assert_eq!((status.as_str(), &refused["code"]), ("401", &json!("token_revoked")));

    browser.stop().await;
}
