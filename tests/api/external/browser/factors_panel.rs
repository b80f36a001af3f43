//! The playground's panel “Second factors”: every factor is enrolled, used in both modes, and removed.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::json;

use super::axe;
use super::codes_panel::{Panel, assert_has, code_in};
use super::driver::Browser;
use super::keyboard::{send_keys, tab_to};
use super::playground::Playground;
use super::virtual_authenticator::{Model, VirtualAuthenticator};
use crate::support::{eventually, text};

/// Selects an option, as a person does.
pub async fn select(browser: &Browser, id: &str, value: &str) {
    let script = "const select = document.getElementById(arguments[0]);
        select.value = arguments[1]; select.dispatchEvent(new Event('change', { bubbles: true }));";
    browser.run(script, vec![json!(id), json!(value)]).await;
}

/// Presses a button, and returns the outcome.
pub async fn press(page: &Playground, css: &str) -> String {
    page.press(css).await;
    page.outcome().await
}

/// What the table says that a credential's login has proved.
pub async fn proofs(browser: &Browser, credential: &str) -> String {
    browser.text(&format!("#proofs tr[data-credential='{credential}']")).await
}

/// Has the page compute a code into the field.
async fn compute(browser: &Browser, button: &str, field: &str) {
    browser.click(button).await;
    let script = "return document.querySelector(arguments[0]).value";
    eventually("a code of six digits", async || {
        text(&browser.run(script, vec![json!(field)]).await).len() == 6
    })
    .await;
}

#[tokio::test]
async fn two_step_sign_in_can_be_tried_in_the_playground_without_a_device() {
    let panel = Panel::open_with("open").await;
    let browser = &panel.browser;
    panel.press("#create-test-user").await;
    assert_has(&proofs(browser, "session-bearer").await, &["aal1", "pwd"]);

    // Where there are mails, notices have to reach the owner.
    assert_has(&panel.press("#add-totp").await, &["the address must be proved first", "email_not_verified"]);
    browser.click("#outcome button").await;
    panel.press("#ask-for-code [type='submit']").await;
    let link = panel.link_in("ddress").await;
    assert_has(&panel.send(code_in(&link)).await, &["is proved"]);

    assert_has(&panel.press("#add-totp").await, &["Scan the picture"]);
    let setup = browser.text("#totp-secret").await;
    assert_has(&setup, &["type the secret", "never shows it again"]);
    let drawn = browser.find(".qr path").await.attr("d").await.expect("an answer").expect("a path");
    assert!(drawn.len() > 1000, "{drawn}");
    axe::inspect(browser, "playground-7-authenticator").await;
    browser.type_into("#totp-code", "000000").await;
    assert_has(&panel.press("#totp-setup [type='submit']").await, &["not added", "invalid_code"]);
    browser.find("#totp-code").await.clear().await.expect("it clears");
    compute(browser, "#compute-first-code", "#totp-code").await;
    let outcome = panel.press("#totp-setup [type='submit']").await;
    assert_has(&outcome, &["Authenticator app: added", "two steps from now on", "Ended: "]);
    assert_has(&proofs(browser, "session-bearer").await, &["aal2\nwas aal1", "pwd otp mfa\nwas pwd", "was "]);
    assert_has(&proofs(browser, "jwt-bearer").await, &["–"]);
    let codes = browser
        .run("return [...document.querySelectorAll('.codes li')].map((it) => it.innerText)", vec![])
        .await;
    assert_eq!(codes.as_array().map(Vec::len), Some(10));
    axe::inspect(browser, "playground-8-recovery-codes").await;
    browser.allow_clipboard().await;
    browser.press(Locator::XPath("//button[text()='Copy all']")).await;
    let copied = "navigator.clipboard.readText().then(arguments[0])";
    eventually("all are copied", async || {
        let copied = browser.run_async(copied, vec![]).await;
        text(&copied).lines().map(|line| json!(line)).eq(codes.as_array().expect("codes").iter().cloned())
    })
    .await;
    browser.press(Locator::XPath("//button[text()='I have kept them']")).await;
    assert_eq!(
        browser.run("return document.body.innerText.includes(arguments[0])", vec![codes[0].clone()]).await,
        false
    );

    // The second step, in the other mode than the first.
    assert_has(&panel.press("#log-in-all").await, &["Session cookie: the password is right", "second step"]);
    browser.click("#outcome button").await;
    let focused = browser.run("return document.activeElement.id", vec![]).await;
    assert_eq!(focused, "second-code");
    let pending = browser.text("#pending").await;
    assert_has(&pending, &["a code of the authenticator, or a recovery code", "dac_", "no cookie, no token"]);
    axe::inspect(browser, "playground-9-second-step").await;
    compute(browser, "#second-step .compute", "#second-code").await;
    select(browser, "second-step-credential", "jwt-cookie").await;
    let outcome = panel.press("#second-step [type='submit']").await;
    assert_has(&outcome, &["JWT cookie: logged in as", "in two steps"]);
    assert_has(&proofs(browser, "jwt-cookie").await, &["aal2", "pwd otp mfa"]);
    panel.press("#log-in-all").await;
    browser.type_into("#second-code", "000000").await;
    assert_has(&panel.press("#second-step [type='submit']").await, &["rejected", "invalid_code"]);
    browser.type_into("#second-code", text(&codes[0])).await;
    assert_has(&panel.press("#second-step [type='submit']").await, &["Session cookie: logged in as"]);
    assert_has(&proofs(browser, "session-cookie").await, &["aal2", "pwd rc mfa"]);
    assert_has(&browser.text("#factors").await, &["Two-step sign-in is on", "Recovery codes left: 9"]);

    select(browser, "step-up-credential", "jwt-cookie").await;
    browser.type_into("#step-up-code", text(&codes[1])).await;
    assert_has(&panel.press("#step-up [type='submit']").await, &["JWT cookie: stepped up", "new auth_time"]);
    assert_has(&proofs(browser, "jwt-cookie").await, &["rc", "was pwd otp mfa"]);
    let outcome = panel.press("#factors .buttons button").await;
    assert_has(&outcome, &["Ten new recovery codes", "Ended: "]);
    browser.assert_within_its_policy().await;
    browser.assert_quiet(&[401, 403]).await;
    panel.browser.stop().await;
}

#[tokio::test]
async fn passkeys_and_security_keys_can_be_tried_in_the_playground_in_both_modes() {
    let page = Playground::open_at("localhost").await;
    let browser = &page.browser;
    assert!(!browser.find("#passkey-address").await.is_displayed().await.expect("an answer"));
    page.press("#create-test-user").await;
    let device = VirtualAuthenticator::add(browser, Model::device()).await;
    browser.type_into("#factor-name", "Laptop").await;
    let outcome = press(&page, "#add-passkey").await;
    assert_has(&outcome, &["Passkey: added as “Laptop”", "counts as a proof"]);
    page.assert_active(&["session-cookie", "session-bearer", "jwt-cookie", "jwt-bearer"]).await;
    assert_has(&proofs(browser, "session-bearer").await, &["aal2\nwas aal1", "pwd hwk user mfa\nwas pwd"]);
    assert_has(
        &browser.text("#factors").await,
        &["Password", "Laptop", "not used yet", "Two-step sign-in is off"],
    );
    assert_has(
        &press(&page, "#add-passkey").await,
        &["Passkey: not added", "is enrolled already", "InvalidStateError"],
    );

    // Without a name, into a mode that is signed out.
    page.act("session-cookie", "Log out").await;
    select(browser, "passkey-credential", "session-cookie").await;
    let outcome = press(&page, "#sign-in-by-passkey [type='submit']").await;
    assert_has(&outcome, &["Session cookie: logged in as", "without a name or a password"]);
    assert_has(&proofs(browser, "session-cookie").await, &["aal2", "hwk user mfa"]);

    // Step-up changes what both modes say, by a passkey or by the password.
    select(browser, "step-up-credential", "jwt-bearer").await;
    assert_has(&press(&page, "#step-up-passkey").await, &["JWT Bearer token: stepped up"]);
    assert_has(&proofs(browser, "jwt-bearer").await, &["aal2\nwas aal1", "pwd hwk user mfa\nwas pwd"]);
    page.act("jwt-bearer", "Refresh").await;
    let after = proofs(browser, "jwt-bearer").await;
    assert!(after.contains("aal2") && !after.contains("was"), "a refresh moves none of them: {after}");
    select(browser, "step-up-credential", "jwt-cookie").await;
    assert_has(&press(&page, "#step-up-password").await, &["JWT cookie: stepped up"]);
    axe::inspect(browser, "playground-10-passkeys").await;
    device.remove().await;

    let key = VirtualAuthenticator::add(browser, Model::key()).await;
    let outcome = press(&page, "#add-passkey").await;
    assert_has(&outcome, &["Passkey: not added", "must be able to verify you", "NotAllowedError"]);
    let outcome = press(&page, "#add-security-key").await;
    assert_has(&outcome, &["Security key: added", "two steps from now on", "Ended: "]);
    page.assert_active(&["session-bearer"]).await;
    assert_has(&press(&page, "#log-in-all").await, &["the password is right"]);
    assert_has(&browser.text("#pending").await, &["a passkey or security key"]);
    select(browser, "second-step-credential", "jwt-bearer").await;
    assert_has(&press(&page, "#second-passkey").await, &["JWT Bearer token: logged in as", "in two steps"]);
    assert_has(&proofs(browser, "jwt-bearer").await, &["aal2", "pwd hwk mfa"]);
    browser.click("[aria-label='Remove Security key']").await;
    page.rest().await;
    assert_has(
        &page.outcome().await,
        &["Security key “Security key”: removed", "All other logins were ended"],
    );
    assert_has(&browser.text("#factors").await, &["Two-step sign-in is off"]);
    key.remove().await;
    browser.assert_quiet(&[401]).await;
    page.close().await;
}

#[tokio::test]
async fn at_an_ip_address_the_playground_links_to_itself_by_a_name_and_passkeys_go_by_keyboard_there() {
    let page = Playground::open_at("127.0.0.1").await;
    let browser = &page.browser;
    assert_has(&browser.text("#passkey-address").await, &["need a name", "http://localhost:"]);
    axe::inspect(browser, "playground-11-address").await;
    page.press("#create-test-user").await;
    let outcome = press(&page, "#add-passkey").await;
    assert_has(&outcome, &["Passkey: not added", "Passkeys need a name", "SecurityError"]);
    browser.click("#passkey-address a").await;
    eventually("the same page by its name", async || {
        browser.client.current_url().await.expect("a URL").host_str() == Some("localhost")
    })
    .await;
    page.rest().await;
    let device = VirtualAuthenticator::add(browser, Model::device()).await;
    tab_to(browser, "#create-test-user").await;
    send_keys(browser, &Key::Enter.to_string()).await;
    eventually("signed in", async || page.outcome().await.contains("logged in four ways")).await;
    page.rest().await;
    tab_to(browser, "#add-passkey").await;
    send_keys(browser, " ").await;
    eventually("enrolled", async || page.outcome().await.contains("Passkey: added")).await;
    device.remove().await;
    page.close().await;
}
