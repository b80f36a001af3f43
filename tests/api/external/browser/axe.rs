//! Accessibility checks with axe-core: in both colour schemes, on a desktop and on phones.

use serde_json::{Value, json};

use super::driver::{Browser, DESKTOP, PHONE, SCHEMES, SMALL_PHONE, Screen, installed};

/// Asserts that the page in its current state is accessible and fits, and saves screenshots with this name.
pub async fn inspect(browser: &Browser, name: &str) {
    for screen in [DESKTOP, PHONE, SMALL_PHONE] {
        for scheme in SCHEMES {
            browser.show_on(screen, scheme).await;
            assert_fits(browser, screen).await;
            assert_accessible(browser, &format!("{name}, {} and {scheme}", screen.0)).await;
            if screen != SMALL_PHONE {
                browser.run("scrollTo(0, 0)", vec![]).await;
                browser.keep_screenshot(&format!("{name}-{}-{scheme}.png", screen.0)).await;
            }
        }
    }
    browser.show_on(DESKTOP, SCHEMES[0]).await;
}

/// Asserts that the page does not scroll horizontally and is not zoomed out.
async fn assert_fits(browser: &Browser, (name, width, ..): Screen) {
    let script = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]";
    let widths = browser.run(script, vec![]).await;
    let [needed, there] = [&widths[0], &widths[1]].map(|width| width.as_u64().expect("a width"));
    assert!(needed <= u64::from(width) && there <= u64::from(width), "{name}: {needed} of {width}");
}

async fn assert_accessible(browser: &Browser, what: &str) {
    if browser.run("return typeof axe", vec![]).await == "undefined" {
        let source = installed("axe-core").join("axe.min.js");
        let source = std::fs::read_to_string(source).expect("axe-core: run scripts/clients");
        browser.run(&source, vec![]).await;
    }
    let script = "const [done] = arguments;
        axe.run(document, { resultTypes: ['violations'] }).then(
            ({ violations, passes }) => done({ passes: passes.length, violations: violations.map(
                ({ id, help, nodes }) => ({ id, help, where: nodes.map(({ html, failureSummary }) => [html, failureSummary]) })) }),
            (error) => done({ error: String(error) }));";
    let found = browser.run_async(script, vec![]).await;
    assert!(found["passes"].as_u64() > Some(10), "axe has checked nothing: {found}");
    let none: Value = json!([]);
    assert_eq!(found["violations"], none, "{what}: {found:#}");
}
