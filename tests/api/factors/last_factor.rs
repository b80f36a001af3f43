//! What has to stay: nobody locks themselves out.

use serde_json::json;

use super::{first_step, second_step, two_step_user};
use crate::challenges::{self, email_of, halves};
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Pair},
    http::{Request, Response},
    server::{TestServer, credentials},
};

async fn remove_password(node: &TestServer, client: &Client) -> Response {
    node.send(client.request("DELETE", "/account/password")).await
}

/// Adds a passkey or security key past the routes.
pub async fn add_key(server: &TestServer, name: &str, kind: &str, rp_id: &str) {
    let insert = format!(
        "insert into passkeys (id, user_id, credential_id, public_key, algorithm, kind, name, sign_count,
             backup_eligible, backed_up, transports, aaguid, rp_id, created_at)
         select gen_random_uuid(), id, uuid_send(gen_random_uuid()), '', -7, '{kind}', '', 0, false, false, '{{}}',
             gen_random_uuid(), '{rp_id}', now() from users where username = '{name}'"
    );
    crate::nodes::sql(server, &insert).await;
}

#[tokio::test]
async fn a_password_stays_as_long_as_nothing_else_opens_the_account() {
    let server = TestServer::start().await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let name = format!("user-{number}");
        let mut client = Client::of_new_user(&server, pair, &name).await;
        let bare = client.without_csrf("DELETE", "/account/password");
        if pair.by_cookie() {
            server.send(bare).await.problem(403, "csrf_failed");
        }
        // Neither an address that was proved, while codes don't sign in, nor a second factor, nor a passkey from elsewhere.
        crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
        add_key(&server, &name, "security_key", "localhost").await;
        add_key(&server, &name, "passkey", "elsewhere.example").await;
        remove_password(&server, &client).await.problem(409, "last_factor");
        client.profile().await.ok();
        Client::signed_in(&server, pair, &name).await;

        add_key(&server, &name, "passkey", "localhost").await;
        let other = Client::signed_in(&server, Pair::JWT_BEARER, &name).await;
        server.clock.advance(11 * MINUTE);
        client.refresh().await.ok();
        remove_password(&server, &client).await.problem(401, "insufficient_user_authentication");
        client.step_up(PASSWORD).await.ok();
        remove_password(&server, &client).await.expect(204);
        other.assert_refused("token_revoked").await;
        remove_password(&server, &client).await.problem(404, "not_found");
        assert_eq!(client.get("/account/factors").await.ok()["password"], false);
        let login = Request::post("/jwt/login").json(&credentials(&name));
        server.send(login).await.problem(401, "invalid_credentials");
        // Without one, a fresh login sets one.
        let set = client.request("POST", "/account/password").json(&json!({ "new_password": PASSWORD }));
        server.send(set).await.expect(204);
        Client::signed_in(&server, pair, &name).await.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_code_by_mail_to_a_proved_address_is_enough_and_what_was_under_way_dies() {
    let (server, mails) = challenges::server().await;
    let another = server.another_node().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    remove_password(&server, &client).await.problem(409, "last_factor");
    crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
    let others = Client::in_every_way(&server, "ada").await;
    let under_way = halves(&server, &mails, "reset_password", &email_of("ada")).await;
    remove_password(&another, &client).await.expect(204);
    for other in others {
        crate::support::eventually("the end", async || other.profile().await.status == 401).await;
    }
    let reset = challenges::reset_request(&under_way, PASSWORD);
    server.send(reset).await.problem(401, "challenge_expired");
    let told = mails.receives(2).await;
    assert_eq!(told.iter().filter(|mail| mail.text().contains("has no password any more")).count(), 1);
    let code = halves(&server, &mails, "login", &email_of("ada")).await;
    server.send(Request::post("/jwt/login").json(&code.json())).await.expect(200);
}

#[tokio::test]
async fn a_password_goes_on_aal2_alone_where_there_is_two_step_sign_in() {
    let server = TestServer::start().await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    add_key(&server, "ada", "passkey", "localhost").await;
    let pending = first_step(&server, "ada").await;
    remove_password(&server, &client).await.expect(204);
    let body = second_step(&pending, &authenticator.next_code(&server));
    server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_factor_stays_where_nothing_opens_the_account() {
    let server = TestServer::start().await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    crate::nodes::sql(&server, "update users set password_hash = null").await;
    let remove = client.request("DELETE", &format!("/account/factors/{}", authenticator.id));
    server.send(remove.clone()).await.problem(409, "last_factor");
    assert_eq!(client.get("/account/factors").await.ok()["two_step"], true);
    add_key(&server, "ada", "passkey", "localhost").await;
    server.send(remove).await.expect(204);
}

#[tokio::test]
async fn the_last_second_factor_stays_where_one_is_required() {
    let server = TestServer::with(&[("SECOND_FACTOR", "required")]).await;
    let (client, authenticator) = two_step_user(&server, "ada").await;
    let remove = client.request("DELETE", &format!("/account/factors/{}", authenticator.id));
    server.send(remove.clone()).await.problem(409, "last_factor");
    add_key(&server, "ada", "security_key", "elsewhere.example").await;
    server.send(remove.clone()).await.problem(409, "last_factor");
    client.profile().await.expect(200);
    add_key(&server, "ada", "security_key", "localhost").await;
    server.send(remove).await.expect(204);
}

#[tokio::test]
async fn of_two_ways_in_that_are_removed_at_once_one_stays() {
    let server = TestServer::start().await;
    let another = server.another_node().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    add_key(&server, "ada", "passkey", "localhost").await;
    // As whoever removes a passkey does: it has the user, and then removes it.
    let mut removing = server.sql().await;
    sqlx::raw_sql("begin; select from users for update; delete from passkeys")
        .execute(&mut removing)
        .await
        .expect("a passkey that goes");
    let (answer, ()) = futures_util::future::join(remove_password(&another, &client), async {
        super::await_waiting(&server, 1).await;
        sqlx::raw_sql("commit").execute(&mut removing).await.expect("a commit");
    })
    .await;
    answer.problem(409, "last_factor");
}

/// Two-step sign-in would stay on by a key that is of no use today, and nobody would get in.
#[tokio::test]
async fn a_second_factor_stays_where_only_keys_from_elsewhere_would_be_left() {
    let server = TestServer::start().await;
    let (client, _) = two_step_user(&server, "ada").await;
    let totp = client.get("/account/factors").await.ok()["totp"]["id"].clone();
    let path = format!("/account/factors/{}", crate::support::text(&totp));
    add_key(&server, "ada", "security_key", "elsewhere.example").await;
    server.send(client.request("DELETE", &path)).await.problem(409, "last_factor");
    assert_eq!(client.get("/account/factors").await.ok()["totp"]["id"], totp);
    add_key(&server, "ada", "security_key", "localhost").await;
    server.send(client.request("DELETE", &path)).await.expect(204);
    assert_eq!(client.get("/account/factors").await.ok()["two_step"], true);
}
