//! Each example service learns of what ends a token, and goes by its settings while dualauth is away.

use dualauth::config::JwtAlgorithm;
use rustix::process::Signal;

use super::{Issuer, conformance::LONG_BOUND, services::Service};
use crate::support::{eventually, signer::part, text};

#[tokio::test]
async fn each_example_refuses_a_token_whose_login_has_ended() {
    let mut issuer = Issuer::start(JwtAlgorithm::EdDsa, &[]).await;
    let services = Service::all(&issuer, &[LONG_BOUND]).await;
    let other = issuer.client.credential();
    let token = issuer.token().await;
    for service in &services {
        service.assert_accepts(&token).await;
    }

    issuer.client.logout().await.expect(204);

    for service in &services {
        service.comes_to_refuse(&token, 401, "token_revoked").await;
        service.assert_accepts(&other).await;
    }
    issuer.stop().await;
}

#[tokio::test]
async fn each_example_refuses_a_token_with_other_roles_or_another_name_and_accepts_the_next() {
    let mut issuer = Issuer::start(JwtAlgorithm::Es256, &[]).await;
    let services = Service::all(&issuer, &[LONG_BOUND]).await;
    let plain = issuer.token().await;
    for service in &services {
        service.assert_accepts(&plain).await;
    }

    issuer.command(&["user", "role", "add", "ada", "admin"]).await;
    issuer.client.refresh().await.ok();
    let admin = issuer.client.credential();
    for service in &services {
        service.assert_accepts(&admin).await;
        service.comes_to_refuse(&plain, 401, "token_revoked").await;
    }

    // They change back, and so does what the first token is worth.
    issuer.command(&["user", "role", "remove", "ada", "admin"]).await;
    for service in &services {
        service.comes_to_refuse(&admin, 401, "token_revoked").await;
        service.assert_accepts(&plain).await;
    }

    let mut connection = issuer.database.connect().await;
    sqlx::query("update users set username = 'grace'").execute(&mut connection).await.expect("another name");
    for service in &services {
        service.comes_to_refuse(&plain, 401, "token_revoked").await;
    }
    issuer.client.refresh().await.ok();
    for service in &services {
        service.assert_accepts(&issuer.client.credential()).await;
    }
    issuer.stop().await;
}

#[tokio::test]
async fn each_example_refuses_a_token_of_a_retired_key_and_accepts_one_of_the_next() {
    let mut issuer = Issuer::start(JwtAlgorithm::Rs256, &[]).await;
    let services = Service::all(&issuer, &[LONG_BOUND]).await;
    let old = issuer.token().await;
    let new = issuer.rotate().await;
    for service in &services {
        service.assert_accepts(&old).await;
        service.assert_accepts(&new).await;
    }

    issuer.command(&["keys", "retire", text(&part(&old, 0)["kid"])]).await;

    for service in &services {
        service.comes_to_refuse(&old, 401, "invalid_token").await;
        service.assert_accepts(&new).await;
    }
    issuer.stop().await;
}

#[tokio::test]
async fn while_dualauth_is_away_an_example_refuses_or_serves_as_it_is_set() {
    let mut issuer = Issuer::start(JwtAlgorithm::EdDsa, &[]).await;
    let [good, dead] = [issuer.token().await, issuer.token().await];
    let refusing = Service::all(&issuer, &[]).await;
    let serving = Service::all(&issuer, &[("DUALAUTH_WHEN_STALE", "serve")]).await;
    issuer.client.logout().await.expect(204);
    for service in refusing.iter().chain(&serving) {
        service.comes_to_accept(&good).await;
        eventually("it knows of the end", async || service.me(&dead).await.status == 401).await;
    }

    issuer.server.signal(Signal::STOP);
    for service in &refusing {
        service.comes_to_refuse(&good, 503, "unavailable").await;
        assert!(!service.is_fresh().await);
    }
    for service in &serving {
        eventually("it is stale", async || !service.is_fresh().await).await;
        service.assert_accepts(&good).await;
        service.me(&dead).await.problem(401, "token_revoked");
    }

    issuer.server.signal(Signal::CONT);
    for service in refusing.iter().chain(&serving) {
        eventually("it is fresh again", async || service.is_fresh().await).await;
        service.comes_to_accept(&good).await;
    }
    issuer.stop().await;
}

#[tokio::test]
async fn without_a_client_an_example_knows_of_no_revocation() {
    let mut issuer = Issuer::start(JwtAlgorithm::EdDsa, &[]).await;
    let services = Service::start_all(&issuer, &[]).await;
    let token = issuer.token().await;
    issuer.client.logout().await.expect(204);
    for service in &services {
        eventually("it knows the keys", async || service.is_fresh().await).await;
        service.assert_accepts(&token).await;
    }
    issuer.stop().await;
}
