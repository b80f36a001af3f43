//! The playground: its actions by mouse and by keyboard, and what it shows of requests, cookies and tokens.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

use super::axe;
use super::driver::Browser;
use super::keyboard::{send_keys, tab_to};
use crate::support::http::Request;
use crate::support::server::{TestServer, registration};
use crate::support::{MINUTE, PASSWORD, text};

const CREDENTIALS: [&str; 4] = ["session-cookie", "session-bearer", "jwt-cookie", "jwt-bearer"];
const BEARERS: [&str; 2] = ["session-bearer", "jwt-bearer"];

/// The statuses of rejected requests, which the browser logs.
const REJECTIONS: [u16; 2] = [401, 403];

/// The page, used as a person would.
pub struct Playground {
    pub browser: Browser,
    pub server: TestServer,
}

impl Playground {
    async fn open() -> Self {
        Self::open_at("127.0.0.1").await
    }

    /// At a name or address of this machine.
    pub async fn open_at(host: &str) -> Self {
        Self::of(TestServer::start().await, host).await
    }

    /// Of a server that is set to something.
    pub async fn of(server: TestServer, host: &str) -> Self {
        let browser = Browser::start().await;
        browser.goto(&format!("http://{host}:{}/", server.address().port())).await;
        let page = Self { browser, server };
        page.rest().await;
        page
    }

    /// With a test user who is logged in with all four credentials.
    async fn logged_in() -> Self {
        let page = Self::open().await;
        page.press("#create-test-user").await;
        page.assert_active(&CREDENTIALS).await;
        page
    }

    pub async fn close(self) {
        self.browser.assert_within_its_policy().await;
        self.browser.stop().await;
    }

    /// Waits until the current action is finished.
    pub async fn rest(&self) {
        self.browser.find("body[data-busy='false'] .card").await;
    }

    pub async fn press(&self, css: &str) {
        self.browser.click(css).await;
        self.rest().await;
    }

    /// Presses one of a credential's buttons, and returns the outcome.
    pub async fn act(&self, credential: &str, label: &str) -> String {
        let button = format!("//article[@id='{credential}']//button[text()='{label}']");
        self.browser.press(Locator::XPath(&button)).await;
        self.rest().await;
        self.outcome().await
    }

    pub async fn outcome(&self) -> String {
        self.browser.text("#outcome").await
    }

    #[track_caller]
    fn outcome_has(outcome: &str, words: &[&str]) {
        for word in words {
            assert!(outcome.contains(word), "no {word:?} in {outcome:?}");
        }
    }

    async fn state(&self, credential: &str) -> String {
        let card = self.browser.find(&format!("#{credential}")).await;
        card.attr("data-state").await.expect("an answer").expect("a state")
    }

    /// Asserts that these are active and no others, on their cards and in the status bar.
    pub async fn assert_active(&self, active: &[&str]) {
        for credential in CREDENTIALS {
            let expected = active.contains(&credential);
            assert_eq!(
                self.state(credential).await == "active",
                expected,
                "{credential}: {}",
                self.outcome().await
            );
            let entry = self.browser.text(&format!("#status-list a[href='#{credential}']")).await;
            assert_eq!(entry.contains("active"), expected, "{entry}");
        }
    }

    /// Asserts that this has ended, with this cause and this code, and that the delay was measured.
    async fn assert_ended(&self, credential: &str, cause: &str, code: &str) {
        let state = self.browser.text(&format!("#{credential} .state")).await;
        let words = ["ended", cause, " ms after the response", code];
        assert!(words.iter().all(|word| state.contains(word)), "{credential}: {state}");
    }

    /// The text of a card's expandable details.
    async fn expanded(&self, credential: &str, title: &str) -> String {
        let details = format!("//article[@id='{credential}']//details[starts-with(summary, \"{title}\")]");
        let details = self.browser.locate(Locator::XPath(&details)).await;
        let element = serde_json::to_value(details).expect("an element");
        let script =
            "for (const it of [arguments[0], ...arguments[0].querySelectorAll('details')]) it.open = true;
            return arguments[0].innerText;";
        text(&self.browser.run(script, vec![element]).await).to_owned()
    }

    async fn collapse_all(&self) {
        let script = "document.querySelectorAll('details').forEach((it) => { it.open = false; })";
        self.browser.run(script, vec![]).await;
    }

    async fn live_logins(&self) -> i64 {
        let mut sql = self.server.sql().await;
        let count = "select count(*) from logins where ended_at is null";
        sqlx::query_scalar(count).fetch_one(&mut sql).await.expect("a count")
    }
}

#[tokio::test]
async fn every_action_of_the_playground_works_in_a_browser() {
    let page = Playground::open().await;
    assert_eq!(
        page.browser.client.title().await.expect("one"),
        "dualauth playground: sessions and JWTs side by side"
    );
    page.assert_active(&[]).await;
    // No request was rejected.
    page.browser.assert_quiet(&[]).await;
    axe::inspect(&page.browser, "playground-1-empty").await;

    page.press("#create-test-user").await;
    Playground::outcome_has(&page.outcome().await, &["is logged in four ways"]);
    page.assert_active(&CREDENTIALS).await;
    assert_eq!(page.live_logins().await, 4);
    let username =
        page.browser.find("#username").await.prop("value").await.expect("an answer").expect("a name");

    for credential in CREDENTIALS {
        Playground::outcome_has(
            &page.act(credential, "Get profile").await,
            &[&format!("returned {username}"), " ms"],
        );
    }
    for credential in ["session-cookie", "session-bearer"] {
        page.act(credential, "Write session data").await;
        Playground::outcome_has(&page.act(credential, "Write session data").await, &["stored visits = 2"]);
    }
    for credential in CREDENTIALS {
        Playground::outcome_has(&page.act(credential, "Refresh").await, &["same login"]);
    }
    page.assert_active(&CREDENTIALS).await;
    let outcome = page.act("session-bearer", "Refresh").await;
    Playground::outcome_has(&outcome, &["The old id stays valid for a short grace period"]);
    let outcome = page.act("jwt-bearer", "Refresh").await;
    Playground::outcome_has(&outcome, &["The old access token stays valid"]);
    axe::inspect(&page.browser, "playground-2-logged-in").await;
    for (credential, title) in [
        ("session-cookie", "Set-Cookie headers"),
        ("session-bearer", "Requests and responses"),
        ("jwt-cookie", "Login record on the server"),
        ("jwt-bearer", "Decoded token"),
    ] {
        page.expanded(credential, title).await;
    }
    axe::inspect(&page.browser, "playground-3-expanded").await;

    page.assert_tampering_is_rejected().await;
    page.assert_revocation_is_shown().await;
    page.assert_a_new_password_ends_other_logins().await;

    Playground::outcome_has(
        &page.act("session-bearer", "Log out").await,
        &["logged out", "Ended: Session Bearer token after"],
    );
    page.assert_active(&[]).await;
    page.assert_ended("session-bearer", "logged out", "session_expired").await;
    page.collapse_all().await;
    axe::inspect(&page.browser, "playground-4-ended").await;

    // The form has the new password.
    page.press("#log-in-all").await;
    page.assert_active(&CREDENTIALS).await;
    page.press("#log-out-everywhere").await;
    for (credential, code) in
        CREDENTIALS.iter().zip(["session_expired", "session_expired", "token_revoked", "token_revoked"])
    {
        page.assert_ended(credential, "logged out everywhere", code).await;
    }

    page.press("#reset-all").await;
    for credential in CREDENTIALS {
        assert_eq!(page.state(credential).await, "none");
    }
    assert_eq!(page.live_logins().await, 0, "the other device was logged out, too");
    assert_eq!(page.browser.cookies().await, Vec::<Value>::new());
    page.browser.assert_quiet(&REJECTIONS).await;
    page.close().await;
}

impl Playground {
    async fn assert_tampering_is_rejected(&self) {
        for (credential, label) in [
            ("session-bearer", "Tamper with token"),
            ("jwt-bearer", "Tamper with token"),
            ("jwt-bearer", "Tamper with claims"),
        ] {
            let outcome = self.act(credential, label).await;
            Self::outcome_has(&outcome, &["rejected", "Invalid token", "invalid_token", "Request "]);
            let shown = self.expanded(credential, "Requests and responses").await;
            assert!(shown.contains("401 Unauthorized"), "{shown}");
            assert!(
                self.browser.has(&format!("#{credential} mark")).await,
                "the changed part is highlighted"
            );
        }
        for credential in ["session-cookie", "jwt-cookie"] {
            let outcome = self.act(credential, "Tamper with cookie").await;
            Self::outcome_has(
                &outcome,
                &["did not let a script overwrite the cookie", "csrf_failed", "Request "],
            );
        }
        self.assert_active(&CREDENTIALS).await;
    }

    async fn assert_revocation_is_shown(&self) {
        for (credential, code) in [("jwt-bearer", "token_revoked"), ("session-cookie", "session_expired")] {
            let before = self.live_logins().await;
            let outcome = self.act(credential, "Revoke from another device").await;
            Self::outcome_has(&outcome, &["revoked from another device", "Ended: ", "Active: "]);
            self.assert_ended(credential, "revoked from another device", code).await;
            let record = self.expanded(credential, "Login record on the server").await;
            assert!(record.contains("the login has ended"), "{record}");
            assert_eq!(self.live_logins().await, before - 1, "the other device was logged out");
        }
        self.assert_active(&["session-bearer", "jwt-cookie"]).await;
        for credential in ["jwt-bearer", "session-cookie"] {
            Self::outcome_has(&self.act(credential, "Log in").await, &["logged in as"]);
        }
        self.assert_active(&CREDENTIALS).await;
    }

    async fn assert_a_new_password_ends_other_logins(&self) {
        self.press("#change-password [type='submit']").await;
        Self::outcome_has(
            &self.outcome().await,
            &["changed with the Session Bearer token", "Active: Session Bearer token."],
        );
        self.assert_active(&["session-bearer"]).await;
        for (credential, code) in [
            ("session-cookie", "session_expired"),
            ("jwt-cookie", "token_revoked"),
            ("jwt-bearer", "token_revoked"),
        ] {
            self.assert_ended(credential, "password changed", code).await;
        }
    }
}

#[tokio::test]
async fn the_main_path_works_by_keyboard() {
    let page = Playground::open().await;
    let browser = &page.browser;
    let enter = Key::Enter.to_string();
    for (field, value) in [("#username", "ada"), ("#email", "ada@example.org"), ("#password", PASSWORD)] {
        tab_to(browser, field).await;
        send_keys(browser, value).await;
    }
    send_keys(browser, &enter).await;
    page.rest().await;
    Playground::outcome_has(&page.outcome().await, &["Registered ada. Registration does not log in."]);
    page.assert_active(&[]).await;

    tab_to(browser, "#log-in-all").await;
    send_keys(browser, &enter).await;
    page.rest().await;
    page.assert_active(&CREDENTIALS).await;

    for (card, label, outcome) in [
        ("#session-cookie", "Get profile", "returned ada"),
        ("#session-cookie", "Refresh", "New cookies"),
        ("#jwt-bearer", "Revoke from another device", "Ended: JWT Bearer token"),
    ] {
        let number = position(browser, card, label).await;
        tab_to(browser, &format!("{card} .buttons button:nth-child({number})")).await;
        send_keys(browser, &enter).await;
        page.rest().await;
        Playground::outcome_has(&page.outcome().await, &[outcome]);
        // The focus stays on the button.
        let focused = browser.client.active_element().await.expect("one").text().await.expect("a text");
        assert_eq!(focused, label);
    }
    // The expandable details, and an exchange in them.
    tab_to(browser, "#jwt-bearer .expandable:last-of-type > summary").await;
    send_keys(browser, &enter).await;
    tab_to(browser, "#jwt-bearer .exchange summary").await;
    send_keys(browser, &enter).await;
    assert!(browser.has("#jwt-bearer .exchange[open]").await);

    tab_to(browser, "#change-password [type='submit']").await;
    send_keys(browser, &enter).await;
    page.rest().await;
    page.assert_active(&["session-bearer"]).await;
    page.browser.assert_quiet(&REJECTIONS).await;
    page.close().await;
}

/// Which of a card's buttons this is, counted from one.
async fn position(browser: &Browser, card: &str, label: &str) -> u64 {
    let script = "return [...document.querySelectorAll(arguments[0] + ' .buttons button')].findIndex(
        (button) => button.textContent === arguments[1]) + 1";
    browser.run(script, vec![json!(card), json!(label)]).await.as_u64().expect("a number")
}

/// The lines of `Set-Cookie` that a card shows, each as its set of attributes.
async fn shown_cookies(page: &Playground, credential: &str) -> Vec<Vec<String>> {
    let shown = page.expanded(credential, "Set-Cookie headers").await;
    shown.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).map(attributes).collect()
}

/// The name of the cookie and its attributes, in order.
fn attributes(line: &str) -> Vec<String> {
    let mut parts: Vec<String> = line.split("; ").map(str::to_owned).collect();
    parts[0] = parts[0].split('=').next().expect("a name").to_owned();
    parts.sort();
    parts
}

/// A page can't read `Set-Cookie`: the headers that it shows are derived, and must be right.
#[tokio::test]
async fn the_set_cookie_headers_shown_are_those_the_server_sends() {
    let page = Playground::open().await;
    page.server.user("ada").await;
    for remember_me in [false, true] {
        page.browser.type_into("#username", "ada").await;
        page.browser.type_into("#password", PASSWORD).await;
        if remember_me {
            page.press("#reset-all").await;
            page.browser.type_into("#username", "ada").await;
            page.browser.type_into("#password", PASSWORD).await;
            page.browser.click("#remember-me").await;
        }
        page.press("#log-in-all").await;
        page.assert_active(&CREDENTIALS).await;
        for mode in ["session", "jwt"] {
            let credentials = json!({
                "username": "ada", "password": PASSWORD, "transport": "cookie", "remember_me": remember_me,
            });
            let login = Request::post(&format!("/{mode}/login")).json(&credentials);
            let response = page.server.send(login).await.expect(200);
            let mut sent: Vec<_> = response.all("set-cookie").map(attributes).collect();
            let mut shown = shown_cookies(&page, &format!("{mode}-cookie")).await;
            sent.sort();
            shown.sort();
            assert_eq!(shown, sent, "{mode}");
        }
    }
    // Scripts can't read any of them.
    assert_eq!(page.browser.run("return document.cookie", vec![]).await, "");
    for (name, path, same_site) in
        [("sessionid", "/", "Lax"), ("access_token", "/", "Lax"), ("refresh_token", "/jwt", "Strict")]
    {
        let all = page.browser.cookies().await;
        let cookie = all.iter().find(|cookie| cookie["name"] == name).expect(name);
        assert_eq!((&cookie["path"], &cookie["sameSite"]), (&json!(path), &json!(same_site)), "{cookie}");
        assert_eq!(cookie["httpOnly"], true, "{cookie}");
    }
    page.close().await;
}

/// The headers that a card shows for the next request, and their sizes.
#[tokio::test]
async fn the_headers_shown_for_the_next_request_are_those_that_are_sent() {
    let page = Playground::logged_in().await;
    for credential in BEARERS {
        let shown = page.browser.text(&format!("#{credential} .next-request pre")).await;
        let token = shown.strip_prefix("Authorization: Bearer ").unwrap_or_else(|| panic!("{shown}"));
        let profile = page.server.send(Request::get("/profile").bearer(token)).await.expect(200).json();
        let [mode, transport] = credential.split('-').collect::<Vec<_>>()[..] else { panic!("{credential}") };
        assert_eq!(
            (&profile["auth"]["mode"], &profile["auth"]["transport"]),
            (&json!(mode), &json!(transport))
        );
        let size = page.browser.text(&format!("#{credential} .next-request .size")).await;
        assert_eq!(size, format!("{} bytes", shown.len() + "\r\n".len()));
    }
    // The size of a cookie is shown although its value is hidden.
    let cookies = page.browser.cookies().await;
    let of = |name: &str| {
        let cookie = cookies.iter().find(|cookie| cookie["name"] == name).expect(name);
        text(&cookie["value"]).len() + name.len() + 1
    };
    let real = "Cookie: ".len() + of("sessionid") + "; ".len() + of("access_token") + "\r\n".len();
    let shown = page.browser.text("#session-cookie .next-request .size").await;
    let shown: usize =
        shown.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{shown}"));
    assert!(shown.abs_diff(real) <= 12, "about {shown} and really {real}");
    page.close().await;
}

#[tokio::test]
async fn the_token_is_decoded_expires_and_can_be_refreshed_only_once() {
    let page = Playground::logged_in().await;
    let decoded = page.expanded("jwt-bearer", "Decoded token").await;
    for word in ["at+jwt", "exp", "Expires at", "sid", "roles", "[\"user\"]"] {
        assert!(decoded.contains(word), "no {word} in {decoded}");
    }
    let left = page.browser.text("#jwt-bearer .countdown").await;
    assert!(left.starts_with("14 min") || left.starts_with("15 min"), "{left}");
    let hidden = page.expanded("jwt-cookie", "Decoded token").await;
    assert!(hidden.contains("can’t decode it"), "{hidden}");

    page.server.clock.advance(16 * MINUTE);
    let outcome = page.act("jwt-bearer", "Get profile").await;
    Playground::outcome_has(&outcome, &["token_expired", "Expired: "]);
    assert_eq!(page.state("jwt-bearer").await, "expired");
    axe::inspect(&page.browser, "playground-5-expired").await;
    page.act("jwt-bearer", "Refresh").await;
    assert_eq!(page.state("jwt-bearer").await, "active");

    let reuse = "Reuse old refresh token";
    Playground::outcome_has(
        &page.act("jwt-bearer", reuse).await,
        &["accepted within the grace period", "the same new tokens"],
    );
    assert_eq!(page.state("jwt-bearer").await, "active");
    page.server.clock.advance(MINUTE);
    Playground::outcome_has(
        &page.act("jwt-bearer", reuse).await,
        &["refresh_token_reused", "Ended: JWT Bearer token"],
    );
    page.assert_ended("jwt-bearer", "refresh token reused", "token_revoked").await;
    page.browser.assert_quiet(&[401]).await;
    page.close().await;
}

#[tokio::test]
async fn a_reload_loses_the_tokens_but_not_the_cookies() {
    let page = Playground::logged_in().await;
    page.browser.client.refresh().await.expect("the page again");
    page.rest().await;
    Playground::outcome_has(
        &page.outcome().await,
        &["Still logged in by cookie: Session cookie and JWT cookie"],
    );
    page.assert_active(&["session-cookie", "jwt-cookie"]).await;
    Playground::outcome_has(&page.act("session-cookie", "Refresh").await, &["New cookies"]);
    Playground::outcome_has(&page.act("jwt-cookie", "Refresh").await, &["New cookies"]);
    page.browser.assert_quiet(&[]).await;
    page.close().await;
}

#[tokio::test]
async fn it_shows_which_of_several_credentials_the_server_used() {
    let page = Playground::logged_in().await;
    for (button, outcome) in [
        ("#send-bearer-valid", "used the JWT Bearer token"),
        ("#send-bearer-none", "used the cookie access_token"),
        ("#send-bearer-invalid", "invalid_token"),
    ] {
        page.press(button).await;
        Playground::outcome_has(&page.outcome().await, &[outcome]);
    }
    page.act("jwt-cookie", "Log out").await;
    page.press("#send-bearer-none").await;
    Playground::outcome_has(&page.outcome().await, &["used the cookie sessionid"]);
    page.browser.assert_quiet(&[401]).await;
    page.close().await;
}

#[tokio::test]
async fn a_rejected_request_is_shown_with_its_problem_code_and_request_id() {
    let page = Playground::open().await;
    let ada = registration("ada");
    page.server.user("ada").await;
    let type_in = async |name: &str, value: &Value| page.browser.type_into(name, text(value)).await;
    type_in("#username", &ada["username"]).await;
    type_in("#email", &ada["email"]).await;
    type_in("#password", &json!("short")).await;
    page.press("#user-form [type='submit']").await;
    let outcome = page.outcome().await;
    Playground::outcome_has(&outcome, &["password must have", "validation_failed", "Request "]);
    let id = outcome.rsplit_once("Request ").expect("an id").1.trim();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");

    type_in("#password", &ada["password"]).await;
    page.press("#user-form [type='submit']").await;
    Playground::outcome_has(&page.outcome().await, &["This username is taken.", "conflict"]);
    page.press("#outcome button").await;
    page.assert_active(&CREDENTIALS).await;

    page.press("#reset-all").await;
    type_in("#username", &ada["username"]).await;
    type_in("#password", &json!("not the password at all")).await;
    Playground::outcome_has(
        &page.act("jwt-bearer", "Log in").await,
        &["login failed", "invalid_credentials"],
    );
    // An unavailable action gives the reason.
    Playground::outcome_has(&page.act("jwt-bearer", "Refresh").await, &["log in first"]);
    page.browser.assert_quiet(&[401, 409, 422]).await;
    page.close().await;
}
