//! What a passkey's answer is refused for at a sign-in, one thing at a time.

use serde_json::json;

use super::{
    AssertionDraft, BACKUP_ELIGIBLE, Passkey, SITE, ask, ask_to_sign_in, enrol, halves, sign_in, sign_in_at,
    user_with,
};
use crate::factors::first_step;
use crate::nodes::sql;
use crate::support::{
    MINUTE, PASSWORD,
    client::{Client, Pair},
    http::Request,
    server::{CHEAP, TestServer, credentials},
    with,
};

/// A server where no network is limited.
async fn server() -> TestServer {
    assert!(!CHEAP.is_empty());
    TestServer::with(&[SITE, ("LOGIN_LIMIT", "1000/1m")]).await
}

type Change = fn(&mut AssertionDraft);

#[tokio::test]
async fn an_answer_with_one_thing_wrong_signs_nobody_in() {
    let server = server().await;
    let (_, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let (_, of_bea) = user_with(&server, "bea", Passkey::new("passkey")).await;
    let changes: [(&str, Change); 13] = [
        ("another origin", |draft| draft.client_data["origin"] = json!("https://evil.example")),
        ("a longer origin", |draft| {
            draft.client_data["origin"] = json!("https://auth.example.org.evil.example")
        }),
        ("not by https", |draft| draft.client_data["origin"] = json!("http://auth.example.org")),
        ("in a frame", |draft| draft.client_data["crossOrigin"] = json!(true)),
        ("below another page", |draft| draft.client_data["topOrigin"] = json!("https://auth.example.org")),
        ("the other ceremony", |draft| draft.client_data["type"] = json!("webauthn.create")),
        ("another relying party", |draft| "example.org".clone_into(&mut draft.rp_id)),
        ("nobody there", |draft| draft.flags &= !1),
        ("nobody verified", |draft| draft.flags &= !super::USER_VERIFIED),
        ("synced all of a sudden", |draft| draft.flags |= BACKUP_ELIGIBLE),
        ("no user", |draft| draft.user_handle = None),
        ("nobody's", |draft| draft.user_handle = Some(vec![0; 16])),
        ("a wrong signature", |draft| draft.spoil = |signature| signature[9] ^= 1),
    ];
    for (what, change) in changes {
        let challenge = ask_to_sign_in(&server).await;
        let answer = passkey.answer_with(&challenge["passkey"], change);
        let refused = sign_in_at(&server, &halves(&challenge, &answer)).await;
        let problem = refused.problem(401, "invalid_code").json();
        assert_eq!(problem["detail"], "The passkey or security key was not accepted.", "{what}");
        // The challenge lives, and takes what is right.
        sign_in_at(&server, &passkey.halves(&challenge)).await.expect(200);
    }
    // What the request says of where it goes says nothing of where the page is.
    let challenge = ask_to_sign_in(&server).await;
    let answer = passkey.answer_with(&challenge["passkey"], |draft| {
        draft.client_data["origin"] = json!("https://evil.example")
    });
    let led_astray = Request::post("/jwt/login")
        .json(&halves(&challenge, &answer))
        .header("Host", "evil.example")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-Proto", "https");
    server.send(led_astray).await.problem(401, "invalid_code");

    let challenge = ask_to_sign_in(&server).await;
    let user = of_bea.user.clone();
    let answer = passkey.answer_with(&challenge["passkey"], |draft| draft.user_handle = Some(user));
    sign_in_at(&server, &halves(&challenge, &answer)).await.problem(401, "invalid_code");
    // One that could be copied when it was registered, and can't be any more.
    let (_, synced) = user_with(&server, "cleo", Passkey::synced()).await;
    let challenge = ask_to_sign_in(&server).await;
    let answer =
        synced.answer_with(&challenge["passkey"], |draft| draft.flags &= !super::Passkey::synced().flags | 4);
    sign_in_at(&server, &halves(&challenge, &answer)).await.problem(401, "invalid_code");
}

#[tokio::test]
async fn an_answer_to_another_challenge_is_none_to_this_one_and_five_end_it() {
    let server = server().await;
    let (client, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let other = ask_to_sign_in(&server).await;
    let challenge = ask_to_sign_in(&server).await;
    let enrolment = ask(&server, &client, "factor", "passkey").await.expect(201).json();
    for number in 0..5 {
        let mut options = other["passkey"].clone();
        if number == 0 {
            // Of a registration: what signs for one ceremony signs for no other, even under the same token.
            options["challenge"] = enrolment["passkey"]["challenge"].clone();
        }
        let answer = passkey.answer_with(&options, |_| ());
        sign_in_at(&server, &halves(&challenge, &answer)).await.problem(401, "invalid_code");
    }
    sign_in_at(&server, &passkey.halves(&challenge)).await.problem(401, "challenge_expired");
    sign_in_at(&server, &passkey.halves(&other)).await.expect(200);
    // The options of a registration, with its own token.
    let mut options = other["passkey"].clone();
    options["challenge"] = enrolment["passkey"]["challenge"].clone();
    let body = halves(&enrolment, &passkey.answer(&options));
    sign_in_at(&server, &body).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_second_step_is_taken_by_its_own_user_s_factors_alone() {
    let server = server().await;
    let (ada, mut of_ada) = user_with(&server, "ada", Passkey::new("security_key")).await;
    let (_, mut of_bea) = user_with(&server, "bea", Passkey::new("security_key")).await;
    let (_, mut passkey_of_bea) = user_with(&server, "cleo", Passkey::new("passkey")).await;
    let pending = first_step(&server, "ada").await;
    for passkey in [&mut of_bea, &mut passkey_of_bea, &mut Passkey::new("passkey")] {
        sign_in_at(&server, &passkey.halves(&pending)).await.problem(401, "invalid_code");
    }
    // The right key, that says it is somebody else's.
    let answer =
        of_ada.answer_with(&pending["passkey"], |draft| draft.user_handle = Some(of_bea.user.clone()));
    sign_in_at(&server, &halves(&pending, &answer)).await.problem(401, "invalid_code");
    sign_in_at(&server, &of_ada.halves(&pending)).await.expect(200);
    let query = "select count(*) from audit_events where event = 'second_factor_failed' and username = 'ada'";
    crate::support::eventually("the events", async || {
        let count = sqlx::query_scalar::<_, i64>(query).fetch_one(&mut server.sql().await).await;
        count.expect("a number") == 4
    })
    .await;
    ada.assert_goes_on().await;
}

#[tokio::test]
async fn who_may_not_sign_in_may_not_by_a_passkey() {
    let server = server().await;
    let (_, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let challenge = ask_to_sign_in(&server).await;
    sql(&server, "update users set disabled_at = now()").await;
    sign_in_at(&server, &passkey.halves(&challenge)).await.problem(401, "invalid_code");
    sql(&server, "update users set disabled_at = null").await;
    sign_in_at(&server, &passkey.halves(&challenge)).await.expect(200);
    sql(&server, "delete from users").await;
    sign_in(&server, &mut passkey).await.problem(401, "invalid_code");
}

#[tokio::test]
async fn a_pending_sign_in_and_a_step_up_die_with_what_they_were_asked_under() {
    let server = server().await;
    let (client, mut key) = user_with(&server, "ada", Passkey::new("security_key")).await;
    enrol(&server, &client, "passkey").await;
    let pending = first_step(&server, "ada").await;
    let step_up = ask(&server, &client, "step_up", "passkey").await.expect(201).json();
    let changed =
        json!({ "current_password": PASSWORD, "new_password": "another quiet lantern by the river" });
    server.send(client.request("POST", "/account/password").json(&changed)).await.expect(204);
    sign_in_at(&server, &key.halves(&pending)).await.problem(401, "challenge_expired");
    let request = client.request("POST", "/session/step-up").json(&key.halves(&step_up));
    server.send(request).await.problem(401, "challenge_expired");
    let changed = with(credentials("ada"), "password", "another quiet lantern by the river");
    let first = Request::post("/session/login").json(&changed);
    let pending = server.send(first).await.problem(401, "second_factor_required").json();
    server.clock.advance(11 * MINUTE);
    sign_in_at(&server, &key.halves(&pending)).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn what_has_not_the_form_of_an_answer_is_told_and_counts_for_nothing() {
    let server = TestServer::with(&[SITE, ("LOGIN_LIMIT", "3/1m")]).await;
    let (_, mut passkey) = user_with(&server, "ada", Passkey::new("passkey")).await;
    let challenge = ask_to_sign_in(&server).await;
    let right = passkey.answer(&challenge["passkey"]);
    let without = |member: &str| {
        let mut answer = right.clone();
        answer["response"].as_object_mut().expect("members").remove(member);
        answer
    };
    for answer in [
        json!({}),
        json!("…"),
        without("signature"),
        without("authenticatorData"),
        without("clientDataJSON"),
        with(right.clone(), "rawId", "%"),
    ] {
        sign_in_at(&server, &halves(&challenge, &answer)).await.points_at(&["/passkey"]);
    }
    let body = with(halves(&challenge, &right), "code", "123456");
    sign_in_at(&server, &body).await.points_at(&["/code"]);
    let mut client = Client::new(&server, Pair::SESSION_COOKIE);
    client.login(&halves(&challenge, &right)).await.expect(200);
}
