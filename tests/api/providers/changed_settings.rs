//! Providers that are in the settings no more: nobody signs in by them, and nothing counts on them.

use serde_json::json;

use super::signing::ProviderSite;
use crate::challenges;
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::Request,
    mail_server::MailServer,
    program::{folder, program, run, text as written},
    server::{APP_SECRET, TestServer},
    text,
};

const ADA: &str = "ada@example.org";

/// A site that sends mails, and the same without its provider.
async fn with_and_without() -> (ProviderSite, TestServer, MailServer) {
    let mails = MailServer::start().await;
    let url = mails.url();
    let site = ProviderSite::with("", &[("SMTP_URL", url.as_str()), ("REGISTRATION", "open")]).await;
    let without = site.server.another_node_with(&[("PROVIDERS", "")]).await;
    (site, without, mails)
}

#[tokio::test]
async fn whoever_is_on_the_way_to_a_provider_that_is_gone_comes_back_to_the_page_and_is_not_signed_in() {
    let (site, without, _mails) = with_and_without().await;
    let challenge = site.ask().await;
    let callback = site.callback(&challenge, "17", ADA).await;
    let answer = without.send(Request::get(&callback)).await.expect(303);
    assert!(answer.header("location").is_some_and(|to| to.ends_with("&error=provider_failed")), "{answer}");
    // Nor is who has come back.
    let halves = site.sign_in("17", ADA).await;
    without.send(Request::post("/jwt/login").json(&halves)).await.problem(401, "challenge_expired");
    let challenge = site.ask().await;
    let id_token = site.id_token(&site.claims(text(&challenge["nonce"]), "17", ADA));
    let body = json!({ "challenge": challenge["challenge"], "id_token": id_token });
    without.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
    site.server.send(Request::post("/jwt/login").json(&halves)).await.expect(200);
}

#[tokio::test]
async fn an_account_whose_only_provider_is_gone_authenticates_by_mail_and_with_it_does_not() {
    let (site, without, _mails) = with_and_without().await;
    let client = site.sign_in_new("17", ADA).await;
    site.server.clock.advance(11 * MINUTE);
    for (node, methods, status) in [(&site.server, json!(["stub"]), 422), (&without, json!(["email"]), 201)] {
        let at_node = client.at(node);
        let fresh =
            at_node.request("POST", "/challenges").json(&json!({ "for": "factor", "method": "totp" }));
        let problem = node.send(fresh).await.problem(401, "insufficient_user_authentication").json();
        assert_eq!(problem["methods"], methods);
        let by_mail = json!({ "for": "step_up", "method": "email" });
        node.send(at_node.request("POST", "/challenges").json(&by_mail)).await.expect(status);
    }
}

#[tokio::test]
async fn a_reset_mail_to_whoever_has_no_password_names_the_provider_while_it_is_there() {
    let (site, without, mails) = with_and_without().await;
    site.sign_in_new("17", ADA).await;
    for (node, is_named) in [(&site.server, true), (&without, false)] {
        let before = mails.received().len();
        node.clock.advance(MINUTE);
        let asking = challenges::asking("reset_password", ADA);
        node.send(Request::post("/challenges").json(&asking)).await.expect(201);
        let mail = mails.receives(before + 1).await.pop().expect("a mail");
        for text in [mail.text(), mail.html()] {
            assert_eq!(
                text.contains("another account, such as that of Google or GitHub"),
                is_named,
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn an_operator_sees_at_which_providers_an_account_is_known_and_which_are_gone() {
    let site = ProviderSite::start().await;
    let client = site.sign_in_new("17", ADA).await;
    let listed = client.get("/account/factors").await.ok();
    let id = text(&listed["providers"][0]["id"]);
    crate::nodes::sql(&site.server, "update identities set email = E'a\\x1b[2Jda@example.org'").await;
    let url = site.server.database_url().to_string();
    let told = async |file: &str| {
        let settings = [("DATABASE_URL", url.as_str()), ("APP_SECRET", APP_SECRET), ("PROVIDERS", file)];
        let settings: Vec<_> = settings.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let mut command = program(&folder(), &settings);
        command.args(["user", "factors", "ada"]);
        let output = run(command, "").await;
        assert!(output.status.success(), "{}", written(&output.stderr));
        written(&output.stdout)
    };
    let file = super::provider_file(&site.stub.url(), super::SECRET, "");
    for (file, gone) in [(&*file, ""), ("", " (can't be used: not in PROVIDERS)")] {
        let told = told(file).await;
        let line = told.lines().find(|line| line.starts_with("provider: ")).expect("a line").to_owned();
        let expected = format!("provider: {id}, stub{gone}, created 2");
        assert!(line.starts_with(&expected) && line.contains("email: a"), "{line}");
        assert!(!told.contains('\x1b'), "{told}");
    }
}

#[tokio::test]
async fn a_provider_that_is_gone_is_nothing_to_sign_in_with() {
    let (site, without, _mails) = with_and_without().await;
    let client = Client::of_new_user(&site.server, Pair::SESSION_BEARER, "bea").await;
    crate::nodes::sql(&site.server, "update users set email_verified_at = now()").await;
    let challenge = site.ask_as(&client, "factor").await.expect(201).json();
    let halves = site.come_back(&challenge, "18", "bea@example.org").await;
    site.server.send(client.request("POST", "/account/factors").json(&halves)).await.expect(201);
    let remove = |node: &TestServer| client.at(node).request("DELETE", "/account/password");
    without.send(remove(&without)).await.problem(409, "last_factor");
    site.server.send(remove(&site.server)).await.expect(204);
}
