//! Sign-ins and resets that are under way while two-step sign-in is turned on.

use futures_util::future::join3;
use serde_json::json;

use super::last_factor::add_key;
use super::{Authenticator, ask, await_waiting, enrol_with};
use crate::challenges::{self, email_of, halves};
use crate::support::{
    client::{Client, Pair},
    http::Request,
    server::{ONE_NAME, TestServer},
};

/// The first factor was proved before there was a second, and the login would begin after it.
#[tokio::test]
async fn a_sign_in_under_way_while_two_step_sign_in_is_turned_on_elsewhere_begins_no_login_below_aal2() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let another = server.another_node().await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let name = format!("user-{number}");
        let client = Client::of_new_user(&server, Pair::SESSION_BEARER, &name).await;
        let challenge = ask(&another, &client).await.expect(201).json();
        let code = Authenticator::of(&challenge).code_in(&server, 0);
        let mut signing_in = Client::new(&server, pair);
        let credentials = pair.credentials(&name);
        // Keeps both from the user's row: the enrolment comes first, and the sign-in has proved the password by then.
        let mut holding = server.sql().await;
        let hold =
            sqlx::AssertSqlSafe(format!("begin; select from users where username = '{name}' for update"));
        sqlx::raw_sql(hold).execute(&mut holding).await.expect("the user's row");
        let login = async {
            await_waiting(&server, 1).await;
            signing_in.login(&credentials).await
        };
        let release = async {
            await_waiting(&server, 2).await;
            sqlx::raw_sql("commit").execute(&mut holding).await.expect("a commit");
        };
        let (enrolled, answer, ()) =
            join3(enrol_with(&another, &client, &challenge, &code), login, release).await;
        enrolled.expect(201);
        assert!(answer.set_cookies().is_empty(), "{answer}");
        answer.problem(401, "invalid_credentials");
        signing_in.login(&credentials).await.problem(401, "second_factor_required");
        assert_eq!(challenges::count(&server, BELOW).await, 0);
    }
}

/// Logins that two-step sign-in forbids.
const BELOW: &str = "select count(*) from logins l join users u on u.id = l.user_id
                     where u.two_step and l.aal < 2 and l.ended_at is null";

#[tokio::test]
async fn a_code_by_mail_under_way_then_neither_signs_in_nor_resets_by_itself() {
    let (server, mails) = challenges::server().await;
    let another = server.another_node().await;
    for (name, purpose) in [("ada", "login"), ("bea", "reset_password")] {
        server.user(name).await;
        crate::nodes::sql(&server, "update users set email_verified_at = now()").await;
        let client = Client::signed_in(&server, Pair::SESSION_BEARER, name).await;
        let mailed = halves(&server, &mails, purpose, &email_of(name)).await;
        let challenge = ask(&another, &client).await.expect(201).json();
        let code = Authenticator::of(&challenge).code_in(&server, 0);
        let mut holding = server.sql().await;
        let hold =
            sqlx::AssertSqlSafe(format!("begin; select from users where username = '{name}' for update"));
        sqlx::raw_sql(hold).execute(&mut holding).await.expect("the user's row");
        let by_mail = async {
            await_waiting(&server, 1).await;
            let request = match purpose {
                "login" => Request::post("/jwt/login").json(&mailed.json()),
                _ => challenges::reset_request(&mailed, "another quiet lantern by the river"),
            };
            server.send(request).await
        };
        let release = async {
            await_waiting(&server, 2).await;
            sqlx::raw_sql("commit").execute(&mut holding).await.expect("a commit");
        };
        let (enrolled, answer, ()) =
            join3(enrol_with(&another, &client, &challenge, &code), by_mail, release).await;
        enrolled.expect(201);
        let pending = answer.problem(401, "second_factor_required").json();
        assert_eq!(pending["methods"], json!(["totp", "recovery_code"]));
        assert_eq!(challenges::count(&server, BELOW).await, 0);
        client.profile().await.expect(200);
    }
}

/// What a login of the first factor alone may do while there is no second one.
#[tokio::test]
async fn a_login_that_two_step_sign_in_ends_removes_no_password_meanwhile() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let another = server.another_node().await;
    let owner = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    add_key(&server, "ada", "passkey", "localhost").await;
    let thief = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let challenge = ask(&another, &owner).await.expect(201).json();
    let code = Authenticator::of(&challenge).code_in(&server, 0);
    let mut holding = server.sql().await;
    let hold = sqlx::AssertSqlSafe("begin; select from users where username = 'ada' for update");
    sqlx::raw_sql(hold).execute(&mut holding).await.expect("the user's row");
    let change = async {
        await_waiting(&server, 1).await;
        server.send(thief.request("DELETE", "/account/password")).await
    };
    let release = async {
        await_waiting(&server, 2).await;
        sqlx::raw_sql("commit").execute(&mut holding).await.expect("a commit");
    };
    let (enrolled, answer, ()) =
        join3(enrol_with(&another, &owner, &challenge, &code), change, release).await;
    enrolled.expect(201);
    answer.problem(404, "not_found");
    assert_eq!(owner.get("/account/factors").await.ok()["password"], true);
}

/// Recovery codes would make of one factor two.
#[tokio::test]
async fn a_login_below_aal2_gets_no_recovery_codes_when_two_step_sign_in_is_turned_on_meanwhile() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let mut holding = server.sql().await;
    // Comes between the question whether the login is fresh and the change.
    let hold = "begin; lock table recovery_codes in access exclusive mode";
    sqlx::raw_sql(hold).execute(&mut holding).await.expect("the table");
    let release = async {
        await_waiting(&server, 1).await;
        let turn_on = "update users set two_step = true; commit";
        sqlx::raw_sql(turn_on).execute(&mut holding).await.expect("a commit");
    };
    let renew = server.send(client.request("POST", "/account/recovery-codes"));
    let (answer, ()) = futures_util::future::join(renew, release).await;
    answer.problem(409, "conflict");
    assert_eq!(challenges::count(&server, "select count(*) from recovery_codes").await, 0);
}

/// Two logins enrol at once, each of them fresh: the first ends the second.
#[tokio::test]
async fn a_login_that_ended_meanwhile_adds_no_factor() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let another = server.another_node().await;
    let owner = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let ended = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let challenge = ask(&another, &ended).await.expect(201).json();
    let code = Authenticator::of(&challenge).code_in(&server, 0);
    let mut holding = server.sql().await;
    let hold = sqlx::AssertSqlSafe("begin; select from users where username = 'ada' for update");
    sqlx::raw_sql(hold).execute(&mut holding).await.expect("the user's row");
    let id = ended.login_id().await;
    let release = async {
        await_waiting(&server, 1).await;
        let end = format!("update logins set ended_at = now() where id = '{id}'; commit");
        sqlx::raw_sql(sqlx::AssertSqlSafe(end)).execute(&mut holding).await.expect("a commit");
    };
    let (answer, ()) =
        futures_util::future::join(enrol_with(&another, &ended, &challenge, &code), release).await;
    answer.problem(401, "challenge_expired");
    assert_eq!(owner.get("/account/factors").await.ok()["totp"], json!(null));
}
