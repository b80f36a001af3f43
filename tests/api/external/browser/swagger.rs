//! Swagger UI in a real browser: every route can be tried in both modes.

use fantoccini::Locator;
use serde_json::{Value, json};

use super::driver::Browser;
use super::virtual_authenticator::{Model, VirtualAuthenticator};
use crate::external::oidc_provider;
use crate::factors::Authenticator;
use crate::oauth::Service;
use crate::providers::provider_file;
use crate::support::program::{Server, folder};
use crate::support::server::{APP_SECRET, TestServer};
use crate::support::{PASSWORD, eventually, text};

/// The page, used as a person would.
pub struct SwaggerUi<'a>(pub &'a Browser);

impl SwaggerUi<'_> {
    /// Tries an operation: opens it, types the body if there is one, executes, and reads the live response.
    pub async fn try_out(&self, tag: &str, id: &str, body: Option<Value>) -> (String, Value) {
        let block = format!("#operations-{tag}-{id}");
        if !self.0.has(&format!("{block}.is-open")).await {
            self.0.click(&format!("{block} .opblock-summary-control")).await;
        }
        if let Some(body) = body {
            self.paste(&format!("{block} textarea.body-param__text"), &body.to_string()).await;
        }
        if self.0.has(&format!("{block} .btn-clear")).await {
            self.0.click(&format!("{block} .btn-clear")).await;
        }
        self.0.click(&format!("{block} .execute")).await;
        let status =
            self.0.find(&format!("{block} .live-responses-table .response .response-col_status")).await;
        let status = status.text().await.expect("a status");
        let shown = self
            .0
            .client
            .find(Locator::Css(&format!("{block} .live-responses-table .highlight-code > pre")))
            .await;
        let text = match shown {
            Ok(shown) => shown.text().await.expect("a body"),
            Err(_) => String::new(),
        };
        (
            status.split_whitespace().next().unwrap_or_default().to_owned(),
            serde_json::from_str(&text).unwrap_or(Value::Null),
        )
    }

    /// Fills in a field at once: the page draws itself anew for each key.
    async fn paste(&self, css: &str, text: &str) {
        let field = serde_json::to_value(self.0.find(css).await).expect("an element");
        let script = "const [field, text] = arguments;
            Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(field, text);
            field.dispatchEvent(new Event('input', { bubbles: true }));";
        self.0.run(script, vec![field, json!(text)]).await;
    }

    async fn has_closed_padlock(&self, operation: &str) -> bool {
        self.0
            .has(&format!(
                "#operations-{operation} .authorization__btn[aria-label='authorization button locked']"
            ))
            .await
    }

    async fn authorize(&self, token: &str) {
        self.fill_in_authorization(&[("auth-bearer-value", token)]).await;
    }

    async fn replace_authorization(&self, token: &str) {
        self.0.click(".scheme-container .authorize").await;
        // Its form has a button "Logout" in place of a field while a token is entered.
        self.0.press(Locator::XPath("//div[@class='auth-btn-wrapper']/button[text()='Logout']")).await;
        self.0.click(".modal-ux .btn-done").await;
        self.authorize(token).await;
    }

    async fn authorize_service(&self, service: &Service) {
        let fields = [("auth-basic-username", service.id.as_str()), ("auth-basic-password", &service.secret)];
        self.fill_in_authorization(&fields).await;
    }

    async fn fill_in_authorization(&self, fields: &[(&str, &str)]) {
        self.0.click(".scheme-container .authorize").await;
        for (name, value) in fields {
            self.0.type_into(&format!(".auth-container input[aria-label='{name}']"), value).await;
        }
        let of_these = format!(".auth-container:has(input[aria-label='{}']) .authorize", fields[0].0);
        self.0.click(&of_these).await;
        self.0.click(".modal-ux .btn-done").await;
    }

    /// Types into a field of an operation's form.
    async fn fill_in(&self, tag: &str, id: &str, field: &str, value: &str) {
        let block = format!("#operations-{tag}-{id}");
        self.0.click(&format!("{block} .opblock-summary-control")).await;
        self.0.type_into(&format!("{block} [data-property-name='{field}'] input"), value).await;
    }
}

/// The ids of the operations, from top to bottom.
const SHOWN: &str =
    "return [...document.querySelectorAll('.opblock')].map((it) => it.id.split('-').slice(2).join('-'))";

/// The ids of the operations without a padlock.
const OPEN_TO_ALL: &str = "return [...document.querySelectorAll('.opblock')].filter((it) => \
     !it.querySelector('.authorization__btn')).map((it) => it.id.split('-').slice(2).join('-'))";

#[tokio::test]
async fn swagger_ui_lists_routes_in_order_of_use_and_a_padlock_where_a_login_is_required() {
    let server = TestServer::start().await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/docs/", server.address())).await;
    browser.find("#operations-service-openapi_json").await;

    let shown = browser.run(SHOWN, vec![]).await;
    let visit = ["session_register", "session_login", "session_profile", "session_csrf", "session_refresh"];
    assert_eq!(shown.as_array().expect("operations")[..5], visit.map(Value::from));
    let open_to_all = browser.run(OPEN_TO_ALL, vec![]).await;
    let open_to_all = open_to_all.as_array().expect("operations");
    for id in ["session_register", "session_login", "jwt_register", "jwt_login", "jwks", "health_live"] {
        assert!(open_to_all.contains(&json!(id)), "{id}: {open_to_all:?}");
    }
    for id in ["session_profile", "jwt_logout", "profile", "change_password", "oauth_introspect"] {
        assert!(!open_to_all.contains(&json!(id)), "{id}: {open_to_all:?}");
    }

    // The comparison has its own document, linked from the page.
    browser.click("nav a[href='/docs/?comparison']").await;
    let (status, _) = SwaggerUi(&browser).try_out("comparison", "compare_json", None).await;
    assert_eq!(status, "200");
    browser.assert_within_its_policy().await;
    browser.stop().await;
}

#[tokio::test]
async fn every_mode_can_be_tried_in_swagger_ui() {
    let server = TestServer::start().await;
    let browser = Browser::start().await;
    let page = SwaggerUi(&browser);
    browser.goto(&format!("http://{}/docs/", server.address())).await;

    let user = json!({"username": "ada", "email": "ada@example.org", "password": PASSWORD});
    let (status, registered) = page.try_out("session", "session_register", Some(user)).await;
    assert_eq!((status.as_str(), &registered["username"]), ("201", &json!("ada")));
    browser.keep_screenshot("swagger-ui-register.png").await;
    browser.assert_within_its_policy().await;

    for operation in ["session-session_profile", "jwt-jwt_profile", "jwt-jwt_logout"] {
        assert!(!page.has_closed_padlock(operation).await, "not logged in: {operation}");
    }

    // By cookie: it is sent automatically, and unsafe requests get the CSRF header.
    let credentials = json!({"username": "ada", "password": PASSWORD});
    let (status, session) = page.try_out("session", "session_login", Some(credentials.clone())).await;
    assert_eq!((status.as_str(), &session["login"]["transport"]), ("200", &json!("cookie")));
    let (status, profile) = page.try_out("session", "session_profile", None).await;
    assert_eq!((status.as_str(), &profile["auth"]["mode"]), ("200", &json!("session")));
    let (status, refreshed) = page.try_out("session", "session_refresh", None).await;
    assert_eq!((status.as_str(), &refreshed["login"]["id"]), ("200", &session["login"]["id"]));
    let (status, shared) = page.try_out("account", "profile", None).await;
    assert_eq!((status.as_str(), &shared["auth"]["mode"]), ("200", &json!("session")));

    assert!(page.has_closed_padlock("session-session_profile").await);
    assert!(!page.has_closed_padlock("jwt-jwt_profile").await, "the other mode's");

    // After a reload without a stored CSRF token the page requests one.
    browser.run("sessionStorage.clear()", vec![]).await;
    browser.client.refresh().await.expect("the page again");
    let (status, _) = page.try_out("session", "session_refresh", None).await;
    assert_eq!(status, "200");

    // By Bearer token: entered once under Authorize.
    let (status, jwt) = page.try_out("jwt", "jwt_login", Some(credentials.clone())).await;
    assert_eq!((status.as_str(), &jwt["login"]["transport"]), ("200", &json!("bearer")));
    page.authorize(jwt["access_token"].as_str().expect("a token")).await;
    for operation in ["session-session_profile", "jwt-jwt_profile", "jwt-jwt_logout"] {
        assert!(page.has_closed_padlock(operation).await, "a token is sent: {operation}");
    }
    let (status, profile) = page.try_out("jwt", "jwt_profile", None).await;
    assert_eq!((status.as_str(), &profile["auth"]["mode"]), ("200", &json!("jwt")));
    let (status, shared) = page.try_out("account", "profile", None).await;
    assert_eq!((status.as_str(), &shared["auth"]["login_id"]), ("200", &jwt["login"]["id"]));
    browser.keep_screenshot("swagger-ui-profile.png").await;

    // As another service: with its own client secret, and the token in the form.
    let service = Service::registered(&server).await;
    page.authorize_service(&service).await;
    page.fill_in("oauth", "oauth_introspect", "token", jwt["access_token"].as_str().expect("a token")).await;
    let (status, told) = page.try_out("oauth", "oauth_introspect", None).await;
    assert_eq!((status.as_str(), &told["sid"]), ("200", &jwt["login"]["id"]));
    browser.keep_screenshot("swagger-ui-introspect.png").await;
    browser.assert_within_its_policy().await;

    let (status, _) = page.try_out("jwt", "jwt_logout", None).await;
    assert_eq!(status, "204");
    let (status, refused) = page.try_out("jwt", "jwt_profile", None).await;
    assert_eq!((status.as_str(), &refused["code"]), ("401", &json!("token_revoked")));

    browser.stop().await;
}

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
