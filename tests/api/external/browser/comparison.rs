//! The comparison's page: what is measured is there, and what is seen live happens.

use super::axe;
use super::driver::Browser;

/// What the browser logs when refusals are shown.
const REFUSALS: [u16; 2] = [401, 403];

/// Looks at a page on which a run is shown, as a person does.
pub async fn look_at(address: std::net::SocketAddr) {
    let browser = Browser::start().await;
    browser.goto(&format!("http://{address}/compare")).await;
    browser.find("#outcome").await;
    axe::inspect(&browser, "comparison").await;
    assert_eq!(browser.run("return document.querySelectorAll('.chart svg').length", vec![]).await, 4);

    browser.click("#show").await;
    browser.find(".live[data-mode='jwt'][data-live='logout'][data-seen]").await;
    browser.find("#show:not([aria-disabled])").await;
    assert_eq!(browser.text("#outcome").await, "Done. The live cells are filled in.");
    for (cell, words) in [
        ("expiry-session", "it moved on while it was used"),
        ("expiry-jwt", "it stood still while it was used"),
        ("use-session", "got 200, this browser with its cookie got 200"),
        ("use-jwt", "got 200, this browser with its cookie got 200"),
        ("xss-session", "can’t read the cookie"),
        ("xss-jwt", "can’t read the cookie"),
        ("csrf-session", "403 csrf_failed, with it 200"),
        ("csrf-jwt", "403 csrf_failed, with it 200"),
        ("logout-session", "401 session_expired"),
        ("logout-jwt", "401 token_revoked"),
    ] {
        let (live, mode) = cell.split_once('-').expect("two words");
        let text = browser.text(&format!("[data-live='{live}'][data-mode='{mode}']")).await;
        assert!(text.contains(words), "{cell}: {text}");
    }
    // Who looked on is nobody, as before.
    let status = "return fetch('/profile').then((answer) => answer.status)";
    assert_eq!(browser.run(status, vec![]).await, 401);
    axe::inspect(&browser, "comparison-live").await;
    browser.assert_quiet(&REFUSALS).await;
    browser.assert_within_its_policy().await;
    browser.stop().await;
}
