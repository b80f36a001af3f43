//! The playground's buttons of sign-in providers: to sign in, link, step up and unlink, with a provider that nobody here wrote.

use fantoccini::Locator;

use super::axe;
use super::codes_panel::assert_has;
use super::driver::Browser;
use super::factors_panel::{press, proofs, select};
use super::playground::Playground;
use crate::external::oidc_provider;
use crate::factors;
use crate::providers::provider_file;
use crate::support::{PASSWORD, eventually, server::TestServer};

const ADA: &str = "17";
const BEA: &str = "18";

/// Goes to the provider in another tab, does this there, comes back, and returns the outcome.
async fn go_there(page: &Playground, act: impl AsyncFnOnce(&Browser)) -> String {
    let browser = &page.browser;
    let here = browser.client.window().await.expect("a tab");
    browser.click("#go-to-provider").await;
    eventually("a tab of its own", async || browser.client.windows().await.expect("tabs").len() == 2).await;
    let tabs = browser.client.windows().await.expect("tabs");
    let there = tabs.into_iter().find(|tab| *tab != here).expect("another tab");
    browser.client.switch_to_window(there).await.expect("the tab");
    act(browser).await;
    waits_for_the_way_back(browser).await;
    assert_eq!(browser.client.current_url().await.expect("a URL").fragment(), None, "it is taken away");
    browser.client.close_window().await.expect("it closes");
    browser.client.switch_to_window(here).await.expect("the playground");
    eventually("what came of it", async || !page.outcome().await.contains("There is a challenge")).await;
    page.rest().await;
    page.outcome().await
}

/// Signs in at the provider, which remembers who it was unless it has to ask.
async fn sign_in_there(browser: &Browser, subject: &str) {
    browser.click(&format!("#as-{subject}")).await;
}

async fn waits_for_the_way_back(browser: &Browser) {
    eventually("the way back", async || browser.has("#returned").await).await;
}

async fn is_shown(browser: &Browser, css: &str) -> bool {
    browser.find(css).await.is_displayed().await.expect("an answer")
}

#[tokio::test]
async fn a_provider_can_be_tried_in_the_playground_in_both_modes() {
    let callback = "http://127.0.0.1/providers/stub/callback";
    let (_provider, address) = oidc_provider::start(callback).await;
    let file = provider_file(&format!("http://{address}"), "hunter2 & more", "title = 'Example'");
    let page = Playground::of(TestServer::with(&[("PROVIDERS", &file)]).await, "localhost").await;
    let browser = &page.browser;
    let (_, authenticator) = factors::two_step_user(&page.server, "bea").await;

    select(browser, "passkey-credential", "jwt-bearer").await;
    let outcome = press(&page, "#sign-in-providers button").await;
    assert_has(&outcome, &["There is a challenge for Example"]);
    let shown = browser.text("#provider-attempt").await;
    assert_has(&shown, &["sign in: Example, JWT Bearer token", "dac_", "by redirect"]);
    axe::inspect(browser, "playground-12-provider").await;
    let outcome = go_there(&page, async |browser| browser.click("#deny").await).await;
    assert_has(&outcome, &["Example: nobody signed in there"]);
    assert!(!is_shown(browser, "#provider-attempt").await);

    // In both modes. The provider remembers who it was.
    press(&page, "#sign-in-providers button").await;
    let outcome = go_there(&page, async |browser| sign_in_there(browser, ADA).await).await;
    assert_has(&outcome, &["JWT Bearer token: logged in as ada by Example, without a password"]);
    assert_has(&proofs(browser, "jwt-bearer").await, &["aal1", "fed"]);
    select(browser, "passkey-credential", "session-cookie").await;
    press(&page, "#sign-in-providers button").await;
    let outcome = go_there(&page, async |_| ()).await;
    assert_has(&outcome, &["Session cookie: logged in as ada by Example, without a password"]);
    assert_has(&browser.text("#factors").await, &["Example", "ada@example.com"]);
    browser.click("[aria-label='Remove Example']").await;
    page.rest().await;
    assert_has(&page.outcome().await, &["Provider: not removed", "last_factor"]);

    // A step-up has it ask again, and believes it of the same person alone.
    select(browser, "step-up-credential", "jwt-bearer").await;
    press(&page, "#step-up-providers button").await;
    let outcome = go_there(&page, async |browser| sign_in_there(browser, ADA).await).await;
    assert_has(&outcome, &["JWT Bearer token: stepped up", "new auth_time"]);
    press(&page, "#step-up-providers button").await;
    let outcome = go_there(&page, async |browser| sign_in_there(browser, BEA).await).await;
    assert_has(&outcome, &["JWT Bearer token: not stepped up", "challenge_expired"]);

    // An account has the address: its own factors link it.
    select(browser, "passkey-credential", "jwt-cookie").await;
    press(&page, "#sign-in-providers button").await;
    let outcome = go_there(&page, async |_| ()).await;
    assert_has(&outcome, &["JWT cookie: an account has this address"]);
    axe::inspect(browser, "playground-13-link-required").await;
    for (password, outcome) in [("not the password", "not linked"), (PASSWORD, "the first step is done")] {
        browser.type_into("#password", password).await;
        browser.press(Locator::XPath("//button[text()='Link with the password entered above']")).await;
        page.rest().await;
        assert_has(&page.outcome().await, &[outcome]);
    }
    assert_has(&browser.text("#pending").await, &["Second step: a code of the authenticator"]);
    browser.type_into("#second-code", &authenticator.next_code(&page.server)).await;
    let outcome = press(&page, "#second-step [type='submit']").await;
    assert_has(&outcome, &["JWT cookie: logged in as bea in two steps"]);
    select(browser, "factor-credential", "jwt-cookie").await;
    page.act("jwt-cookie", "Get profile").await;
    assert_has(&browser.text("#factors").await, &["Password", "Example", "bea@example.org"]);
    browser.click("[aria-label='Remove Example']").await;
    page.rest().await;
    assert_has(&page.outcome().await, &["Provider “Example”: removed", "All other logins were ended"]);
    assert!(!browser.text("#factors").await.contains("bea@example.org"));
    page.press("#reset-all").await;

    page.press("#create-test-user").await;
    select(browser, "factor-credential", "session-bearer").await;
    press(&page, "#link-providers button").await;
    let outcome = go_there(&page, async |browser| {
        waits_for_the_way_back(browser).await;
        axe::inspect(browser, "playground-14-provider-return").await;
    })
    .await;
    assert_has(&outcome, &["Account at Example: added.", "counts as a proof"]);
    assert_has(&proofs(browser, "session-bearer").await, &["aal1", "pwd fed\nwas pwd"]);
    axe::inspect(browser, "playground-15-linked").await;
    browser.assert_quiet(&[401, 409]).await;

    let none = TestServer::start().await;
    browser.goto(&format!("http://localhost:{}/", none.address().port())).await;
    page.rest().await;
    for place in ["#sign-in-providers", "#link-providers", "#step-up-providers", "#provider-attempt"] {
        assert!(!is_shown(browser, place).await, "{place}");
    }
    page.close().await;
}
