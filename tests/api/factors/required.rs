//! `SECOND_FACTOR=required`: a login below aal2 may enrol, step up and sign out, and nothing else.

use dualauth::{app, config::Config};
use serde_json::{Value, json};

use super::last_factor::add_key;
use super::{enrol, first_step, second_step};
use crate::challenges;
use crate::oauth::Service;
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Mode, Pair},
    http::{Request, Response},
    server::{ONE_NAME, TestServer},
    text,
};

const REQUIRED: (&str, &str) = ("SECOND_FACTOR", "required");

/// What is open to such a login. Each mode's own routes are below its name.
const OPEN: [&str; 7] = [
    "post /{mode}/step-up",
    "post /{mode}/logout",
    "post /{mode}/logout-all",
    "get /{mode}/csrf",
    "post /challenges",
    "post /account/factors",
    "post /account/email",
];

/// Every operation of the document that takes the credential of a login.
fn operations() -> Vec<(String, String)> {
    let config = Config::from_vars(|_| None).expect("the defaults");
    let document: Value = serde_json::from_str(&app::document(&config).expect("a document")).expect("JSON");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("a path item") {
            let schemes = operation["security"].as_array().expect("what it takes").iter();
            let of_login = |scheme: &String| scheme == "bearer" || scheme.ends_with("_cookie");
            if schemes.filter_map(Value::as_object).flat_map(|it| it.keys()).any(of_login) {
                operations.push((method.clone(), path.clone()));
            }
        }
    }
    assert!(operations.len() > 20, "{operations:?}");
    operations
}

fn request(client: &Client, method: &str, path: &str) -> Request {
    if path.ends_with("/refresh") {
        return client.refresh_request();
    }
    let concrete = path.replace("{id}", &uuid::Uuid::nil().to_string()).replace("{key}", "theme");
    let request = client.request(&method.to_ascii_uppercase(), &concrete);
    match (method, path) {
        ("post", "/account/password") => {
            request.json(&json!({ "current_password": PASSWORD, "new_password": PASSWORD }))
        }
        ("post", path) if path.ends_with("/step-up") => request.json(&json!({ "password": PASSWORD })),
        ("post", "/challenges") => request.json(&json!({ "for": "factor", "method": "totp" })),
        ("post", "/account/factors" | "/account/email") => {
            request.json(&json!({ "challenge": "dac_", "code": "123456" }))
        }
        ("put", _) => request.json(&json!("dark")),
        _ => request,
    }
}

fn is_refused(answer: &Response) -> bool {
    answer.status == 401 && answer.json()["code"] == "insufficient_user_authentication"
}

#[tokio::test]
async fn a_login_below_aal2_is_refused_everywhere_but_where_it_gets_there_or_leaves() {
    let server = TestServer::with(&[REQUIRED, ONE_NAME]).await;
    let another = server.another_node().await;
    server.user("ada").await;
    let operations = operations();
    let mut open = Vec::new();
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let node = if number % 2 == 0 { &server } else { &another };
        let other_mode = if pair.mode == Mode::Session { "/jwt/" } else { "/session/" };
        // An access token opens a session, and nothing else does.
        let takes = |path: &String| match path.as_str() {
            "/session/open" => pair == Pair::JWT_BEARER,
            path => !path.starts_with(other_mode),
        };
        for (method, path) in operations.iter().filter(|(_, path)| takes(path)) {
            let client = Client::signed_in(&server, pair, "ada").await;
            let general = path.replace(&format!("/{}/", pair.mode.name()), "/{mode}/");
            let general = format!("{method} {general}");
            let answer = node.send(request(&client, method, path)).await;
            if OPEN.contains(&general.as_str()) {
                assert!(answer.status < 500 && !is_refused(&answer), "{pair:?}: {general}: {answer}");
                open.push(general);
                continue;
            }
            let refused = answer.problem(401, "insufficient_user_authentication").not_stored();
            let challenge = refused.header("www-authenticate").map(str::to_owned);
            assert_eq!(
                challenge.as_deref(),
                Some(r#"Bearer error="insufficient_user_authentication", acr_values="aal2""#)
            );
            let body = refused.json();
            assert_eq!((&body["acr_values"], &body["methods"]), (&json!("aal2"), &json!([])), "{general}");
            assert_eq!(refused.set_cookies(), [], "{general}: it is good for what it is good for");
        }
    }
    for route in OPEN {
        assert_eq!(open.iter().filter(|seen| *seen == route).count(), Pair::ALL.len(), "{route}");
    }
    // Any other method and path of a proxy's question.
    let client = Client::signed_in(&server, Pair::SESSION_COOKIE, "ada").await;
    for (method, path) in
        [("POST", "/verify"), ("GET", "/verify/session/logout"), ("PUT", "/verify/challenges")]
    {
        let asked = client.without_csrf(method, path);
        server.send(asked).await.problem(401, "insufficient_user_authentication");
    }
}

#[tokio::test]
async fn who_enrols_is_let_in_everywhere_and_introspection_says_so() {
    let server = TestServer::with(&[REQUIRED, ONE_NAME]).await;
    let another = server.another_node().await;
    let service = Service::registered(&server).await;
    let introspect = async |node: &TestServer, client: &Client| {
        let token = [("token", client.credential())];
        let token = [("token", token[0].1.as_str())];
        let asked = Request::post("/jwt/introspect").basic(&service.id, &service.secret).form(&token);
        node.send(asked).await.expect(200).json()
    };
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let mut client = Client::of_new_user(&server, pair, &format!("user-{number}")).await;
        if !pair.by_cookie() {
            assert_eq!(introspect(&server, &client).await, json!({ "active": false }));
        }
        let authenticator = enrol(&server, &client).await;
        if pair.mode == Mode::Jwt {
            // Its token is from before. The login is not.
            let refused = client.profile().await.problem(401, "insufficient_user_authentication");
            assert_eq!(refused.json()["methods"], json!(["totp", "recovery_code"]));
            client.refresh().await.ok();
        }
        client.clone().assert_goes_on().await;
        for node in [&server, &another] {
            let let_in = async || client.at(node).get("/verify").await.status == 200;
            crate::support::eventually("a login that was raised", let_in).await;
            if !pair.by_cookie() {
                assert_eq!(introspect(node, &client).await["active"], true);
            }
        }
        client.logout().await.expect(204);
        let pending = first_step(&server, &format!("user-{number}")).await;
        let mut again = Client::new(&another, pair);
        let body = second_step(&pending, &authenticator.next_code(&server));
        again.login(&crate::support::with(body, "transport", pair.transport.name())).await.expect(200);
        again.assert_goes_on().await;
    }
}

#[tokio::test]
async fn whoever_has_a_second_factor_adds_none_by_the_first_alone() {
    let server = TestServer::with(&[REQUIRED]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    enrol(&server, &client).await;
    // As where a factor does not turn two-step sign-in on.
    crate::nodes::sql(&server, "update users set two_step = false; delete from totp").await;
    let below = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let refused = super::ask(&server, &below).await.problem(401, "insufficient_user_authentication").json();
    assert_eq!((&refused["acr_values"], &refused["methods"]), (&json!("aal2"), &json!(["recovery_code"])));

    // Whoever has learnt the password of somebody with a passkey is told to show it, and adds nothing.
    server.user("bea").await;
    add_key(&server, "bea", "passkey", "localhost").await;
    for pair in Pair::ALL {
        let below = Client::signed_in(&server, pair, "bea").await;
        let mut refusals = vec![super::ask(&server, &below).await, below.profile().await];
        if pair == Pair::JWT_BEARER {
            refusals.push(server.send(below.refresh_request()).await);
        }
        for refused in refusals {
            let refused = refused.problem(401, "insufficient_user_authentication").json();
            assert_eq!((&refused["acr_values"], &refused["methods"]), (&json!("aal2"), &json!(["passkey"])));
        }
    }
}

#[tokio::test]
async fn an_address_can_be_proved_first_where_that_is_needed_to_enrol() {
    let (mails, url);
    mails = crate::support::mail_server::MailServer::start().await;
    url = mails.url();
    let settings = [("SMTP_URL", url.as_str()), ("REGISTRATION", "open"), REQUIRED];
    let server = TestServer::with(&settings).await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    super::ask(&server, &client).await.problem(403, "email_not_verified");
    // Another address is no part of enrolling.
    let other = challenges::ask_signed_in(&server, &client, "other@example.org").await;
    other.problem(401, "insufficient_user_authentication");
    let asked = challenges::ask_signed_in(&server, &client, &challenges::email_of("ada")).await.expect(201);
    let halves = challenges::with_its_code(&mails, &asked.json()).await;
    let user = server.send(client.request("POST", "/account/email").json(&halves.json())).await.ok();
    assert_eq!(user["email_verified"], true);
    enrol(&server, &client).await;
    client.assert_goes_on().await;
}

#[tokio::test]
async fn a_login_that_does_not_get_there_in_time_signs_in_again() {
    let server = TestServer::with(&[REQUIRED]).await;
    let mut client = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    server.clock.advance(16 * MINUTE);
    client.refresh().await.problem(401, "insufficient_user_authentication");
    assert!(!text(&json!(client.renewal())).is_empty(), "its cookies are not cleared");
    super::ask(&server, &client).await.problem(401, "token_expired");
    client.login(&client.pair.credentials("ada")).await.expect(200);
    enrol(&server, &client).await;
    client.refresh().await.ok();
    client.assert_goes_on().await;
}
