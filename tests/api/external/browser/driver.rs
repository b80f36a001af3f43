//! A headless Chromium, controlled by WebDriver: finding, clicking and typing, screenshots and the console log.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::{ParseError, Url};

/// How long the browser may take for one step, on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A screen: its name, width and height in CSS pixels, and whether it is a touch screen.
pub type Screen = (&'static str, u32, u32, bool);

pub const DESKTOP: Screen = ("desktop", 1280, 900, false);
pub const PHONE: Screen = ("phone", 390, 844, true);
/// The narrowest screen that is common.
pub const SMALL_PHONE: Screen = ("small-phone", 360, 740, true);

/// The values of `prefers-color-scheme`.
pub const SCHEMES: [&str; 2] = ["light", "dark"];

/// Debian's build of Chromium without windows and menus, which nobody looks at here and which take half as long again. Not the
/// script on the PATH: if ChromeDriver ends that, the browser stays.
const HEADLESS_SHELL: &str = "/usr/lib/chromium/chromium-headless-shell";

pub struct Browser {
    /// Killed when it is dropped.
    _driver: Child,
    port: u16,
    pub client: Client,
}

impl Browser {
    pub async fn start() -> Self {
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
        let mut options = json!({ "args": arguments });
        if Path::new(HEADLESS_SHELL).exists() {
            options["binary"] = json!(HEADLESS_SHELL);
        }
        let mut capabilities = Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser session");
        Self { _driver: driver, port, client }
    }

    /// Its drop ends the driver.
    pub async fn stop(self) {
        let closed = self.client.clone().close().await;
        closed.expect("the browser closes");
    }

    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect("the page");
    }

    pub async fn find(&self, css: &str) -> Element {
        self.locate(Locator::Css(css)).await
    }

    pub async fn locate(&self, what: Locator<'_>) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(what).await;
        found.unwrap_or_else(|error| panic!("{what:?}: {error}"))
    }

    /// Whether there is such an element now.
    pub async fn has(&self, css: &str) -> bool {
        self.client.find(Locator::Css(css)).await.is_ok()
    }

    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.expect("a text")
    }

    pub async fn click(&self, css: &str) {
        self.press(Locator::Css(css)).await;
    }

    /// Scrolls the element to the middle, so that sticky elements do not cover it, and clicks it.
    pub async fn press(&self, what: Locator<'_>) {
        let element = serde_json::to_value(self.locate(what).await).expect("an element");
        self.run("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", vec![element])
            .await;
        self.locate(what).await.click().await.unwrap_or_else(|error| panic!("{what:?}: {error}"));
    }

    pub async fn type_into(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.expect("it clears");
        field.send_keys(text).await.expect("it takes keys");
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap_or_else(|error| panic!("{script:.200}: {error}"))
    }

    /// Runs a script that calls its last argument with the result.
    pub async fn run_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        let answer = self.client.execute_async(script, arguments).await;
        answer.unwrap_or_else(|error| panic!("{script:.200}: {error}"))
    }

    /// Emulates this screen and colour scheme.
    pub async fn show_on(&self, (_, width, height, touched): Screen, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": touched });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Saves a screenshot of the whole page, below the screen's edge as well.
    pub async fn keep_screenshot(&self, name: &str) {
        let size = &self.devtools("Page.getLayoutMetrics", json!({})).await["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let whole = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer = self.devtools("Page.captureScreenshot", whole).await;
        let png = STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(name), png).expect("a file");
    }

    /// Asserts that nothing violated the page's Content-Security-Policy.
    pub async fn assert_within_its_policy(&self) {
        let script = "const [done] = arguments;
            new ReportingObserver((reports) => done(reports.map((report) => report.body)),
                { types: ['csp-violation'], buffered: true }).observe();
            setTimeout(() => done([]), 500);";
        assert_eq!(self.run_async(script, vec![]).await, json!([]));
    }

    /// Asserts that the console log has no entries since the last call, except for responses with one of these statuses: the
    /// browser logs every error status, expected or not.
    pub async fn assert_quiet(&self, expected: &[u16]) {
        let entries = self.command(Method::POST, "se/log", Some(json!({ "type": "browser" }))).await;
        for entry in entries.as_array().expect("entries") {
            let is_refusal = expected.iter().any(|status| {
                let told = format!("the server responded with a status of {status} (");
                entry["source"] == "network" && entry["message"].as_str().is_some_and(|it| it.contains(&told))
            });
            assert!(is_refusal, "{entry}");
        }
    }

    /// All cookies of the browser with their attributes, including those for other paths than the page's.
    pub async fn cookies(&self) -> Vec<Value> {
        let answer = self.devtools("Network.getAllCookies", json!({})).await;
        answer["cookies"].as_array().expect("a list").clone()
    }

    /// Has the browser prefer this language, such as `de-AT`, from the next page on.
    pub async fn prefer(&self, language: &str) {
        let agent = self.run("return navigator.userAgent", vec![]).await;
        let both = json!({ "userAgent": agent, "acceptLanguage": language });
        self.devtools("Emulation.setUserAgentOverride", both).await;
    }

    /// Lets pages read and write the clipboard.
    pub async fn allow_clipboard(&self) {
        let both = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.devtools("Browser.grantPermissions", both).await;
    }

    async fn devtools(&self, command: &'static str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.command(Method::POST, "goog/cdp/execute", Some(body)).await
    }

    /// Sends a command of an extension of WebDriver.
    pub async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let told = body.as_ref().map(Value::to_string).unwrap_or_default();
        let answer = self.client.issue_cmd(Extension { method, path: path.to_owned(), body }).await;
        answer.unwrap_or_else(|error| panic!("{path}: {told:.200}: {error}"))
    }
}

/// A driver that is killed ends no browser and leaves its folder behind, also when a test has failed.
impl Drop for Browser {
    fn drop(&mut self) {
        let request = format!("GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port);
        if let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port))
            && driver.set_read_timeout(Some(Duration::from_secs(10))).is_ok()
            && driver.write_all(request.as_bytes()).is_ok()
        {
            let _ = driver.read_to_end(&mut Vec::new());
        }
    }
}

/// A command beyond the WebDriver standard, below the session's own path.
struct Extension {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (self.method.clone(), self.body.as_ref().map(Value::to_string))
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

/// The folder of an npm package that scripts/clients has installed.
pub fn installed(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/node_modules").join(package)
}
