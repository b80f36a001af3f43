//! GitHub and Apple through the routes, each sign-in to its end.

use dualauth::config::JwtAlgorithm;
use serde_json::{Value, json};

use super::signing::{ProviderSite, returned};
use crate::challenges;
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::{Request, Response},
    mail_server::MailServer,
    signer::{Role, key},
    text, with,
};

const ADA: &str = "ada@example.org";

/// Somebody at GitHub, who shows an address on their page, and has others.
fn knows(site: &ProviderSite, id: u32, name: &str, shown: &Value, emails: &Value) {
    site.stub.json("/login/oauth/access_token", json!({ "access_token": "gho_x", "token_type": "bearer" }));
    site.stub.json("/api/v3/user", json!({ "id": id, "login": name, "email": shown }));
    site.stub.json("/api/v3/user/emails", emails.clone());
}

fn primary(email: &str, verified: bool) -> Value {
    json!([{ "email": email, "primary": true, "verified": verified, "visibility": null }])
}

/// Comes back from GitHub, and signs in.
async fn sign_in_by_github(site: &ProviderSite, pair: Pair) -> (Client, Response) {
    let challenge = site.ask().await;
    assert!(challenge.get("nonce").is_none(), "there are no ID tokens");
    let callback = format!("/providers/stub/callback?state={}&code=x", site.state(&challenge));
    let halves = with(site.halves(&challenge, &callback).await, "transport", pair.transport.name());
    let mut client = Client::new(&site.server, pair);
    let answer = client.login(&halves).await;
    (client, answer)
}

async fn user_of(client: &Client) -> (Value, Value) {
    let profile = client.profile().await.ok();
    (profile["user_id"].clone(), profile["username"].clone())
}

#[tokio::test]
async fn whoever_comes_from_github_has_one_account_by_their_number_in_every_way() {
    let site = ProviderSite::with("kind = 'github'\n", &[]).await;
    let mut users = Vec::new();
    // The name there is another one each time, and so is what is shown.
    for (pair, name) in Pair::ALL.into_iter().zip(["octocat", "renamed", "again", "octocat"]) {
        knows(&site, 583_231, name, &json!("shown@example.org"), &primary(ADA, true));
        let (client, answer) = sign_in_by_github(&site, pair).await;
        answer.expect(200);
        assert_eq!(client.profile().await.ok()["auth"]["amr"], json!(["fed"]), "{pair:?}");
        users.push(user_of(&client).await);
    }
    assert!(users.iter().all(|user| *user == users[0] && user.1 == "octocat"), "{users:?}");
    // Somebody else has the name by now.
    knows(&site, 7, "octocat", &Value::Null, &primary("bea@example.org", true));
    let (client, answer) = sign_in_by_github(&site, Pair::JWT_BEARER).await;
    answer.expect(200);
    let bea = user_of(&client).await;
    assert!(bea.0 != users[0].0 && bea.1 == "octocat-2", "{bea:?}");
}

#[tokio::test]
async fn an_address_that_github_only_shows_is_none_and_finds_nobody() {
    let site = ProviderSite::with("kind = 'github'\n", &[]).await;
    site.server.user("ada").await;
    for (shown, emails) in [
        (json!(ADA), json!([])),
        (json!(ADA), primary(ADA, false)),
        (Value::Null, json!([{ "email": ADA, "primary": false, "verified": true }])),
        (Value::Null, json!([])),
    ] {
        knows(&site, 17, "ada", &shown, &emails);
        let (_, answer) = sign_in_by_github(&site, Pair::JWT_BEARER).await;
        answer.problem(401, "email_required");
    }
    knows(&site, 17, "ada", &Value::Null, &primary(ADA, true));
    let (_, answer) = sign_in_by_github(&site, Pair::JWT_BEARER).await;
    answer.problem(401, "link_required");
    assert_eq!(challenges::count(&site.server, "select count(*) from dualauth.identities").await, 0);
}

#[tokio::test]
async fn an_error_that_github_tells_with_status_200_is_told_to_the_page() {
    let site = ProviderSite::with("kind = 'github'\n", &[]).await;
    site.stub.json("/login/oauth/access_token", json!({ "error": "bad_verification_code" }));
    let callback = format!("/providers/stub/callback?state={}&code=x", site.state(&site.ask().await));
    let answer = site.server.send(Request::get(&callback)).await.expect(303);
    assert!(answer.header("location").is_some_and(|to| to.ends_with("&error=provider_failed")), "{answer}");
}

#[tokio::test]
async fn whoever_has_github_alone_authenticates_again_by_mail_since_github_does_not_tell_when() {
    let mails = MailServer::start().await;
    let url = mails.url();
    let settings = [("SMTP_URL", url.as_str()), ("REGISTRATION", "open")];
    let site = ProviderSite::with("kind = 'github'\n", &settings).await;
    knows(&site, 17, "ada", &Value::Null, &primary(ADA, true));
    let (mut client, answer) = sign_in_by_github(&site, Pair::SESSION_BEARER).await;
    answer.expect(200);
    site.server.clock.advance(11 * MINUTE);
    let totp = client.request("POST", "/challenges").json(&json!({ "for": "factor", "method": "totp" }));
    let problem = site.server.send(totp).await.problem(401, "insufficient_user_authentication").json();
    assert_eq!(problem["methods"], json!(["email"]));
    site.ask_as(&client, "step_up").await.problem(422, "validation_failed");
    let by_mail = json!({ "for": "step_up", "method": "email" });
    let challenge = site.server.send(client.request("POST", "/challenges").json(&by_mail)).await.expect(201);
    let halves = challenges::with_its_code(&mails, &challenge.json()).await.json();
    let request = client.request("POST", "/session/step-up").json(&halves);
    client.send(request).await.expect(200);
    assert_eq!(client.profile().await.ok()["auth"]["amr"], json!(["email", "fed"]));
}

async fn apple() -> ProviderSite {
    let secret = &key(JwtAlgorithm::Es256, Role::Next).file;
    ProviderSite::by(secret, "kind = 'apple'\nteam_id = 'TEAM'\nkey_id = 'KEY'\n", &[]).await
}

/// Comes back from Apple by its form, once the claims were changed, and signs in.
async fn sign_in_by_apple(
    site: &ProviderSite,
    pair: Pair,
    subject: &str,
    more: &[(&str, Value)],
) -> Response {
    let challenge = site.ask().await;
    assert!(text(&challenge["authorization_url"]).contains("response_mode=form_post"));
    let mut claims = site.claims(text(&challenge["nonce"]), subject, ADA);
    for (name, value) in more {
        claims = with(claims, name, value.clone());
    }
    let callback = site.callback_with(&challenge, &claims);
    let (path, query) = callback.split_once('?').expect("a query");
    // The name comes beside the token, signed by nobody, and the first time alone.
    let form = format!("{query}&user=%7B%22name%22%3A%7B%22firstName%22%3A%22root%22%7D%7D");
    let request = Request::post(path)
        .header("origin", "https://appleid.apple.com")
        .header("sec-fetch-site", "cross-site")
        .body("application/x-www-form-urlencoded", form);
    let answer = site.server.send(request).await.expect(303);
    assert!(answer.set_cookies().is_empty());
    let halves = json!({ "challenge": challenge["challenge"], "code": returned(&answer).1 });
    let halves = with(halves, "transport", pair.transport.name());
    site.server.send(Request::post(&pair.mode.path("login")).json(&halves)).await
}

#[tokio::test]
async fn whoever_comes_from_apple_by_its_form_has_one_account_in_every_way() {
    let site = apple().await;
    let verified = [("email_verified", json!("true"))];
    for pair in Pair::ALL {
        sign_in_by_apple(&site, pair, "000123.a.17", &verified).await.expect(200);
    }
    let query = "select count(*) from dualauth.users u join dualauth.identities i on i.user_id = u.id
                 where u.username = 'ada' and u.email = 'ada@example.org' and i.subject = '000123.a.17'";
    assert_eq!(challenges::count(&site.server, query).await, 1);
    assert_eq!(challenges::count(&site.server, "select count(*) from dualauth.users").await, 1);
}

#[tokio::test]
async fn apple_s_words_for_true_and_false_are_told_apart() {
    let site = apple().await;
    for wrong in [json!("false"), json!(false), Value::Null, json!("True"), json!(1)] {
        let claims = [("email_verified", wrong.clone())];
        let answer = sign_in_by_apple(&site, Pair::JWT_BEARER, "17", &claims).await;
        assert_eq!(answer.json()["code"], "email_required", "{wrong}");
    }
    sign_in_by_apple(&site, Pair::JWT_BEARER, "17", &[("email_verified", json!(true))]).await.expect(200);
}

#[tokio::test]
async fn whoever_hides_their_address_from_us_at_apple_is_somebody_else_by_it_and_the_same_by_their_subject() {
    let site = apple().await;
    site.server.user("ada").await;
    let relayed = [("email", json!("x9@privaterelay.appleid.com")), ("email_verified", json!("true"))];
    sign_in_by_apple(&site, Pair::JWT_BEARER, "17", &relayed).await.expect(200);
    assert_eq!(challenges::count(&site.server, "select count(*) from dualauth.users").await, 2);
    // No longer hidden: the account that has the address is not theirs.
    sign_in_by_apple(&site, Pair::JWT_BEARER, "17", &[]).await.expect(200);
    assert_eq!(challenges::count(&site.server, "select count(*) from dualauth.users").await, 2);
}
