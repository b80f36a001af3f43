//! Enrolling passkeys and security keys.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Passkey, SITE, ask, enrol, enrol_this, halves, send_new, server, user_with};
use crate::challenges;
use crate::nodes::sql;
use crate::support::{
    MINUTE,
    client::{Client, Mode, Pair},
    http::Request,
    server::{TestServer, credentials},
    text, with,
};

#[tokio::test]
async fn a_passkey_is_both_factors_and_does_not_turn_two_step_sign_in_on() {
    let server = server().await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let name = format!("user-{number}");
        let mut client = Client::of_new_user(&server, pair, &name).await;
        let others = Client::in_every_way(&server, &name).await;
        let challenge = ask(&server, &client, "factor", "passkey").await.expect(201).not_stored().json();
        assert_eq!((&challenge["for"], &challenge["method"]), (&json!("factor"), &json!("passkey")));
        let options = &challenge["passkey"];
        assert_eq!(
            (&options["rp"]["id"], &options["user"]["name"]),
            (&json!("auth.example.org"), &json!(name))
        );
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        assert_eq!(
            client.get("/account/factors").await.ok()["passkeys"],
            json!([]),
            "nothing has changed yet"
        );

        let is_synced = number % 2 == 1;
        let mut passkey = if is_synced { Passkey::synced() } else { Passkey::new("passkey") };
        let body = with(halves(&challenge, &passkey.register(options)), "name", "Telephone");
        let enrolled = server.send(client.request("POST", "/account/factors").json(&body)).await;
        let enrolled = enrolled.expect(201).not_stored().json();
        let listed = client.get("/account/factors").await.ok();
        assert_eq!(listed["passkeys"], json!([enrolled]), "as it is listed, and no recovery codes");
        assert_eq!((&enrolled["kind"], &enrolled["name"]), (&json!("passkey"), &json!("Telephone")));
        assert_eq!((&enrolled["synced"], &enrolled["last_used_at"]), (&json!(is_synced), &json!(null)));
        assert_eq!((&listed["two_step"], &listed["recovery_codes_left"]), (&json!(false), &json!(0)));
        for other in others {
            other.assert_goes_on().await;
        }
        if pair.mode == Mode::Jwt {
            client.refresh().await.ok();
        }
        let auth = client.profile().await.ok()["auth"].clone();
        let amr = json!(["pwd", if is_synced { "swk" } else { "hwk" }, "user", "mfa"]);
        assert_eq!((&auth["amr"], &auth["acr"]), (&amr, &json!("aal2")), "{pair:?}");
        client.assert_goes_on().await;
        server.send(Request::post("/jwt/login").json(&credentials(&name))).await.expect(200);
    }
}

#[tokio::test]
async fn the_first_security_key_turns_two_step_sign_in_on_and_ends_every_other_login() {
    let (server, mails) = challenges::server_with(&[SITE]).await;
    server.user("ada").await;
    sql(&server, "update users set email_verified_at = now()").await;
    let mut client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let others = Client::in_every_way(&server, "ada").await;
    let key = enrol_this(&server, &client, Passkey::new("security_key").without_pin()).await;
    assert_eq!(key.recovery_codes.len(), 10);
    for other in others {
        other.assert_refused(other.pair.mode.ended()).await;
    }
    client.refresh().await.ok();
    let auth = client.profile().await.ok()["auth"].clone();
    assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["pwd", "hwk", "mfa"]), &json!("aal2")));
    let listed = client.get("/account/factors").await.ok();
    assert_eq!((&listed["two_step"], &listed["recovery_codes_left"]), (&json!(true), &json!(10)));
    assert_eq!(listed["passkeys"][0]["name"], "Security key");

    // What comes after it ends nothing, and brings no recovery codes.
    let other = client.clone();
    for kind in ["security_key", "passkey"] {
        assert!(enrol(&server, &client, kind).await.recovery_codes.is_empty(), "{kind}");
    }
    assert!(crate::factors::enrol_besides(&server, &client).await["recovery_codes"].is_null());
    other.assert_goes_on().await;
    assert_eq!(client.get("/account/factors").await.ok()["recovery_codes_left"], 10);
    // Four notices: one of them tells of two steps.
    let received = mails.receives(4).await;
    let tells = |what: &str| received.iter().filter(|mail| mail.text().contains(what)).count();
    assert_eq!((tells("each sign-in takes two steps"), tells("A factor was added")), (1, 3));
}

#[tokio::test]
async fn a_login_that_is_asked_for_the_challenge_alone_completes_it() {
    let server = server().await;
    let (bea, _) = user_with(&server, "bea", Passkey::new("passkey")).await;
    let ada = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let other = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let challenge = ask(&server, &ada, "factor", "passkey").await.expect(201).json();
    let mut passkey = Passkey::new("passkey");
    let answer = passkey.register(&challenge["passkey"]);
    for client in [&bea, &other] {
        send_new(&server, client, &challenge, &answer).await.problem(401, "challenge_expired");
    }
    let code = json!({ "challenge": challenge["challenge"], "code": "123456" });
    server.send(ada.request("POST", "/account/factors").json(&code)).await.problem(401, "challenge_expired");
    send_new(&server, &ada, &challenge, &answer).await.expect(201);
    send_new(&server, &ada, &challenge, &answer).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn what_is_not_right_enrols_nothing_and_five_of_it_end_the_challenge() {
    let server = server().await;
    let client = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    let challenge = ask(&server, &client, "factor", "passkey").await.expect(201).json();
    let other = ask(&server, &client, "factor", "passkey").await.expect(201).json();
    let options = &challenge["passkey"];
    let mut passkey = Passkey::new("passkey");
    let right = passkey.register(options);
    let finish = |draft: super::RegistrationDraft| draft.finish(&passkey.authenticator);
    let mut elsewhere = passkey.registration_draft(options);
    elsewhere.client_data["origin"] = json!("https://auth.example.org.evil.example");
    let mut framed = passkey.registration_draft(options);
    framed.client_data["topOrigin"] = json!("https://evil.example");
    // What a use of it gives is not what a registration does.
    let mut assertion = right.clone();
    assertion["response"].as_object_mut().expect("members").remove("attestationObject");
    for malformed in [json!({}), json!("…"), assertion] {
        send_new(&server, &client, &challenge, &malformed).await.points_at(&["/passkey"]);
    }
    for wrong in [
        finish(elsewhere),
        finish(framed),
        finish(passkey.registration_draft(&other["passkey"])),
        Passkey::new("passkey").without_pin().register(options),
        // For a use, and not for a registration.
        {
            let mut draft = passkey.registration_draft(options);
            draft.client_data["type"] = json!("webauthn.get");
            finish(draft)
        },
    ] {
        send_new(&server, &client, &challenge, &wrong).await.problem(401, "invalid_code");
    }
    send_new(&server, &client, &challenge, &right).await.problem(401, "challenge_expired");
    let right = passkey.register(&other["passkey"]);
    server.clock.advance(11 * MINUTE);
    send_new(&server, &client, &other, &right).await.problem(401, "challenge_expired");
    assert_eq!(client.get("/account/factors").await.ok()["passkeys"], json!([]));
}

#[tokio::test]
async fn a_synced_credential_is_no_security_key_and_the_challenge_goes_on() {
    let server = server().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let challenge = ask(&server, &client, "factor", "security_key").await.expect(201).json();
    let answer = Passkey::synced().register(&challenge["passkey"]);
    let refused = send_new(&server, &client, &challenge, &answer).await.expect(422);
    assert!(refused.text().contains("add it as a passkey"), "{refused}");
    refused.points_at(&["/passkey"]);
    let answer = Passkey::new("security_key").register(&challenge["passkey"]);
    send_new(&server, &client, &challenge, &answer).await.expect(201);
}

#[tokio::test]
async fn a_credential_is_registered_once_whoever_asks_and_the_options_name_what_there_is() {
    let server = server().await;
    let another = server.another_node().await;
    let clients = [
        Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await,
        Client::of_new_user(&server, Pair::JWT_BEARER, "bea").await,
    ];
    let mut passkey = Passkey::new("passkey");
    let mut asked = Vec::new();
    for number in 0..10 {
        let client = &clients[number % 2];
        let challenge = ask(&server, client, "factor", "passkey").await.expect(201).json();
        assert_eq!(challenge["passkey"]["excludeCredentials"], json!([]));
        asked.push((client, passkey.register(&challenge["passkey"]), challenge));
    }
    let requests = asked.iter().enumerate().map(|(number, (client, answer, challenge))| {
        send_new(if number % 3 == 0 { &another } else { &server }, client, challenge, answer)
    });
    let mut statuses: Vec<u16> = join_all(requests).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![201], vec![409; 9]].concat());
    let mut named = 0;
    for client in &clients {
        for kind in ["passkey", "security_key"] {
            let options = ask(&server, client, "factor", kind).await.expect(201).json();
            let excluded = options["passkey"]["excludeCredentials"].as_array().expect("a list").clone();
            let id = super::software_authenticator::encode(&passkey.authenticator.credential_id);
            assert!(excluded.iter().all(|one| one["id"] == id.as_str()));
            named += excluded.len();
        }
    }
    assert_eq!(named, 2, "both kinds of options of one account");
}

#[tokio::test]
async fn of_twenty_completions_at_once_one_enrols() {
    let server = server().await;
    let another = server.another_node().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let challenge = ask(&server, &client, "factor", "security_key").await.expect(201).json();
    // Another credential each time: nothing but the challenge stands in the way.
    let answers: Vec<Value> =
        (0..20).map(|_| Passkey::new("security_key").register(&challenge["passkey"])).collect();
    let requests = answers.iter().enumerate().map(|(number, answer)| {
        send_new(if number % 2 == 0 { &server } else { &another }, &client, &challenge, answer)
    });
    let statuses: Vec<u16> = join_all(requests).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(client.get("/account/factors").await.ok()["passkeys"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn who_may_ask_for_what() {
    let (server, _mails) = challenges::server_with(&[SITE]).await;
    server.user("ada").await;
    let client = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    for method in ["passkey", "security_key"] {
        ask(&server, &client, "factor", method).await.problem(403, "email_not_verified");
    }
    sql(&server, "update users set email_verified_at = now()").await;
    for (purpose, method, pointers) in [
        ("step_up", "passkey", &["/method"][..]),
        ("step_up", "security_key", &["/method"]),
        ("login", "security_key", &["/method"]),
        ("reset_password", "passkey", &["/method"]),
        ("email", "passkey", &["/method"]),
        ("factor", "email", &["/method"]),
    ] {
        ask(&server, &client, purpose, method).await.points_at(pointers);
    }
    for (purpose, method) in
        [("login", "passkey"), ("factor", "passkey"), ("factor", "security_key"), ("step_up", "passkey")]
    {
        let body = json!({ "for": purpose, "method": method, "email": "ada@example.org" });
        server.send(client.request("POST", "/challenges").json(&body)).await.points_at(&["/email"]);
    }
    for (purpose, method) in [("factor", "passkey"), ("step_up", "passkey")] {
        let body = json!({ "for": purpose, "method": method });
        server.send(Request::post("/challenges").json(&body)).await.problem(401, "not_authenticated");
    }
    let body = json!({ "challenge": "dac_", "passkey": {}, "code": "123456" });
    server.send(client.request("POST", "/account/factors").json(&body)).await.points_at(&["/code"]);
    server.clock.advance(11 * MINUTE);
    ask(&server, &client, "factor", "passkey").await.problem(401, "insufficient_user_authentication");
}

#[tokio::test]
async fn at_an_address_there_are_no_passkeys() {
    let server = TestServer::with(&[("PUBLIC_URL", "http://192.0.2.1")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    for (purpose, method) in
        [("login", "passkey"), ("factor", "passkey"), ("factor", "security_key"), ("step_up", "passkey")]
    {
        ask(&server, &client, purpose, method).await.points_at(&["/method"]);
    }
    // On another node of the same database there are.
    let named = server.another_node_with(&[SITE]).await;
    let passkey = enrol(&named, &client, "security_key").await;
    let first = Request::post("/jwt/login").json(&credentials("ada"));
    let pending = server.send(first).await.problem(401, "second_factor_required").json();
    assert_eq!((&pending["methods"], &pending["passkey"]), (&json!(["recovery_code"]), &json!(null)));
    let body = json!({ "challenge": pending["challenge"], "code": passkey.recovery_codes[0] });
    assert!(
        text(&server.send(Request::post("/jwt/login").json(&body)).await.ok()["access_token"]).len() > 100
    );
}
