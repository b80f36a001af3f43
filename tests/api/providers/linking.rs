//! Linking an identity to an account: at sign-in by proofs of the account's own, and while signed in.

use serde_json::{Value, json};

use super::signing::{ProviderSite, RETURN_TO};
use crate::challenges;
use crate::factors;
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Pair},
    eventually,
    http::Request,
    mail_server::MailServer,
    server::credentials,
    text, time, with,
};

const ADA: &str = "ada@example.org";

/// A site that sends mails.
async fn mailing(settings: &[(&str, &str)]) -> (ProviderSite, MailServer) {
    let mails = MailServer::start().await;
    let url = mails.url();
    let usual = [("SMTP_URL", url.as_str()), ("REGISTRATION", "open")];
    (ProviderSite::with("", &[&usual, settings].concat()).await, mails)
}

async fn identities(site: &ProviderSite) -> i64 {
    challenges::count(&site.server, "select count(*) from dualauth.identities").await
}

/// Signs in by the provider as somebody whose address an account has.
async fn link_required(site: &ProviderSite) -> Value {
    let halves = site.sign_in("17", ADA).await;
    let answer = site.server.send(Request::post("/session/login").json(&halves)).await;
    answer.problem(401, "link_required").not_stored().json()
}

#[tokio::test]
async fn an_address_that_somebody_has_opens_their_account_only_with_its_own_password() {
    let site = ProviderSite::start().await;
    site.server.user("ada").await;
    site.server.user("bea").await;
    let required = link_required(&site).await;
    assert_eq!(required["methods"], json!(["password"]));
    let link = |password: &str| json!({ "challenge": required["challenge"], "password": password });
    let wrong = Request::post("/jwt/login").json(&link("a wrong one"));
    site.server.send(wrong).await.problem(401, "invalid_credentials");
    // Nor does the provider's code, or what has no challenge, count.
    let body = json!({ "challenge": required["challenge"], "code": "00000000" });
    site.server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "invalid_code");
    assert_eq!(identities(&site).await, 0);
    let mut client = Client::new(&site.server, Pair::JWT_COOKIE);
    client.login(&with(link(PASSWORD), "transport", "cookie")).await.expect(200);
    let profile = client.profile().await.ok();
    assert_eq!((&profile["username"], &profile["auth"]["amr"]), (&json!("ada"), &json!(["pwd"])));
    let again = Request::post("/jwt/login").json(&link(PASSWORD));
    site.server.send(again).await.problem(401, "challenge_expired");
    // From then on the identity is enough.
    let client = site.sign_in_new("17", "elsewhere@example.com").await;
    assert_eq!(client.profile().await.ok()["username"], "ada");
}

#[tokio::test]
async fn a_link_takes_the_second_factor_of_an_account_with_two_step_sign_in() {
    let site = ProviderSite::start().await;
    let (_, authenticator) = factors::two_step_user(&site.server, "ada").await;
    let required = link_required(&site).await;
    let code = json!({ "challenge": required["challenge"], "code": authenticator.next_code(&site.server) });
    site.server.send(Request::post("/jwt/login").json(&code)).await.problem(401, "invalid_code");
    let body = json!({ "challenge": required["challenge"], "password": PASSWORD });
    let pending = site.server.send(Request::post("/jwt/login").json(&body)).await;
    let pending = pending.problem(401, "second_factor_required").json();
    assert_eq!(identities(&site).await, 0);
    let code = authenticator.next_code(&site.server);
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&factors::second_step(&pending, &code)).await.expect(200);
    assert_eq!(identities(&site).await, 1);
    let auth = client.profile().await.ok()["auth"].clone();
    assert_eq!(auth["amr"], json!(["pwd", "otp", "mfa"]), "the provider's word counts for nothing here");
}

#[tokio::test]
async fn a_passkey_of_the_account_links_and_another_ones_does_not() {
    let site = ProviderSite::start().await;
    let ada = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let bea = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "bea").await;
    let mut own = factors::passkeys::enrol(&site.server, &ada, "passkey").await;
    let mut foreign = factors::passkeys::enrol(&site.server, &bea, "passkey").await;
    let required = link_required(&site).await;
    assert_eq!(required["methods"], json!(["password", "passkey"]));
    let login = |halves: Value| Request::post("/jwt/login").json(&halves);
    let answer = site.server.send(login(foreign.halves(&required))).await;
    answer.problem(401, "invalid_code");
    assert_eq!(identities(&site).await, 0);
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&own.halves(&required)).await.expect(200);
    assert_eq!(identities(&site).await, 1);
    let amr = client.profile().await.ok()["auth"]["amr"].clone();
    let amr = amr.as_array().expect("an array");
    assert!(!amr.contains(&json!("fed")) && amr.contains(&json!("user")), "{amr:?}");
}

#[tokio::test]
async fn the_owner_of_an_address_takes_over_what_a_squatter_opened_with_it() {
    let (site, mails) = mailing(&[]).await;
    // Not proved: whoever opened it may be anybody.
    let squatter = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let required = link_required(&site).await;
    assert_eq!(required["methods"], json!(["password", "email"]));
    site.server.clock.advance(MINUTE);
    let body = json!({ "for": "login", "method": "email", "email": ADA, "challenge": required["challenge"] });
    let challenge = site.server.send(Request::post("/challenges").json(&body)).await.expect(201).json();
    let halves = challenges::with_its_code(&mails, &challenge).await.json();
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&halves).await.expect(200);
    assert_eq!(client.profile().await.ok()["auth"]["amr"], json!(["email"]));
    assert_eq!(identities(&site).await, 1);
    squatter.profile().await.problem(401, "session_expired");
    let login = Request::post("/jwt/login").json(&credentials("ada"));
    site.server.send(login).await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_provider_without_an_address_wants_one_that_a_mail_proves() {
    let (site, mails) = mailing(&[]).await;
    let required = |verified: Value| {
        let site = &site;
        async move {
            let challenge = site.ask().await;
            let claims = site.claims(text(&challenge["nonce"]), "17", ADA);
            let halves = site.come_back_with(&challenge, &with(claims, "email_verified", verified)).await;
            let answer = site.server.send(Request::post("/session/login").json(&halves)).await;
            answer.problem(401, "email_required").json()
        }
    };
    required(json!(false)).await;
    required(json!("false")).await;
    let required = required(Value::Null).await;
    site.server.clock.advance(MINUTE);
    let body = json!({ "for": "login", "method": "email", "email": ADA, "challenge": required["challenge"] });
    let challenge = site.server.send(Request::post("/challenges").json(&body)).await.expect(201).json();
    site.server.send(Request::post("/challenges").json(&body)).await.problem(401, "challenge_expired");
    let halves = challenges::with_its_code(&mails, &challenge).await.json();
    let wrong = with(halves.clone(), "code", "00000000x");
    site.server.send(Request::post("/jwt/login").json(&wrong)).await.problem(401, "invalid_code");
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&halves).await.expect(200);
    let profile = client.profile().await.ok();
    assert_eq!((&profile["username"], &profile["auth"]["acr"]), (&json!("ada"), &json!("aal1")));
    assert_eq!(profile["auth"]["amr"], json!(["email", "fed"]), "both were proved");
    let query = "select count(*) from dualauth.users where email_verified_at is not null";
    assert_eq!(challenges::count(&site.server, query).await, 1);
    // Without the challenge of a provider nobody gets a mail to sign in by.
    let body = json!({ "for": "login", "method": "email", "email": ADA });
    site.server.send(Request::post("/challenges").json(&body)).await.problem(422, "validation_failed");
}

#[tokio::test]
async fn what_was_proved_of_one_account_is_not_carried_to_another() {
    let (site, _mails) = mailing(&[]).await;
    let (_, _) = factors_of_verified_two_step_user(&site).await;
    let pending = factors::first_step(&site.server, "ada").await;
    let body = json!({ "for": "login", "method": "email", "email": ADA, "challenge": pending["challenge"] });
    site.server.send(Request::post("/challenges").json(&body)).await.problem(422, "validation_failed");
    let again = with(site.asking(), "challenge", pending["challenge"].clone());
    let challenge = site.server.send(Request::post("/challenges").json(&again)).await.expect(201).json();
    let halves = site.come_back(&challenge, "18", "other@example.com").await;
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&halves).await.expect(200);
    assert_eq!(client.profile().await.ok()["auth"]["amr"], json!(["fed"]));
}

async fn factors_of_verified_two_step_user(site: &ProviderSite) -> (Client, factors::Authenticator) {
    site.server.user("ada").await;
    crate::nodes::sql(&site.server, "update users set email_verified_at = now()").await;
    let client = Client::signed_in(&site.server, Pair::SESSION_BEARER, "ada").await;
    let authenticator = factors::enrol(&site.server, &client).await;
    (client, authenticator)
}

#[tokio::test]
async fn a_provider_is_linked_while_signed_in_listed_and_removed() {
    let site = ProviderSite::start().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let bystander = Client::signed_in(&site.server, Pair::JWT_BEARER, "ada").await;
    let challenge = site.ask_as(&client, "factor").await.expect(201).json();
    let halves = site.come_back(&challenge, "17", "ada@example.com").await;
    assert_eq!(identities(&site).await, 0, "what a browser opens by GET links nothing");
    // In another login, or by somebody else, or to sign in, it is worth nothing.
    let other = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "bea").await;
    for foreign in [&bystander, &other] {
        let answer = site.server.send(foreign.request("POST", "/account/factors").json(&halves)).await;
        answer.problem(401, "challenge_expired");
    }
    site.server.send(Request::post("/jwt/login").json(&halves)).await.problem(401, "challenge_expired");
    let link = client.request("POST", "/account/factors").json(&halves);
    let linked = site.server.send(link).await.expect(201).json();
    assert_eq!((&linked["provider"], &linked["email"]), (&json!("stub"), &json!("ada@example.com")));
    let listed = client.get("/account/factors").await.ok();
    assert_eq!(listed["providers"], json!([linked]));
    assert_eq!(client.profile().await.ok()["auth"]["amr"], json!(["pwd", "fed"]));
    bystander.profile().await.expect(200);
    // Somebody else's: nothing changes.
    let challenge = site.ask_as(&other, "factor").await.expect(201).json();
    let halves = site.come_back(&challenge, "17", "ada@example.com").await;
    let answer = site.server.send(other.request("POST", "/account/factors").json(&halves)).await;
    answer.problem(409, "conflict");
    assert_eq!(other.get("/account/factors").await.ok()["providers"], json!([]));
    assert_eq!(site.sign_in_new("17", "ada@example.com").await.profile().await.ok()["username"], "ada");
    let remove = client.request("DELETE", &format!("/account/factors/{}", text(&linked["id"])));
    site.server.send(remove).await.expect(204);
    bystander.assert_refused("token_revoked").await;
    assert_eq!(identities(&site).await, 0);
}

#[tokio::test]
async fn a_link_wants_a_fresh_login() {
    let site = ProviderSite::start().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    site.server.clock.advance(11 * MINUTE);
    let answer = site.ask_as(&client, "factor").await;
    answer.problem(401, "insufficient_user_authentication");
    site.server
        .send(
            Request::post("/challenges")
                .json(&json!({ "for": "factor", "method": "stub", "return_to": RETURN_TO })),
        )
        .await
        .problem(401, "not_authenticated");
}

#[tokio::test]
async fn the_only_provider_stays_and_one_beside_a_password_goes() {
    let site = ProviderSite::start().await;
    let client = site.sign_in_new("17", "ada@example.com").await;
    let listed = client.get("/account/factors").await.ok();
    let id = text(&listed["providers"][0]["id"]).to_owned();
    assert_eq!(listed["password"], json!(false));
    let remove = || client.request("DELETE", &format!("/account/factors/{id}"));
    site.server.send(remove()).await.problem(409, "last_factor");
    let passkey = factors::passkeys::enrol(&site.server, &client, "passkey").await;
    let _ = passkey;
    site.server.send(remove()).await.expect(204);
}

#[tokio::test]
async fn a_step_up_by_a_provider_believes_only_a_new_authentication_of_the_same_person() {
    let site = ProviderSite::with("aal2_acr = ['gold']\n", &[]).await;
    let mut client = site.sign_in_new("17", "ada@example.com").await;
    site.server.clock.advance(11 * MINUTE);
    let problem = site.ask_as(&client, "factor").await.problem(401, "insufficient_user_authentication");
    assert_eq!(problem.json()["methods"], json!(["stub"]));
    let now = site.server.clock.now().timestamp();
    let step_up = async |subject: &str, auth_time: Value| {
        let challenge = site.ask_as(&client, "step_up").await.expect(201).json();
        assert!(text(&challenge["authorization_url"]).contains("prompt=login&max_age=0"));
        let claims = site.claims(text(&challenge["nonce"]), subject, "ada@example.com");
        let claims = with(with(claims, "auth_time", auth_time), "acr", "gold");
        let callback = site.callback_with(&challenge, &claims);
        let answer = site.server.send(Request::get(&callback)).await.expect(303);
        let location = answer.header("location").expect("one").to_owned();
        let code = location.split_once("&code=").map(|(_, code)| code.to_owned());
        code.ok_or(location).map(|code| json!({ "challenge": challenge["challenge"], "code": code }))
    };
    for old in [json!(now - 120), Value::Null] {
        let location = step_up("17", old).await.expect_err("it is not new");
        assert!(location.ends_with("error=provider_failed"), "{location}");
    }
    let somebody_else = step_up("18", json!(now)).await.expect("a code");
    let request = client.request("POST", "/session/step-up").json(&somebody_else);
    site.server.send(request).await.problem(401, "challenge_expired");
    let told = "select count(*) from audit_events where event = 'step_up_failed' and username = 'ada'";
    eventually("the event", async || crate::challenges::count(&site.server, told).await == 1).await;
    // What counts is when they proved themselves there, not when the code came in.
    let halves = step_up("17", json!(now - 8)).await.expect("a code");
    site.server.clock.advance(9 * MINUTE);
    let request = client.request("POST", "/session/step-up").json(&halves);
    client.send(request).await.expect(200);
    let auth = client.profile().await.ok()["auth"].clone();
    assert_eq!(time(&auth["auth_time"]).timestamp(), now - 8);
    site.ask_as(&client, "factor").await.expect(201);
    site.server.clock.advance(MINUTE);
    site.ask_as(&client, "factor").await.problem(401, "insufficient_user_authentication");
    assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["fed", "mfa"]), &json!("aal2")));
    // Who has none there can't.
    let other = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "bea").await;
    site.ask_as(&other, "step_up").await.problem(422, "validation_failed");
}
