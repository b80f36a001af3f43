//! What was proved is used up with the login that begins or is raised by it, or not at all.

use futures_util::future::join;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::passkeys::{self, Passkey};
use super::{await_waiting, first_step, second_step, two_step_user};
use crate::challenges;
use crate::nodes::sql;
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::Request,
    server::TestServer,
    with,
};

/// Fails each statement that begins or raises a login.
const FAILURE: &str =
    "create function fail() returns trigger language plpgsql as $$ begin raise 'out of order'; end $$;
    create trigger fails_to_begin before insert on logins for each row execute function fail();
    create trigger fails_to_raise before update of auth_time on logins for each row execute function fail()";
const REPAIR: &str =
    "drop trigger fails_to_begin on logins; drop trigger fails_to_raise on logins; drop function fail()";

/// Proofs of a step-up, each of which can be used once.
async fn proofs(server: &TestServer, client: &Client, code: String, recovery_code: &str) -> [Value; 3] {
    let mut passkey = passkeys::enrol_this(server, client, Passkey::new("passkey").counting(3)).await;
    let challenge = passkeys::ask(server, client, "step_up", "passkey").await.expect(201).json();
    [json!({ "code": code }), json!({ "code": recovery_code }), passkey.halves(&challenge)]
}

#[tokio::test]
async fn a_step_up_that_a_refresh_overtakes_uses_nothing_up() {
    let server = TestServer::with(&[passkeys::SITE]).await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let name = format!("user-{number}");
        let (_, authenticator) = two_step_user(&server, &name).await;
        let pending = first_step(&server, &name).await;
        let mut client = Client::new(&server, pair);
        let body = second_step(&pending, &authenticator.recovery_codes[0]);
        client.login(&with(body, "transport", pair.transport.name())).await.expect(200);
        let code = authenticator.next_code(&server);
        for proof in proofs(&server, &client, code, &authenticator.recovery_codes[1]).await {
            let step_up = || client.request("POST", &client.path("step-up")).json(&proof);
            let mut refreshing = server.sql().await;
            let id = client.login_id().await;
            let hold = AssertSqlSafe(format!("begin; select from logins where id = '{id}' for update"));
            sqlx::raw_sql(hold).execute(&mut refreshing).await.expect("the login's row");
            let refresh = async {
                await_waiting(&server, 1).await;
                let refresh = format!(
                    "update logins set generation = generation + 1, replaced_at = array['{}'::timestamptz] where id = '{id}'; commit",
                    server.clock.now().to_rfc3339()
                );
                sqlx::raw_sql(AssertSqlSafe(refresh)).execute(&mut refreshing).await.expect("a refresh");
            };
            let (overtaken, ()) = join(server.send(step_up()), refresh).await;
            overtaken.problem(409, "conflict");
            client.refresh().await.ok();
            let again = client.request("POST", &client.path("step-up")).json(&proof);
            client.send(again).await.expect(200);
            // Once.
            let (path, before) = (client.path("step-up"), client.clone());
            let reused = server.send(before.request("POST", &path).json(&proof)).await;
            assert_eq!(reused.status, 401, "{proof}: {reused}");
            // A user's own tries are paced.
            server.clock.advance(MINUTE);
        }
    }
}

#[tokio::test]
async fn a_login_that_the_database_fails_to_begin_or_to_raise_uses_nothing_up() {
    let (server, mails) = challenges::server_with(&[passkeys::SITE]).await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let name = format!("user-{number}");
        server.user(&name).await;
        sql(&server, "update users set email_verified_at = now()").await;
        let owner = Client::signed_in(&server, Pair::SESSION_BEARER, &name).await;
        let authenticator = super::enrol(&server, &owner).await;
        for code in [authenticator.next_code(&server), authenticator.recovery_codes[0].clone()] {
            let body = second_step(&first_step(&server, &name).await, &code);
            let login = || Request::post(&pair.mode.path("login")).json(&body);
            sql(&server, FAILURE).await;
            server.send(login()).await.problem(500, "internal");
            sql(&server, REPAIR).await;
            server.send(login()).await.expect(200);
            server.send(login()).await.problem(401, "challenge_expired");
        }
        server.clock.advance(MINUTE);
        let mut client = owner;
        client.refresh().await.ok();
        let code = authenticator.next_code(&server);
        for proof in proofs(&server, &client, code, &authenticator.recovery_codes[1]).await {
            let step_up = |client: &Client| client.request("POST", &client.path("step-up")).json(&proof);
            sql(&server, FAILURE).await;
            server.send(step_up(&client)).await.problem(500, "internal");
            sql(&server, REPAIR).await;
            let again = step_up(&client);
            client.send(again).await.expect(200);
            let reused = server.send(step_up(&client)).await;
            assert_eq!(reused.status, 401, "{proof}: {reused}");
            server.clock.advance(MINUTE);
        }
    }
    let told = mails.received().iter().filter(|mail| mail.text().contains("was used in place")).count();
    assert_eq!(told, 2 * Pair::ALL.len());
}
