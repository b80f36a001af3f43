//! A page used by keyboard alone.

use fantoccini::key::Key;
use serde_json::json;

use super::driver::Browser;

/// Presses Tab until this has the focus, and asserts that the focus is always visible.
pub async fn tab_to(browser: &Browser, css: &str) {
    let script = "const focused = document.activeElement;
        return [focused.matches(arguments[0]), getComputedStyle(focused).outlineStyle, focused.outerHTML.slice(0, 120)]";
    for _ in 0..200 {
        send_keys(browser, &Key::Tab.to_string()).await;
        let focus = browser.run(script, vec![json!(css)]).await;
        assert_ne!(focus[1], "none", "the focus is not visible: {focus}");
        if focus[0] == true {
            return;
        }
    }
    panic!("Tab does not reach {css}");
}

/// Types into whatever has the focus.
pub async fn send_keys(browser: &Browser, keys: &str) {
    browser.client.active_element().await.expect("one").send_keys(keys).await.expect("keys");
}
