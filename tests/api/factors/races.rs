//! Sign-ins and resets that are under way while two-step sign-in is turned on.

use futures_util::future::join3;
use serde_json::json;

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
