//! The playground: its tour by mouse and by keyboard, what it shows of what travels, and for whom.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

use super::axe;
use super::driver::Browser;
use crate::support::http::Request;
use crate::support::server::{TestServer, registration};
use crate::support::{MINUTE, PASSWORD, text};

const SLOTS: [&str; 4] = ["session-cookie", "session-bearer", "jwt-cookie", "jwt-bearer"];
const BEARERS: [&str; 2] = ["session-bearer", "jwt-bearer"];

/// What the browser logs of a tour that shows refusals.
const REFUSALS: [u16; 2] = [401, 403];

/// The page, as a person uses it.
struct Playground {
    browser: Browser,
    server: TestServer,
}

impl Playground {
    async fn open() -> Self {
        let (server, browser) = (TestServer::start().await, Browser::start().await);
        browser.goto(&format!("http://{}/", server.address())).await;
        let page = Self { browser, server };
        page.rest().await;
        page
    }

    /// With somebody who is signed in in all four ways.
    async fn with_somebody() -> Self {
        let page = Self::open().await;
        page.press("#make-up").await;
        page.assert_alive(&SLOTS).await;
        page
    }

    async fn close(self) {
        self.browser.assert_within_its_policy().await;
        self.browser.stop().await;
    }

    /// Waits until what was pressed is done with.
    async fn rest(&self) {
        self.browser.find("body[data-busy='false'] .card").await;
    }

    async fn press(&self, css: &str) {
        self.browser.click(css).await;
        self.rest().await;
    }

    /// Presses one of a credential's buttons, and reads what came of it.
    async fn act(&self, slot: &str, label: &str) -> String {
        let button = format!("//article[@id='{slot}']//button[text()='{label}']");
        self.browser.press(Locator::XPath(&button)).await;
        self.rest().await;
        self.news().await
    }

    async fn news(&self) -> String {
        self.browser.text("#news").await
    }

    #[track_caller]
    fn news_is(news: &str, words: &[&str]) {
        for word in words {
            assert!(news.contains(word), "no {word:?} in {news:?}");
        }
    }

    async fn state(&self, slot: &str) -> String {
        let card = self.browser.find(&format!("#{slot}")).await;
        card.attr("data-state").await.expect("an answer").expect("a state")
    }

    /// Asserts that these are alive and no others, on their cards and on the board.
    async fn assert_alive(&self, alive: &[&str]) {
        for slot in SLOTS {
            let expected = alive.contains(&slot);
            assert_eq!(self.state(slot).await == "alive", expected, "{slot}: {}", self.news().await);
            let pill = self.browser.text(&format!("#pills a[href='#{slot}']")).await;
            assert_eq!(pill.contains("alive"), expected, "{pill}");
        }
    }

    /// Asserts that this is dead, of this, with this answer, and that somebody took the time of it.
    async fn assert_dead(&self, slot: &str, cause: &str, code: &str) {
        let told = self.browser.text(&format!("#{slot} .state")).await;
        let words = ["dead", cause, " ms after the answer", code];
        assert!(words.iter().all(|word| told.contains(word)), "{slot}: {told}");
    }

    /// What is in a part of a card that folds out.
    async fn unfolded(&self, slot: &str, title: &str) -> String {
        let fold = format!("//article[@id='{slot}']//details[starts-with(summary, \"{title}\")]");
        let fold = self.browser.locate(Locator::XPath(&fold)).await;
        let element = serde_json::to_value(fold).expect("an element");
        let script =
            "for (const it of [arguments[0], ...arguments[0].querySelectorAll('details')]) it.open = true;
            return arguments[0].innerText;";
        text(&self.browser.run(script, vec![element]).await).to_owned()
    }

    async fn fold_all(&self) {
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
async fn the_whole_tour_in_a_browser() {
    let page = Playground::open().await;
    assert_eq!(page.browser.client.title().await.expect("one"), "dualauth: sessions and JWTs, side by side");
    page.assert_alive(&[]).await;
    // Nothing was asked that nobody wanted to know.
    page.browser.assert_quiet(&[]).await;
    axe::inspect(&page.browser, "playground-1-empty").await;

    page.press("#make-up").await;
    Playground::news_is(&page.news().await, &["is signed in four ways"]);
    page.assert_alive(&SLOTS).await;
    assert_eq!(page.live_logins().await, 4);
    let username =
        page.browser.find("#username").await.prop("value").await.expect("an answer").expect("a name");

    for slot in SLOTS {
        Playground::news_is(
            &page.act(slot, "Ask for the profile").await,
            &[&format!("it is {username}"), " ms"],
        );
    }
    for slot in ["session-cookie", "session-bearer"] {
        page.act(slot, "Write session data").await;
        Playground::news_is(&page.act(slot, "Write session data").await, &["keeps visits = 2"]);
    }
    for slot in SLOTS {
        Playground::news_is(&page.act(slot, "Refresh").await, &["the same"]);
    }
    page.assert_alive(&SLOTS).await;
    let news = page.act("session-bearer", "Refresh").await;
    Playground::news_is(&news, &["The old one is good for a moment"]);
    let news = page.act("jwt-bearer", "Refresh").await;
    Playground::news_is(&news, &["The old access token is still good"]);
    axe::inspect(&page.browser, "playground-2-signed-in").await;
    for (slot, title) in [
        ("session-cookie", "Set-Cookie"),
        ("session-bearer", "Requests and answers"),
        ("jwt-cookie", "The server's record"),
        ("jwt-bearer", "The token"),
    ] {
        page.unfolded(slot, title).await;
    }
    axe::inspect(&page.browser, "playground-3-unfolded").await;

    page.assert_tampering_is_refused().await;
    page.assert_revocation_is_shown().await;
    page.assert_a_new_password_leaves_one().await;

    Playground::news_is(
        &page.act("session-bearer", "Sign out").await,
        &["signed out", "Dead: Session by Bearer after"],
    );
    page.assert_alive(&[]).await;
    page.assert_dead("session-bearer", "signed out", "session_expired").await;
    page.fold_all().await;
    axe::inspect(&page.browser, "playground-4-dead").await;

    // The page has kept the new password.
    page.press("#sign-in-all").await;
    page.assert_alive(&SLOTS).await;
    page.press("#sign-out-everywhere").await;
    for (slot, code) in
        SLOTS.iter().zip(["session_expired", "session_expired", "token_revoked", "token_revoked"])
    {
        page.assert_dead(slot, "signed out everywhere", code).await;
    }

    page.press("#start-over").await;
    for slot in SLOTS {
        assert_eq!(page.state(slot).await, "none");
    }
    assert_eq!(page.live_logins().await, 0, "the other device signed out, too");
    assert_eq!(page.browser.cookies().await, Vec::<Value>::new());
    page.browser.assert_quiet(&REFUSALS).await;
    page.close().await;
}

impl Playground {
    async fn assert_tampering_is_refused(&self) {
        for (slot, label) in [
            ("session-bearer", "Tamper with the token"),
            ("jwt-bearer", "Tamper with the token"),
            ("jwt-bearer", "Tamper with the claims"),
        ] {
            let news = self.act(slot, label).await;
            Self::news_is(&news, &["refused", "Invalid token", "invalid_token", "Request "]);
            let shown = self.unfolded(slot, "Requests and answers").await;
            assert!(shown.contains("401 Unauthorized"), "{shown}");
            assert!(self.browser.has(&format!("#{slot} mark")).await, "what was changed is marked");
        }
        for slot in ["session-cookie", "jwt-cookie"] {
            let news = self.act(slot, "Tamper").await;
            Self::news_is(&news, &["let no script overwrite the cookie", "csrf_failed", "Request "]);
        }
        self.assert_alive(&SLOTS).await;
    }

    async fn assert_revocation_is_shown(&self) {
        for (slot, code) in [("jwt-bearer", "token_revoked"), ("session-cookie", "session_expired")] {
            let before = self.live_logins().await;
            let news = self.act(slot, "Revoke from another device").await;
            Self::news_is(&news, &["revoked from another device", "Dead: ", "Alive: "]);
            self.assert_dead(slot, "revoked from another device", code).await;
            let record = self.unfolded(slot, "The server's record").await;
            assert!(record.contains("not among the live logins"), "{record}");
            assert_eq!(self.live_logins().await, before - 1, "the other device has signed out");
        }
        self.assert_alive(&["session-bearer", "jwt-cookie"]).await;
        for slot in ["jwt-bearer", "session-cookie"] {
            Self::news_is(&self.act(slot, "Sign in").await, &["is signed in"]);
        }
        self.assert_alive(&SLOTS).await;
    }

    async fn assert_a_new_password_leaves_one(&self) {
        self.press("#change-password [type='submit']").await;
        Self::news_is(&self.news().await, &["changed by Session by Bearer", "Alive: Session by Bearer."]);
        self.assert_alive(&["session-bearer"]).await;
        for (slot, code) in [
            ("session-cookie", "session_expired"),
            ("jwt-cookie", "token_revoked"),
            ("jwt-bearer", "token_revoked"),
        ] {
            self.assert_dead(slot, "the password was changed", code).await;
        }
    }
}

/// Presses Tab until this has the focus, and asserts that whoever looks sees where it is.
async fn tab_to(browser: &Browser, css: &str) {
    let script = "const focused = document.activeElement;
        return [focused.matches(arguments[0]), getComputedStyle(focused).outlineStyle, focused.outerHTML.slice(0, 120)]";
    for _ in 0..200 {
        browser
            .client
            .active_element()
            .await
            .expect("one")
            .send_keys(&Key::Tab.to_string())
            .await
            .expect("a key");
        let focus = browser.run(script, vec![json!(css)]).await;
        assert_ne!(focus[1], "none", "nobody sees the focus: {focus}");
        if focus[0] == true {
            return;
        }
    }
    panic!("the keyboard does not get to {css}");
}

async fn send_keys(browser: &Browser, keys: &str) {
    browser.client.active_element().await.expect("one").send_keys(keys).await.expect("keys");
}

#[tokio::test]
async fn the_main_path_needs_no_mouse() {
    let page = Playground::open().await;
    let browser = &page.browser;
    let enter = Key::Enter.to_string();
    for (field, value) in [("#username", "ada"), ("#email", "ada@example.org"), ("#password", PASSWORD)] {
        tab_to(browser, field).await;
        send_keys(browser, value).await;
    }
    send_keys(browser, &enter).await;
    page.rest().await;
    Playground::news_is(&page.news().await, &["ada has an account. That signs nobody in."]);
    page.assert_alive(&[]).await;

    tab_to(browser, "#sign-in-all").await;
    send_keys(browser, &enter).await;
    page.rest().await;
    page.assert_alive(&SLOTS).await;

    for (card, label, news) in [
        ("#session-cookie", "Ask for the profile", "it is ada"),
        ("#session-cookie", "Refresh", "new cookies"),
        ("#jwt-bearer", "Revoke from another device", "Dead: JWT by Bearer"),
    ] {
        let number = position(browser, card, label).await;
        tab_to(browser, &format!("{card} .buttons button:nth-child({number})")).await;
        send_keys(browser, &enter).await;
        page.rest().await;
        Playground::news_is(&page.news().await, &[news]);
        // Where one was, one still is.
        let focused = browser.client.active_element().await.expect("one").text().await.expect("a text");
        assert_eq!(focused, label);
    }
    // A fold, and what is in it.
    tab_to(browser, "#jwt-bearer .fold:last-of-type > summary").await;
    send_keys(browser, &enter).await;
    tab_to(browser, "#jwt-bearer .exchange summary").await;
    send_keys(browser, &enter).await;
    assert!(browser.has("#jwt-bearer .exchange[open]").await);

    tab_to(browser, "#change-password [type='submit']").await;
    send_keys(browser, &enter).await;
    page.rest().await;
    page.assert_alive(&["session-bearer"]).await;
    page.browser.assert_quiet(&REFUSALS).await;
    page.close().await;
}

/// Which of a card's buttons this is, counted from one.
async fn position(browser: &Browser, card: &str, label: &str) -> u64 {
    let script = "return [...document.querySelectorAll(arguments[0] + ' .buttons button')].findIndex(
        (button) => button.textContent === arguments[1]) + 1";
    browser.run(script, vec![json!(card), json!(label)]).await.as_u64().expect("a number")
}

/// The lines of `Set-Cookie` that a card shows, each as its set of attributes.
async fn shown_cookies(page: &Playground, slot: &str) -> Vec<Vec<String>> {
    let shown = page.unfolded(slot, "Set-Cookie").await;
    shown.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).map(attributes).collect()
}

/// The name of the cookie and its attributes, in order.
fn attributes(line: &str) -> Vec<String> {
    let mut parts: Vec<String> = line.split("; ").map(str::to_owned).collect();
    parts[0] = parts[0].split('=').next().expect("a name").to_owned();
    parts.sort();
    parts
}

/// A page can't read `Set-Cookie`: what it tells is told from the contract, and is true.
#[tokio::test]
async fn what_is_told_of_set_cookie_is_what_the_server_sends() {
    let page = Playground::open().await;
    page.server.user("ada").await;
    for remember_me in [false, true] {
        page.browser.type_into("#username", "ada").await;
        page.browser.type_into("#password", PASSWORD).await;
        if remember_me {
            page.press("#start-over").await;
            page.browser.type_into("#username", "ada").await;
            page.browser.type_into("#password", PASSWORD).await;
            page.browser.click("#remember-me").await;
        }
        page.press("#sign-in-all").await;
        page.assert_alive(&SLOTS).await;
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
    // And no script sees any of it.
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

/// What a card says travels next is what the server is then sent.
#[tokio::test]
async fn what_is_told_to_travel_travels() {
    let page = Playground::with_somebody().await;
    for slot in BEARERS {
        let shown = page.browser.text(&format!("#{slot} .travels pre")).await;
        let token = shown.strip_prefix("Authorization: Bearer ").unwrap_or_else(|| panic!("{shown}"));
        let profile = page.server.send(Request::get("/profile").bearer(token)).await.expect(200).json();
        let [mode, transport] = slot.split('-').collect::<Vec<_>>()[..] else { panic!("{slot}") };
        assert_eq!(
            (&profile["auth"]["mode"], &profile["auth"]["transport"]),
            (&json!(mode), &json!(transport))
        );
        let size = page.browser.text(&format!("#{slot} .travels .bytes")).await;
        assert_eq!(size, format!("{} bytes", shown.len() + "\r\n".len()));
    }
    // The size of a cookie is told although its value is hidden.
    let cookies = page.browser.cookies().await;
    let of = |name: &str| {
        let cookie = cookies.iter().find(|cookie| cookie["name"] == name).expect(name);
        text(&cookie["value"]).len() + name.len() + 1
    };
    let real = "Cookie: ".len() + of("sessionid") + "; ".len() + of("access_token") + "\r\n".len();
    let told = page.browser.text("#session-cookie .travels .bytes").await;
    let told: usize =
        told.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    assert!(told.abs_diff(real) <= 12, "about {told} and really {real}");
    page.close().await;
}

#[tokio::test]
async fn the_token_is_decoded_runs_out_and_is_refreshed_only_once() {
    let page = Playground::with_somebody().await;
    let decoded = page.unfolded("jwt-bearer", "The token").await;
    for word in ["at+jwt", "exp", "When it runs out", "sid", "roles", "[\"user\"]"] {
        assert!(decoded.contains(word), "no {word} in {decoded}");
    }
    let left = page.browser.text("#jwt-bearer .countdown").await;
    assert!(left.starts_with("14 min") || left.starts_with("15 min"), "{left}");
    let hidden = page.unfolded("jwt-cookie", "The token").await;
    assert!(hidden.contains("can't decode it"), "{hidden}");

    page.server.clock.advance(16 * MINUTE);
    let news = page.act("jwt-bearer", "Ask for the profile").await;
    Playground::news_is(&news, &["token_expired", "Run out: "]);
    assert_eq!(page.state("jwt-bearer").await, "expired");
    axe::inspect(&page.browser, "playground-5-run-out").await;
    page.act("jwt-bearer", "Refresh").await;
    assert_eq!(page.state("jwt-bearer").await, "alive");

    let reuse = "Use the old refresh token again";
    Playground::news_is(
        &page.act("jwt-bearer", reuse).await,
        &["accepted for a moment", "the same successor"],
    );
    assert_eq!(page.state("jwt-bearer").await, "alive");
    page.server.clock.advance(MINUTE);
    Playground::news_is(
        &page.act("jwt-bearer", reuse).await,
        &["refresh_token_reused", "Dead: JWT by Bearer"],
    );
    page.assert_dead("jwt-bearer", "an old refresh token was used again", "token_revoked").await;
    page.browser.assert_quiet(&[401]).await;
    page.close().await;
}

#[tokio::test]
async fn a_reload_loses_the_tokens_and_finds_the_cookies() {
    let page = Playground::with_somebody().await;
    page.browser.client.refresh().await.expect("the page again");
    page.rest().await;
    Playground::news_is(
        &page.news().await,
        &["the cookies are still here: Session by cookie and JWT by cookie"],
    );
    page.assert_alive(&["session-cookie", "jwt-cookie"]).await;
    Playground::news_is(&page.act("session-cookie", "Refresh").await, &["new cookies"]);
    Playground::news_is(&page.act("jwt-cookie", "Refresh").await, &["new cookies"]);
    page.browser.assert_quiet(&[]).await;
    page.close().await;
}

#[tokio::test]
async fn it_is_shown_which_of_several_credentials_counts() {
    let page = Playground::with_somebody().await;
    for (button, news) in [
        ("#send-bearer", "went by the JWT by Bearer"),
        ("#send-none", "went by the cookie access_token"),
        ("#send-bad", "invalid_token"),
    ] {
        page.press(button).await;
        Playground::news_is(&page.news().await, &[news]);
    }
    page.act("jwt-cookie", "Sign out").await;
    page.press("#send-none").await;
    Playground::news_is(&page.news().await, &["went by the cookie sessionid"]);
    page.browser.assert_quiet(&[401]).await;
    page.close().await;
}

#[tokio::test]
async fn what_is_refused_is_told_in_words_with_its_code_and_its_request() {
    let page = Playground::open().await;
    let ada = registration("ada");
    page.server.user("ada").await;
    let type_in = async |name: &str, value: &Value| page.browser.type_into(name, text(value)).await;
    type_in("#username", &ada["username"]).await;
    type_in("#email", &ada["email"]).await;
    type_in("#password", &json!("short")).await;
    page.press("#who [type='submit']").await;
    let news = page.news().await;
    Playground::news_is(&news, &["password must have", "validation_failed", "Request "]);
    let id = news.rsplit_once("Request ").expect("an id").1.trim();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");

    type_in("#password", &ada["password"]).await;
    page.press("#who [type='submit']").await;
    Playground::news_is(&page.news().await, &["This username is taken.", "conflict"]);
    page.press("#news button").await;
    page.assert_alive(&SLOTS).await;

    page.press("#start-over").await;
    type_in("#username", &ada["username"]).await;
    type_in("#password", &json!("not the password at all")).await;
    Playground::news_is(&page.act("jwt-bearer", "Sign in").await, &["not signed in", "invalid_credentials"]);
    // What can't be done says why.
    Playground::news_is(&page.act("jwt-bearer", "Refresh").await, &["sign in first"]);
    page.browser.assert_quiet(&[401, 409, 422]).await;
    page.close().await;
}
