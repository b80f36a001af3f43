//! Swagger UI in a real browser: the routes that take several steps can be tried as their descriptions say.

use serde_json::{Value, json};

use super::driver::Browser;
use super::swagger::SwaggerUi;
use super::virtual_authenticator::{Model, VirtualAuthenticator};
use crate::external::oidc_provider;
use crate::factors::Authenticator;
use crate::providers::provider_file;
use crate::support::program::{Server, folder};
use crate::support::server::{APP_SECRET, TestServer};
use crate::support::{PASSWORD, eventually, text};

#[tokio::test]
async fn a_forgotten_password_can_be_tried_in_swagger_ui_with_the_mails_of_the_private_postgres() {
    let server = Server::start(&folder(), &[("APP_SECRET", APP_SECRET)]).await;
    let browser = Browser::start().await;
    let page = SwaggerUi(&browser);
    browser.goto(&format!("http://{}/docs/", server.address())).await;
    let user = json!({"username": "ada", "email": "ada@example.com", "password": PASSWORD});
    let (status, _) = page.try_out("session", "session_register", Some(user)).await;
    assert_eq!(status, "201");

    // As the example says.
    let (status, asked) = page.try_out("account", "create_challenge", None).await;
    assert_eq!((status.as_str(), &asked["for"]), ("201", &json!("reset_password")));
    let block = "#operations-account-create_challenge";
    let link = browser.find(&format!("{block} .opblock-description a")).await;
    let link = link.attr("href").await.expect("an answer").expect("a link");
    assert_eq!(link, "#/service/local_mails");
    let mut mail = String::new();
    eventually("the mail", async || {
        let (_, newest) = page.try_out("service", "local_mails", None).await;
        mail = newest["mails"][0]["text"].as_str().unwrap_or_default().to_owned();
        mail.contains(text(&asked["id"]))
    })
    .await;
    let code = mail.lines().map(str::trim).find(|line| line.len() == 9 && line.is_char_boundary(4));
    let new_password = "another quiet lantern by the river";
    let reset =
        json!({"challenge": asked["challenge"], "code": code.expect("a code"), "new_password": new_password});
    let (status, _) = page.try_out("account", "reset_password", Some(reset)).await;
    assert_eq!(status, "204");
    browser.keep_screenshot("swagger-ui-reset.png").await;
    for (password, expected) in [(PASSWORD, "401"), (new_password, "200")] {
        let credentials = json!({"username": "ada", "password": password});
        let (status, _) = page.try_out("jwt", "jwt_login", Some(credentials)).await;
        assert_eq!(status, expected);
    }
    // The link leads to the mails, opened, in a tab of its own.
    browser.goto("about:blank").await;
    browser.goto(&format!("http://{}/docs/{link}", server.address())).await;
    browser.find("#operations-service-local_mails.is-open").await;
    browser.assert_within_its_policy().await;
    browser.stop().await;
}

/// What the description of `POST /challenges` has people type into the console, for these options of a new passkey.
async fn follow_description(browser: &Browser, options: &Value) -> Value {
    let told = "return [...document.querySelectorAll('#operations-account-create_challenge .opblock-description code')]
        .map((it) => it.textContent).find((it) => it.includes('navigator.credentials'))";
    let told = browser.run(told, vec![]).await;
    let script = format!(
        "const [options, done] = arguments; (async () => {})().then(done, (error) => done(error.name));",
        text(&told)
    );
    browser.run_async(&script, vec![options.clone()]).await
}

#[tokio::test]
async fn second_factors_can_be_tried_in_swagger_ui() {
    let server = TestServer::start().await;
    let browser = Browser::start().await;
    let page = SwaggerUi(&browser);
    browser.goto(&format!("http://localhost:{}/docs/", server.address().port())).await;
    server.user("ada").await;
    let credentials = json!({"username": "ada", "password": PASSWORD});
    page.try_out("session", "session_login", Some(credentials.clone())).await;

    let asked = json!({"for": "factor", "method": "totp"});
    let (status, challenge) = page.try_out("account", "create_challenge", Some(asked)).await;
    assert_eq!(status, "201", "{challenge}");
    let code = Authenticator::of(&challenge).code_in(&server, 0);
    let proof = json!({"challenge": challenge["challenge"], "code": code});
    let (status, enrolled) = page.try_out("account", "enrol_factor", Some(proof)).await;
    assert_eq!(status, "201", "{enrolled}");
    let device = VirtualAuthenticator::add(&browser, Model::device()).await;
    let asked = json!({"for": "factor", "method": "passkey"});
    let (_, challenge) = page.try_out("account", "create_challenge", Some(asked)).await;
    browser.keep_screenshot("swagger-ui-challenge.png").await;
    let answer = follow_description(&browser, &challenge["passkey"]).await;
    let proof = json!({"challenge": challenge["challenge"], "passkey": answer});
    let (status, passkey) = page.try_out("account", "enrol_factor", Some(proof)).await;
    assert_eq!((status.as_str(), &passkey["kind"]), ("201", &json!("passkey")), "{passkey}");
    device.remove().await;
    page.try_out("session", "session_logout", None).await;

    // The second step, in the other mode, with what the first answer has.
    let (status, pending) = page.try_out("session", "session_login", Some(credentials)).await;
    assert_eq!((status.as_str(), &pending["code"]), ("401", &json!("second_factor_required")));
    assert_eq!(pending["methods"], json!(["totp", "recovery_code", "passkey"]));
    let proof = json!({"challenge": pending["challenge"], "code": enrolled["recovery_codes"][0]});
    let (status, jwt) = page.try_out("jwt", "jwt_login", Some(proof)).await;
    assert_eq!(status, "200", "{jwt}");
    page.authorize(text(&jwt["access_token"])).await;

    // A step-up gives another token, to be entered in place of the first.
    let proof = json!({"code": enrolled["recovery_codes"][1]});
    let (status, stepped_up) = page.try_out("jwt", "jwt_step_up", Some(proof)).await;
    assert_eq!((status.as_str(), &stepped_up["login"]["id"]), ("200", &jwt["login"]["id"]));
    browser.keep_screenshot("swagger-ui-step-up.png").await;
    page.replace_authorization(text(&stepped_up["access_token"])).await;
    let (status, profile) = page.try_out("jwt", "jwt_profile", None).await;
    assert_eq!((status.as_str(), &profile["auth"]["acr"]), ("200", &json!("aal2")));
    let (status, factors) = page.try_out("account", "list_factors", None).await;
    assert_eq!((status.as_str(), &factors["recovery_codes_left"]), ("200", &json!(8)));
    browser.assert_within_its_policy().await;
    browser.stop().await;
}

#[tokio::test]
async fn a_provider_can_be_tried_in_swagger_ui_as_it_says() {
    let callback = "http://127.0.0.1/providers/stub/callback";
    let (_provider, address) = oidc_provider::start(callback).await;
    let file = provider_file(&format!("http://{address}"), "hunter2 & more", "");
    let server = TestServer::with(&[("PROVIDERS", &file)]).await;
    let browser = Browser::start().await;
    let page = SwaggerUi(&browser);
    let own_address = format!("http://localhost:{}/docs/", server.address().port());
    browser.goto(&own_address).await;
    let (_, listed) = page.try_out("service", "list_providers", None).await;
    assert_eq!(listed["providers"][0]["name"], "stub");

    for tag in ["session", "jwt"] {
        let asked = json!({"for": "login", "method": "stub", "return_to": own_address});
        let (status, challenge) = page.try_out("account", "create_challenge", Some(asked)).await;
        assert_eq!(status, "201", "{challenge}");
        let here = browser.client.window().await.expect("a tab");
        let there = browser.client.new_window(true).await.expect("another tab").handle;
        browser.client.switch_to_window(there).await.expect("the tab");
        browser.goto(text(&challenge["authorization_url"])).await;
        if tag == "session" {
            browser.click("#as-17").await;
        }
        browser.find("#operations-account-create_challenge").await;
        let address = browser.client.current_url().await.expect("a URL");
        let fragment = address.fragment().expect("a fragment").to_owned();

        browser.client.close_window().await.expect("it closes");
        browser.client.switch_to_window(here).await.expect("the first tab");
        let code = fragment.split_once("code%3D").expect("a code").1;
        let proof = json!({"challenge": challenge["challenge"], "code": code});
        let (status, login) = page.try_out(tag, &format!("{tag}_login"), Some(proof)).await;
        assert_eq!((status.as_str(), &login["user"]["username"]), ("200", &json!("ada")), "{login}");
    }
    browser.assert_within_its_policy().await;
    browser.stop().await;
}
