//! The comparison page: it shows the measurements, and the live demonstrations work.

use super::axe;
use super::driver::Browser;

/// The statuses of rejected requests, which the browser logs.
const REJECTIONS: [u16; 2] = [401, 403];

/// Checks a page that shows a run.
pub async fn look_at(address: std::net::SocketAddr) {
    let browser = Browser::start().await;
    browser.goto(&format!("http://{address}/compare")).await;
    browser.find("#demo-status").await;
    axe::inspect(&browser, "comparison").await;
    assert_eq!(browser.run("return document.querySelectorAll('.chart svg').length", vec![]).await, 4);

    browser.click("#run-demo").await;
    browser.find(".live[data-mode='jwt'][data-live='logout'][data-done]").await;
    browser.find("#run-demo:not([aria-disabled])").await;
    assert_eq!(browser.text("#demo-status").await, "Done. The live cells are filled in.");
    for (cell, words) in [
        ("expiry-session", "using it extended it"),
        ("expiry-jwt", "using it did not extend it"),
        ("use-session", "Bearer token returned 200, a request with the cookie returned 200"),
        ("use-jwt", "Bearer token returned 200, a request with the cookie returned 200"),
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
    // The visitor is not logged in afterwards.
    let status = "return fetch('/profile').then((answer) => answer.status)";
    assert_eq!(browser.run(status, vec![]).await, 401);
    axe::inspect(&browser, "comparison-live").await;
    browser.assert_quiet(&REJECTIONS).await;
    browser.assert_within_its_policy().await;
    browser.stop().await;
}
