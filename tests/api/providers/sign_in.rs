//! Signing in by a provider: whoever comes back has the account of their identity, and nobody else's.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::signing::{ProviderSite, RETURN_TO, returned};
use crate::factors;
use crate::support::{
    MINUTE,
    client::{Client, Pair},
    http::Request,
    server::credentials,
    text, with,
};

#[tokio::test]
async fn a_new_person_gets_an_account_and_finds_it_again_in_both_modes_and_transports_on_both_nodes() {
    let site = ProviderSite::start().await;
    let another = site.server.another_node().await;
    let mut ids = Vec::new();
    for pair in Pair::ALL {
        let halves = site.sign_in("17", "ada@example.com").await;
        let mut client = Client::new(&another, pair);
        client.login(&halves).await.expect(200);
        let profile = client.profile().await.ok();
        assert_eq!(profile["auth"]["amr"], json!(["fed"]), "{pair:?}");
        assert_eq!((&profile["auth"]["acr"], &profile["username"]), (&json!("aal1"), &json!("ada")));
        ids.push(profile["user_id"].clone());
        // Once.
        let again = Request::post(&pair.mode.path("login")).json(&halves);
        site.server.send(again).await.problem(401, "challenge_expired");
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let user = site.server.send(Request::post("/session/login").json(&credentials("ada"))).await;
    user.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn the_browser_comes_back_to_where_it_was_asked_to_and_nobody_is_signed_in_by_that() {
    let site = ProviderSite::start().await;
    let challenge = site.ask().await;
    let url = text(&challenge["authorization_url"]);
    assert!(url.starts_with(&format!("{}/authorize?", site.stub.url())), "{url}");
    assert!(challenge["nonce"].is_string() && challenge["method"] == "stub");
    let callback = site.callback(&challenge, "17", "ada@example.com").await;
    let answer = site.server.send(Request::get(&callback)).await;
    assert!(answer.set_cookies().is_empty());
    let (challenge_id, code) = returned(&answer.expect(303));
    assert_eq!(challenge_id, text(&challenge["id"]));
    // The other half stays with whoever asked: the code opens nothing without it, nor the challenge's id.
    for half in [
        json!({ "challenge": challenge_id, "code": code }),
        json!({ "challenge": site.ask().await["challenge"], "code": code }),
    ] {
        let answer = site.server.send(Request::post("/session/login").json(&half)).await;
        assert!(matches!(answer.status, 401), "{half}");
        assert!(answer.set_cookies().is_empty());
    }
    // A callback that is opened again, as by the back button.
    site.server.send(Request::get(&callback)).await.problem(400, "malformed_request");
    let halves = json!({ "challenge": challenge["challenge"], "code": code });
    site.server.send(Request::post("/jwt/login").json(&halves)).await.expect(200);
}

#[tokio::test]
async fn an_attackers_callback_in_a_victims_browser_signs_nobody_in() {
    let site = ProviderSite::start().await;
    let attackers = site.ask().await;
    let callback = site.callback(&attackers, "666", "mallory@example.com").await;
    let victim = Client::of_new_user(&site.server, Pair::SESSION_COOKIE, "bea").await;
    let answer = site.server.send(victim.without_csrf("GET", &callback)).await;
    assert!(answer.set_cookies().is_empty());
    answer.expect(303);
    assert_eq!(victim.profile().await.ok()["username"], "bea");
}

#[tokio::test]
async fn two_tabs_sign_in_at_once_and_are_one_account() {
    let site = ProviderSite::start().await;
    let (one, other) = (site.ask().await, site.ask().await);
    // The second comes back first.
    let halves = [
        site.come_back(&other, "17", "ada@example.com").await,
        site.come_back(&one, "17", "ada@example.com").await,
    ];
    let logins = halves.iter().map(|halves| Request::post("/jwt/login").json(halves));
    let answers = join_all(logins.map(|login| site.server.send(login))).await;
    for answer in answers {
        answer.expect(200);
    }
    assert_eq!(crate::challenges::count(&site.server, "select count(*) from dualauth.users").await, 1);
}

#[tokio::test]
async fn a_state_is_good_once_and_at_its_own_provider_alone() {
    let site = ProviderSite::with("[other]\nissuer = 'https://other.example'\nclient_id = 'x'\n", &[]).await;
    let challenge = site.ask().await;
    let callback = site.callback(&challenge, "17", "ada@example.com").await;
    let other = callback.replacen("/providers/stub/", "/providers/other/", 1);
    site.server.send(Request::get(&other)).await.problem(400, "malformed_request");
    for wrong in ["", "?state=", "?code=x", "?state=das_x&code=y", "?state=a&state=b"] {
        let path = format!("/providers/stub/callback{wrong}");
        site.server.send(Request::get(&path)).await.problem(400, "malformed_request");
    }
    // Of fifty at once, one asks the provider.
    let challenge = site.ask().await;
    let callback = site.callback(&challenge, "17", "ada@example.com").await;
    let asked = site.stub.asked("/token");
    let answers = join_all((0..20).map(|_| site.server.send(Request::get(&callback)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1);
    assert_eq!(site.stub.asked("/token"), asked + 1);
    // Too late.
    let challenge = site.ask().await;
    let callback = site.callback(&challenge, "17", "ada@example.com").await;
    site.server.clock.advance(11 * MINUTE);
    site.server.send(Request::get(&callback)).await.problem(400, "malformed_request");
}

#[tokio::test]
async fn a_form_from_the_providers_page_comes_through_and_goes_nowhere_else() {
    let site = ProviderSite::start().await;
    let challenge = site.ask().await;
    let callback = site.callback(&challenge, "17", "ada@example.com").await;
    let query = callback.split_once('?').expect("a query").1;
    let form = |path: &str| {
        Request::post(path)
            .header("origin", "https://appleid.apple.com")
            .header("sec-fetch-site", "cross-site")
            .body("application/x-www-form-urlencoded", query)
    };
    site.server.send(form("/session/login")).await.problem(403, "cross_origin");
    site.server.send(form("/providers/stub/callback/x")).await.problem(403, "cross_origin");
    let answer = site.server.send(form("/providers/stub/callback")).await.expect(303);
    let halves = json!({ "challenge": challenge["challenge"], "code": returned(&answer).1 });
    site.server.send(Request::post("/jwt/login").json(&halves)).await.expect(200);
}

#[tokio::test]
async fn a_denial_goes_back_to_the_page_and_the_challenge_lives_on() {
    let site = ProviderSite::start().await;
    for (error, word) in
        [("access_denied", "access_denied"), ("server_error", "provider_failed"), ("x", "provider_failed")]
    {
        let challenge = site.ask().await;
        let path = format!("/providers/stub/callback?state={}&error={error}", site.state(&challenge));
        let answer = site.server.send(Request::get(&path)).await.expect(303);
        let expected = format!("{RETURN_TO}#challenge={}&error={word}", text(&challenge["id"]));
        assert_eq!(answer.header("location"), Some(&*expected));
        let body = json!({ "challenge": challenge["challenge"], "code": "x" });
        site.server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "invalid_code");
        // Another one takes its place.
        let again = with(site.asking(), "challenge", challenge["challenge"].clone());
        let next = site.server.send(Request::post("/challenges").json(&again)).await.expect(201).json();
        site.server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
        let halves = site.come_back(&next, "17", "ada@example.com").await;
        site.server.send(Request::post("/jwt/login").json(&halves)).await.expect(200);
    }
}

#[tokio::test]
async fn a_provider_that_says_nonsense_is_told_to_the_page() {
    let site = ProviderSite::start().await;
    for token in [json!({}), json!({ "access_token": "at", "id_token": "a.b.c" }), json!([])] {
        let challenge = site.ask().await;
        site.stub.json("/token", token);
        let path = format!("/providers/stub/callback?state={}&code=x", site.state(&challenge));
        let answer = site.server.send(Request::get(&path)).await.expect(303);
        let location = answer.header("location").expect("one").to_owned();
        assert!(location.ends_with("&error=provider_failed"), "{location}");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_makes_no_challenge() {
    let site = ProviderSite::at("http://127.0.0.1:1", "", &[]).await;
    let answer = site.server.send(Request::post("/challenges").json(&site.asking())).await;
    answer.problem(503, "unavailable");
}

#[tokio::test]
async fn only_what_goes_together_is_asked_for() {
    let site = ProviderSite::start().await;
    let base = site.asking();
    for (member, value, pointer) in [
        ("return_to", json!("https://evil.example/"), "/return_to"),
        ("return_to", Value::Null, "/return_to"),
        ("return_to", json!("//evil.example"), "/return_to"),
        ("return_to", json!("javascript:alert(1)"), "/return_to"),
        ("method", json!("nobody"), "/method"),
        ("method", json!("passkey"), "/return_to"),
        ("email", json!("ada@example.com"), "/email"),
        ("for", json!("reset_password"), "/method"),
    ] {
        let body = with(base.clone(), member, value);
        let answer = site.server.send(Request::post("/challenges").json(&body)).await;
        let problem = answer.problem(422, "validation_failed").json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn an_app_signs_in_by_an_id_token_of_its_own_for_the_challenges_nonce() {
    let site = ProviderSite::start().await;
    let challenge = site.ask().await;
    let login = |id_token: String| {
        let body = json!({ "challenge": challenge["challenge"], "id_token": id_token });
        Request::post("/jwt/login").json(&body)
    };
    for wrong in ["", "another"] {
        let token = site.id_token(&site.claims(wrong, "17", "ada@example.com"));
        site.server.send(login(token)).await.problem(401, "invalid_code");
    }
    let claims = site.claims(text(&challenge["nonce"]), "17", "ada@example.com");
    site.server.send(login(site.id_token(&claims))).await.expect(200);
    site.server.send(login(site.id_token(&claims))).await.problem(401, "challenge_expired");
    // Five tries.
    let challenge = site.ask().await;
    let body = json!({ "challenge": challenge["challenge"], "id_token": "a.b.c" });
    for _ in 0..5 {
        site.server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "invalid_code");
    }
    let claims = site.claims(text(&challenge["nonce"]), "17", "ada@example.com");
    let body = with(body, "id_token", site.id_token(&claims));
    site.server.send(Request::post("/jwt/login").json(&body)).await.problem(401, "challenge_expired");
}

#[tokio::test]
async fn a_disabled_user_gets_no_login_and_no_second_account() {
    let site = ProviderSite::start().await;
    site.sign_in_new("17", "ada@example.com").await;
    crate::nodes::sql(&site.server, "update users set disabled_at = now()").await;
    for email in ["ada@example.com", "new@example.com"] {
        let halves = site.sign_in("17", email).await;
        let answer = site.server.send(Request::post("/jwt/login").json(&halves)).await;
        answer.problem(401, "invalid_credentials");
    }
    assert_eq!(crate::challenges::count(&site.server, "select count(*) from dualauth.users").await, 1);
}

#[tokio::test]
async fn two_step_sign_in_asks_for_the_second_factor_after_a_provider_unless_it_proves_both() {
    let site = ProviderSite::with("aal2_acr = ['gold']\naal2_amr = ['mfa']\n", &[]).await;
    let client = site.sign_in_new("17", "ada@example.com").await;
    let authenticator = factors::enrol(&site.server, &client).await;
    for pair in Pair::ALL {
        let halves = with(site.sign_in("17", "ada@example.com").await, "transport", pair.transport.name());
        let answer = site.server.send(Request::post(&pair.mode.path("login")).json(&halves)).await;
        assert!(answer.set_cookies().is_empty(), "{pair:?}");
        let pending = answer.problem(401, "second_factor_required").json();
        let code = authenticator.next_code(&site.server);
        let mut client = Client::new(&site.server, pair);
        client.login(&factors::second_step(&pending, &code)).await.expect(200);
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["fed", "otp", "mfa"]), &json!("aal2")), "{pair:?}");
    }
    for (claim, value, is_both) in [
        ("acr", json!("gold"), true),
        ("amr", json!(["pwd", "mfa"]), true),
        ("acr", json!("silver"), false),
        ("amr", json!("mfa"), false),
    ] {
        let challenge = site.ask().await;
        let claims =
            with(site.claims(text(&challenge["nonce"]), "17", "ada@example.com"), claim, value.clone());
        let halves = site.come_back_with(&challenge, &claims).await;
        let mut client = Client::new(&site.server, Pair::JWT_BEARER);
        let answer = client.login(&halves).await;
        if !is_both {
            answer.problem(401, "second_factor_required");
            continue;
        }
        answer.expect(200);
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["amr"], &auth["acr"]), (&json!(["fed", "mfa"]), &json!("aal2")), "{claim} {value}");
    }
}

#[tokio::test]
async fn nobody_gets_an_account_where_registration_is_closed() {
    let site = ProviderSite::with("", &[("REGISTRATION", "closed")]).await;
    let halves = site.sign_in("17", "ada@example.com").await;
    let answer = site.server.send(Request::post("/jwt/login").json(&halves)).await;
    answer.problem(403, "registration_closed");
}

#[tokio::test]
async fn a_username_is_what_they_are_called_there_as_far_as_it_is_free() {
    let site = ProviderSite::start().await;
    site.server.user("ada").await;
    for (subject, called, expected) in
        [("1", json!("ada"), "ada-2"), ("2", json!("Åsa!"), "user-sa"), ("3", Value::Null, "third")]
    {
        let challenge = site.ask().await;
        let email = format!("{}@example.com", if subject == "3" { "third" } else { subject });
        let claims = site.claims(text(&challenge["nonce"]), subject, &email);
        let claims = with(claims, "preferred_username", called);
        let halves = site.come_back_with(&challenge, &claims).await;
        let mut client = Client::new(&site.server, Pair::JWT_BEARER);
        client.login(&halves).await.expect(200);
        assert_eq!(client.profile().await.ok()["username"], expected);
    }
}

#[tokio::test]
async fn a_new_account_gets_its_mails_in_the_language_of_whoever_signs_in() {
    let site = ProviderSite::start().await;
    for (subject, header, expected) in [("1", "de-CH, en;q=0.5", 1), ("2", "fr", 1), ("3", "en, de;q=0.9", 1)]
    {
        let halves = site.sign_in(subject, &format!("{subject}@example.com")).await;
        let login = Request::post("/session/login").header("accept-language", header).json(&halves);
        site.server.send(login).await.expect(200);
        let query = "select count(*) from dualauth.users where language = 'de'";
        assert_eq!(crate::challenges::count(&site.server, query).await, expected, "{header}");
    }
}

#[tokio::test]
async fn a_providers_tokens_are_nowhere_unless_they_are_to_be_stored() {
    for (more, is_kept) in [("", false), ("store_tokens = true\n", true)] {
        let site = ProviderSite::with(more, &[]).await;
        let challenge = site.ask().await;
        let callback = site.callback(&challenge, "17", "ada@example.com").await;
        let answer = site.server.send(Request::get(&callback)).await.expect(303);
        // With its head.
        let told = answer.to_string();
        assert!(!told.contains("stubs") && !told.contains("eyJ"), "{told}");
        let halves = json!({ "challenge": challenge["challenge"], "code": returned(&answer).1 });
        let answer = site.server.send(Request::post("/session/login").json(&halves)).await.expect(200);
        assert!(!answer.text().contains("stubs"), "{answer}");
        let query = "select count(*) from dualauth.identities where tokens is not null";
        assert_eq!(crate::challenges::count(&site.server, query).await == 1, is_kept);
        for table in ["identities", "challenges", "logins", "audit_events", "mails"] {
            let query =
                format!("select count(*) from dualauth.{table} t where t::text like '%stubs access%'");
            let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .fetch_one(&mut site.server.sql().await)
                .await
                .expect("a number");
            assert_eq!(found, 0, "{table}");
        }
    }
}
