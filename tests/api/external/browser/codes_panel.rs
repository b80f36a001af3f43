//! The playground's panel “Forgot password, codes by mail”, where the server writes its mails to files and the playground shows them.

use fantoccini::Locator;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::axe;
use super::driver::Browser;
use crate::support::eventually;
use crate::support::program::{Server, folder};
use crate::support::server::APP_SECRET;

/// The page, and a server that keeps its mails.
pub struct Panel {
    pub browser: Browser,
    server: Server,
}

impl Panel {
    async fn open() -> Self {
        Self::open_with("verified").await
    }

    /// With a value of `REGISTRATION`, at this machine's name.
    pub async fn open_with(registration: &str) -> Self {
        let settings = [
            ("APP_SECRET", APP_SECRET),
            ("EMAIL_SIGN_IN", "on"),
            ("REGISTRATION", registration),
            ("ARGON2_MEMORY_KIB", "64"),
            ("ARGON2_ITERATIONS", "1"),
        ];
        let (server, browser) = (Server::start(&folder(), &settings).await, Browser::start().await);
        // By name, as the mails' links are: there the page of a link finds what this one keeps.
        browser.goto(&format!("http://localhost:{}/", server.address().port())).await;
        Self { browser, server }
    }

    pub async fn press(&self, css: &str) -> String {
        self.browser.click(css).await;
        self.browser.find("body[data-busy='false'] .card").await;
        self.browser.text("#outcome").await
    }

    pub async fn select(&self, css: &str, value: &str) {
        let script = "const [select, value] = [document.querySelector(arguments[0]), arguments[1]];
            select.value = value; select.dispatchEvent(new Event('change', { bubbles: true }));";
        self.browser.run(script, vec![json!(css), json!(value)]).await;
    }

    /// Asks for a code. Mails to one address are a minute apart, which is not waited for.
    async fn ask(&self, purpose: &str, email: &str) {
        let output = self.server.output();
        let url = output.lines().find_map(|line| line.trim().strip_prefix("Postgres")).expect("a URL").trim();
        let mut sql = PgConnection::connect(url).await.expect("the private Postgres");
        sqlx::query("delete from dualauth.mail_quotas").execute(&mut sql).await.expect("a deletion");
        self.select("#code-purpose", purpose).await;
        self.browser.type_into("#code-email", email).await;
        let outcome = self.press("#ask-for-code [type='submit']").await;
        assert!(outcome.contains("A code is mailed to"), "{outcome}");
    }

    /// The link in the mail with this subject, once the page shows it.
    pub async fn link_in(&self, subject: &str) -> String {
        let script = "const mail = [...document.querySelectorAll('#mails details')].find(
            (it) => it.querySelector('summary').textContent.includes(arguments[0]));
            return mail?.querySelector('a')?.href ?? null";
        let shown = async || self.browser.run(script, vec![json!(subject)]).await;
        eventually("the mail is shown", async || shown().await.is_string()).await;
        crate::support::text(&shown().await).to_owned()
    }

    pub async fn send(&self, code: &str) -> String {
        self.browser.type_into("#mailed-code", code).await;
        self.press("#redeem-code [type='submit']").await
    }
}

pub fn code_in(link: &str) -> &str {
    link.rsplit_once('.').expect("a link with a code").1
}

#[track_caller]
pub fn assert_has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
}

#[tokio::test]
async fn every_code_by_mail_can_be_tried_in_the_playground_with_the_mails_that_it_shows() {
    let panel = Panel::open().await;
    let browser = &panel.browser;
    let outcome = panel.press("#create-test-user").await;
    assert_has(&outcome, &["A code was mailed to"]);
    let email = browser.run("return document.getElementById('email').value", vec![]).await;
    let email = crate::support::text(&email);
    let shown = browser.text("#challenge").await;
    assert_has(&shown, &["complete a registration", "dac_", email, "at most 5 of 5"]);
    let link = panel.link_in("registration").await;
    assert_has(&panel.send("0000 0000").await, &["rejected", "invalid_code"]);
    assert_has(&browser.text("#challenge").await, &["at most 4 of 5"]);
    axe::inspect(browser, "playground-5-code-by-mail").await;
    assert_has(&panel.send(code_in(&link)).await, &["Registered ", "with a proved address"]);
    assert_has(&browser.text("#challenge").await, &["used"]);

    panel.ask("login", email).await;
    let link = panel.link_in("sign").await;
    assert_has(&panel.send(code_in(&link)).await, &["Session cookie: logged in as", "without a password"]);
    panel.press("#log-in-all").await;

    panel.ask("email", "another@example.org").await;
    let link = panel.link_in("ddress").await;
    let outcome = panel.send(code_in(&link)).await;
    assert_has(&outcome, &["another@example.org is proved", "All other logins were ended", "Ended: "]);

    panel.ask("reset_password", "another@example.org").await;
    let link = panel.link_in("new password").await;
    let outcome = panel.send(code_in(&link)).await;
    assert_has(&outcome, &["New password set", "Ended: ", "after"]);
    // The form above has the new password.
    browser.type_into("#username", "another@example.org").await;
    assert_has(&panel.press("#log-in-all").await, &["is logged in four ways"]);
    axe::inspect(browser, "playground-6-codes-used").await;
    browser.assert_within_its_policy().await;
    browser.assert_quiet(&[401]).await;
    panel.browser.stop().await;
}

#[tokio::test]
async fn the_playground_follows_what_the_page_of_the_link_does() {
    let panel = Panel::open().await;
    let browser = &panel.browser;
    panel.press("#create-test-user").await;
    let email = browser.run("return document.getElementById('email').value", vec![]).await;
    let email = crate::support::text(&email);
    let outcome = follow(&panel, "registration", "Your account is ready").await;
    assert_has(&outcome, &["The page of the mail’s link has used the challenge"]);
    panel.ask("login", email).await;
    let outcome = follow(&panel, "sign", "You are signed in").await;
    assert_has(&outcome, &["Session cookie: logged in by the page of the mail’s link"]);
    assert!(browser.has("#session-cookie[data-state='active']").await);
    panel.browser.stop().await;
}

/// Opens the link of a mail in a tab of its own, goes on there, and returns what the playground says of it.
async fn follow(panel: &Panel, subject: &str, title: &str) -> String {
    let browser = &panel.browser;
    panel.link_in(subject).await;
    let here = browser.client.window().await.expect("a tab");
    let link = format!("//div[@id='mails']/details[contains(summary, '{subject}')]//a");
    browser.press(Locator::XPath(&link)).await;
    eventually("a tab of its own", async || browser.client.windows().await.expect("tabs").len() == 2).await;
    let tabs = browser.client.windows().await.expect("tabs");
    let new = tabs.into_iter().find(|tab| *tab != here).expect("another tab");
    browser.client.switch_to_window(new).await.expect("the tab");
    browser.click("#go-on").await;
    eventually(title, async || browser.text("h1").await == title).await;
    browser.client.close_window().await.expect("it closes");
    browser.client.switch_to_window(here).await.expect("the playground");
    eventually("what came of it", async || browser.text("#outcome").await.contains("mail’s link")).await;
    browser.find("body[data-busy='false'] .card").await;
    browser.text("#outcome").await
}
