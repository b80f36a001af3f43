//! `/handoff`, which takes a login over after a press, and the playground's panel “One login, two modes”.

use serde_json::{Value, json};

use super::axe;
use super::driver::Browser;
use super::playground::Playground;
use crate::exchange::{ask_for_code, modes};
use crate::support::{
    client::{Client, Pair},
    eventually,
    server::TestServer,
    text,
};

async fn waits_for_title(browser: &Browser, expected: &str) {
    eventually(expected, async || browser.text("h1").await == expected).await;
}

/// Opens a link in a page of its own.
async fn open(browser: &Browser, url: &str) {
    browser.goto("about:blank").await;
    browser.goto(url).await;
}

async fn link(server: &TestServer, client: &Client) -> String {
    text(&ask_for_code(server, client).await.expect(201).json()["url"]).to_owned()
}

/// What this browser is signed in as, by its cookies.
async fn signed_in(browser: &Browser, path: &str) -> Value {
    let script = "const [path, done] = arguments;
        fetch(path).then((response) => response.json()).then(done, (error) => done(String(error)));";
    browser.run_async(script, vec![json!(path)]).await
}

#[tokio::test]
async fn nothing_happens_before_the_press_and_after_it_the_browser_has_the_same_login() {
    let server = TestServer::start().await;
    let browser = Browser::start().await;
    let app = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let url = link(&server, &app).await;
    open(&browser, &url).await;
    eventually("the name", async || browser.text("#go-on").await == "Continue as ada").await;
    assert_eq!(browser.client.current_url().await.expect("a URL").fragment(), None, "it is taken away");
    assert_eq!(modes(&app).await, ["jwt"], "the page waits");
    assert_eq!(signed_in(&browser, "/session/profile").await["code"], "not_authenticated");
    axe::inspect(&browser, "handoff").await;

    browser.click("#go-on").await;
    waits_for_title(&browser, "You are signed in").await;
    let profile = signed_in(&browser, "/session/profile").await;
    assert_eq!(profile["auth"]["login_id"], app.profile().await.ok()["auth"]["login_id"]);
    assert_eq!(modes(&app).await, ["jwt", "session"]);
    let cookies = browser.run("return document.cookie", vec![]).await;
    assert_eq!(cookies, "", "no script reads them");

    // Once.
    open(&browser, &url).await;
    waits_for_title(&browser, "This link can’t be used any more").await;
    assert!(!browser.find("#go-on").await.is_displayed().await.expect("an answer"));
    // A login that has a session already is taken over in the other mode.
    let session = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    open(&browser, &link(&server, &session).await).await;
    eventually("the name", async || browser.text("#go-on").await == "Continue as ada").await;
    browser.click("#go-on").await;
    waits_for_title(&browser, "You are signed in").await;
    let profile = signed_in(&browser, "/jwt/profile").await;
    assert_eq!(profile["auth"]["login_id"], session.profile().await.ok()["auth"]["login_id"]);
    // And one that has both, not at all.
    open(&browser, &link(&server, &session).await).await;
    eventually("the name", async || browser.text("#go-on").await == "Continue as ada").await;
    browser.click("#go-on").await;
    waits_for_title(&browser, "There is nothing to hand off").await;

    open(&browser, &format!("http://localhost:{}/handoff#dah_x", server.address().port())).await;
    waits_for_title(&browser, "This link is not complete").await;
    let script = "const [done] = arguments;
        import('/handoff/texts.js').then(({ TEXTS }) => done(Object.values(TEXTS).map((it) => Object.keys(it).sort())));";
    let keys = browser.run_async(script, vec![]).await;
    assert_eq!(keys[0], keys[1], "every text is there in both languages");
    browser.assert_within_its_policy().await;
    browser.stop().await;
}

#[tokio::test]
async fn the_playground_hands_a_login_off_opens_a_web_view_and_gets_a_token() {
    let page = Playground::open_at("localhost").await;
    page.press("#create-test-user").await;
    let select = async |css: &str, value: &str| {
        let script = "const [select, value] = [document.querySelector(arguments[0]), arguments[1]];
            select.value = value; select.dispatchEvent(new Event('change', { bubbles: true }));";
        page.browser.run(script, vec![json!(css), json!(value)]).await;
    };
    let outcome_has = async |words: &str| {
        let outcome = page.outcome().await;
        assert!(outcome.contains(words), "no {words:?} in {outcome:?}");
    };
    page.press("#get-token").await;
    outcome_has("It has no refresh token").await;
    page.act("session-cookie", "Log out").await;
    page.act("jwt-cookie", "Log out").await;
    select("#exchange-from", "jwt-bearer").await;
    select("#exchange-to", "session-cookie").await;
    page.press("#hand-off [type='submit']").await;
    outcome_has("the login of the JWT Bearer token is presented here as well").await;
    page.assert_active(&["session-cookie", "session-bearer", "jwt-bearer"]).await;
    page.press("#hand-off [type='submit']").await;
    outcome_has("is logged in already").await;
    // One ends, and so does the other.
    page.act("session-cookie", "Log out").await;
    page.assert_active(&["session-bearer"]).await;
    page.act("jwt-bearer", "Log in").await;
    page.press("#open-web-view").await;
    outcome_has("for the same login").await;
    page.assert_active(&["session-cookie", "session-bearer", "jwt-bearer"]).await;
    page.act("jwt-bearer", "Log out").await;
    page.assert_active(&["session-bearer"]).await;
    page.close().await;
}
