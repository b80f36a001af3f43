//! The pages below a path of their host, as PUBLIC_URL says, with cookies that have a prefix to their names.

use serde_json::json;

use super::driver::Browser;
use super::swagger::SwaggerUi;
use crate::support::server::TestServer;
use crate::support::{PASSWORD, eventually, free_port};

#[tokio::test]
async fn every_page_works_below_a_path() {
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}/auth");
    let settings = [("LISTEN", address.as_str()), ("PUBLIC_URL", &url), ("COOKIE_NAME_PREFIX", "staging_")];
    let (server, browser) = (TestServer::with(&settings).await, Browser::start().await);
    server.user("ada").await;

    browser.goto(&format!("{url}/")).await;
    browser.find("body[data-busy='false'] .card").await;
    browser.click("#create-test-user").await;
    for credential in ["session-cookie", "session-bearer", "jwt-cookie", "jwt-bearer"] {
        browser.find(&format!("#{credential}[data-state='active']")).await;
    }
    browser.find("body[data-busy='false'] .card").await;
    let cookies = "return document.getElementById('jwt-cookie').textContent";
    let shown = browser.run(cookies, vec![]).await;
    for word in ["staging_refresh_token=", "Path=/auth/jwt", "POST /auth/jwt/login"] {
        assert!(shown.as_str().is_some_and(|shown| shown.contains(word)), "no {word:?} in {shown}");
    }
    browser.assert_quiet(&[]).await;
    browser.assert_within_its_policy().await;

    browser.goto(&format!("{url}/docs/")).await;
    let page = SwaggerUi(&browser);
    let credentials = json!({"username": "ada", "password": PASSWORD});
    let (status, session) = page.try_out("session", "session_login", Some(credentials)).await;
    assert_eq!((status.as_str(), &session["login"]["transport"]), ("200", &json!("cookie")));
    // With the CSRF header that the page adds.
    let (status, refreshed) = page.try_out("session", "session_refresh", None).await;
    assert_eq!((status.as_str(), &refreshed["login"]["id"]), ("200", &session["login"]["id"]));
    browser.assert_within_its_policy().await;

    browser.goto(&format!("{url}/compare")).await;
    browser.click("#run-demo").await;
    browser.find("[data-live='logout'][data-mode='jwt'][data-done]").await;
    browser.find("#run-demo:not([aria-disabled])").await;
    assert_eq!(browser.text("#demo-status").await, "Done. The live cells are filled in.");
    browser.assert_within_its_policy().await;

    // The page of a mail's link, with a challenge that the server does not know.
    browser.goto(&format!("{url}/mail")).await;
    let (id, kept) = (
        "0199f0a0-4f1e-7c3a-9d2b-0f6f0e1c2d3e",
        json!({"for": "register", "mode": "jwt", "challenge": "dac_"}),
    );
    let keep = "const [id, kept, done] = arguments;
        import('/auth/mail/challenge-store.js').then(({ keepChallenge }) => done(keepChallenge(id, kept)))";
    browser.run_async(keep, vec![json!(id), kept]).await;
    browser.goto("about:blank").await;
    browser.goto(&format!("{url}/mail#{id}.12345678")).await;
    browser.click("#go-on").await;
    let over = async || browser.text("h1").await == "This code can’t be used any more";
    eventually("the service below the path was asked", over).await;
    browser.assert_within_its_policy().await;
    browser.stop().await;
}
