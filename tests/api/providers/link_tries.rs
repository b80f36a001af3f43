//! How often, and by what, an account is proved before an identity is linked to it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::signing::ProviderSite;
use crate::challenges;
use crate::factors;
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Pair},
    http::Request,
    with,
};

const ADA: &str = "ada@example.org";

async fn identities(site: &ProviderSite) -> i64 {
    challenges::count(&site.server, "select count(*) from dualauth.identities").await
}

async fn link_required(site: &ProviderSite) -> Value {
    let halves = site.sign_in("17", ADA).await;
    site.server.send(Request::post("/jwt/login").json(&halves)).await.problem(401, "link_required").json()
}

fn by_password(required: &Value, password: &str) -> Request {
    Request::post("/jwt/login").json(&json!({ "challenge": required["challenge"], "password": password }))
}

#[tokio::test]
async fn of_many_right_passwords_at_once_one_links_and_signs_in() {
    let site = ProviderSite::start().await;
    site.server.user("ada").await;
    let other = site.server.another_node().await;
    let required = link_required(&site).await;
    let nodes = [&site.server, &other, &site.server, &other];
    let answers = join_all(nodes.map(|node| node.send(by_password(&required, PASSWORD)))).await;
    let mut codes: Vec<_> = answers.iter().map(|answer| answer.json()["code"].clone()).collect();
    codes.retain(|code| !code.is_null());
    assert_eq!(codes, vec![json!("challenge_expired"); 3]);
    let logins = "select count(*) from dualauth.logins where ended_at is null";
    assert_eq!((challenges::count(&site.server, logins).await, identities(&site).await), (1, 1));
}

#[tokio::test]
async fn a_fifth_password_still_links_and_after_five_wrong_ones_none_does() {
    let site = ProviderSite::start().await;
    for (name, wrong, is_linked) in [("ada", 4, true), ("bea", 5, false)] {
        site.server.user(name).await;
        let halves = site.sign_in(name, &challenges::email_of(name)).await;
        let answer = site.server.send(Request::post("/jwt/login").json(&halves)).await;
        let required = answer.problem(401, "link_required").json();
        for at in 0..wrong {
            let answer = site.server.send(by_password(&required, "a wrong one")).await;
            assert_eq!(answer.json()["code"], "invalid_credentials", "{at}");
        }
        let answer = site.server.send(by_password(&required, PASSWORD)).await;
        if is_linked {
            answer.expect(200);
        } else {
            answer.problem(401, "challenge_expired");
        }
    }
    assert_eq!(identities(&site).await, 1);
}

#[tokio::test]
async fn an_account_with_a_security_key_is_linked_by_its_password_and_then_the_key() {
    let site = ProviderSite::start().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let mut key = factors::passkeys::enrol(&site.server, &client, "security_key").await;
    let required = link_required(&site).await;
    assert_eq!((&required["methods"], required.get("passkey")), (&json!(["password"]), None));
    let pending = site.server.send(by_password(&required, PASSWORD)).await;
    let pending = pending.problem(401, "second_factor_required").json();
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&key.halves(&pending)).await.expect(200);
    let auth = client.profile().await.ok()["auth"].clone();
    assert_eq!((&auth["acr"], identities(&site).await), (&json!("aal2"), 1));
}

#[tokio::test]
async fn a_security_key_alone_links_nothing_and_leaves_the_challenge_to_the_passkey() {
    let site = ProviderSite::start().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let mut key = factors::passkeys::enrol(&site.server, &client, "security_key").await;
    let mut passkey = factors::passkeys::enrol(&site.server, &client, "passkey").await;
    let required = link_required(&site).await;
    assert_eq!(required["methods"], json!(["password", "passkey"]));
    assert_eq!(required["passkey"]["allowCredentials"].as_array().map(Vec::len), Some(1));
    let login = |halves: Value| Request::post("/jwt/login").json(&halves);
    site.server.send(login(key.halves(&required))).await.problem(401, "invalid_code");
    assert_eq!(identities(&site).await, 0);
    let mut client = Client::new(&site.server, Pair::JWT_BEARER);
    client.login(&with(passkey.halves(&required), "transport", "bearer")).await.expect(200);
    assert_eq!(
        (client.profile().await.ok()["auth"]["acr"].clone(), identities(&site).await),
        (json!("aal2"), 1)
    );
}

#[tokio::test]
async fn a_login_that_two_step_sign_in_has_overtaken_links_nothing() {
    let site = ProviderSite::start().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let challenge = site.ask_as(&client, "factor").await.expect(201).json();
    let halves = site.come_back(&challenge, "17", ADA).await;
    crate::nodes::sql(&site.server, "update users set two_step = true").await;
    let answer = site.server.send(client.request("POST", "/account/factors").json(&halves)).await;
    answer.problem(401, "challenge_expired");
    assert_eq!(identities(&site).await, 0);
}

#[tokio::test]
async fn a_second_factor_is_wanted_of_a_link_that_two_step_sign_in_has_overtaken() {
    let site = ProviderSite::start().await;
    site.server.user("ada").await;
    let required = link_required(&site).await;
    crate::nodes::sql(&site.server, "update users set two_step = true").await;
    let answer = site.server.send(by_password(&required, PASSWORD)).await;
    answer.problem(401, "second_factor_required");
    assert_eq!(identities(&site).await, 0);
}

#[tokio::test]
async fn a_link_that_waits_ends_with_whatever_ends_the_accounts_challenges() {
    let site = ProviderSite::start().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let required = link_required(&site).await;
    let body = json!({ "current_password": PASSWORD, "new_password": "a slow heron beneath the weir" });
    let change = client.request("POST", "/account/password").json(&body);
    site.server.send(change).await.expect(204);
    let by_new_password = by_password(&required, "a slow heron beneath the weir");
    site.server.send(by_new_password).await.problem(401, "challenge_expired");
    let superseding = with(site.asking(), "challenge", required["challenge"].clone());
    site.server.send(Request::post("/challenges").json(&superseding)).await.problem(401, "challenge_expired");
    assert_eq!(identities(&site).await, 0);
}

#[tokio::test]
async fn a_providers_word_does_not_wait_for_ever_however_often_another_challenge_takes_over() {
    let site = ProviderSite::start().await;
    site.server.user("ada").await;
    let mut challenge = link_required(&site).await["challenge"].clone();
    let supersede = async |challenge: &Value| {
        let asking = with(site.asking(), "challenge", challenge.clone());
        site.server.send(Request::post("/challenges").json(&asking)).await
    };
    for _ in 0..3 {
        site.server.clock.advance(9 * MINUTE);
        challenge = supersede(&challenge).await.expect(201).json()["challenge"].clone();
    }
    site.server.clock.advance(9 * MINUTE);
    supersede(&challenge).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_recovery_code_is_not_used_by_a_link_that_is_refused() {
    let site = ProviderSite::start().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "ada").await;
    let authenticator = factors::enrol(&site.server, &client).await;
    let required = link_required(&site).await;
    let pending = site.server.send(by_password(&required, PASSWORD)).await;
    let pending = pending.problem(401, "second_factor_required").json();
    // Meanwhile the identity becomes somebody else's.
    let bea = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "bea").await;
    let challenge = site.ask_as(&bea, "factor").await.expect(201).json();
    let halves = site.come_back(&challenge, "17", "bea@example.org").await;
    site.server.send(bea.request("POST", "/account/factors").json(&halves)).await.expect(201);
    let left = "select count(*) from dualauth.recovery_codes where used_at is null";
    let before = challenges::count(&site.server, left).await;
    let body = json!({ "challenge": pending["challenge"], "code": authenticator.recovery_codes[0] });
    site.server.send(Request::post("/jwt/login").json(&body)).await.problem(409, "conflict");
    let mut server = site.server;
    assert_eq!(challenges::count(&server, left).await, before);
    server.stop().await;
    let told = "select count(*) from dualauth.audit_events where event = 'recovery_code_used'";
    assert_eq!(challenges::count(&server, told).await, 0);
}
