//! Limits per network: on sign-ins that anybody begins at a provider, and on codes that the provider refuses.

use serde_json::{Value, json};

use super::signing::{ProviderSite, returned};
use crate::challenges::count;
use crate::support::{
    SECOND, eventually,
    http::{Request, Response},
    server::METRICS,
    stub_provider::StubAnswer,
    with,
};

#[tokio::test]
async fn sign_ins_that_anybody_begins_have_a_pace_of_their_own_and_leave_no_row_beyond_it() {
    let site = ProviderSite::with("", &[METRICS, ("REFRESH_LIMIT", "3/1m")]).await;
    let mut client = site.sign_in_new("17", "ada@example.com").await;
    let superseded = site.ask().await["challenge"].clone();
    let again = with(site.asking(), "challenge", superseded);
    let send = async |body: &Value| site.server.send(Request::post("/challenges").json(body)).await;
    send(&again).await.expect(201);
    let rows =
        async || count(&site.server, "select count(*) from challenges where method = 'provider'").await;
    let before = rows().await;
    for body in [site.asking(), again] {
        let refused = send(&body).await.problem(429, "rate_limited");
        assert_eq!(refused.header("RateLimit-Policy"), Some("\"provider_challenge\";q=3;w=60"));
    }
    assert_eq!(rows().await, before);
    let refused = r#"dualauth_challenges_total{for="login",method="provider",outcome="rate_limited"}"#;
    assert!((site.server.metric(refused).await - 2.0).abs() < 0.1);
    let told = "select count(*) from audit_events where event = 'login_limited'
                and detail ->> 'for' = 'login' and detail ->> 'limit' = 'provider_challenge'";
    eventually("the events", async || count(&site.server, told).await == 2).await;
    // Nobody's refresh, passkey, or step-up waits for it.
    client.refresh().await.ok();
    send(&json!({ "for": "login", "method": "passkey" })).await.expect(201);
    site.ask_as(&client, "step_up").await.expect(201);
    site.server.clock.advance(20 * SECOND);
    site.ask().await;
}

/// A site where three refused codes are too many, and what a callback is answered.
async fn site_of_three() -> ProviderSite {
    ProviderSite::with("", &[("LOGIN_LIMIT", "3/1m")]).await
}

async fn open(site: &ProviderSite, callback: &str) -> Response {
    site.server.send(Request::get(callback)).await
}

#[tokio::test]
async fn codes_that_the_provider_refuses_have_a_limit_and_whoever_meets_it_may_reload() {
    for answer in [
        StubAnswer::Status(400, json!({ "error": "invalid_grant" })),
        StubAnswer::Json(json!({ "error": "bad_verification_code" })),
        StubAnswer::Status(403, json!({})),
        StubAnswer::Json(json!({ "access_token": "at", "id_token": "x" })),
    ] {
        let site = site_of_three().await;
        for _ in 0..3 {
            let callback = site.callback(&site.ask().await, "17", "ada@example.com").await;
            site.stub.answer("/token", answer.clone());
            let location = open(&site, &callback).await.expect(303);
            let location = location.header("location").expect("one").to_owned();
            assert!(location.ends_with("error=provider_failed"), "{location}");
        }
        let challenge = site.ask().await;
        let callback = site.callback(&challenge, "17", "ada@example.com").await;
        let asked = site.stub.asked("/token");
        let limited = open(&site, &callback).await.problem(429, "rate_limited");
        assert_eq!(limited.header("RateLimit-Policy"), Some("\"provider_callback\";q=3;w=60"), "{answer:?}");
        assert_eq!((limited.header("Retry-After"), site.stub.asked("/token")), (Some("20"), asked));
        let told = "select count(*) from audit_events where event = 'login_limited'
                    and detail ->> 'limit' = 'provider_callback'";
        eventually("the event", async || count(&site.server, told).await == 1).await;
        // Passwords have a limit of their own.
        let password = json!({ "username": "ada", "password": "no lantern, no weir, no river" });
        let login = Request::post("/session/login").json(&password);
        site.server.send(login).await.problem(401, "invalid_credentials");
        site.server.clock.advance(20 * SECOND);
        let code = returned(&open(&site, &callback).await.expect(303)).1;
        let halves = json!({ "challenge": challenge["challenge"], "code": code });
        site.server.send(Request::post("/session/login").json(&halves)).await.expect(200);
    }
}

#[tokio::test]
async fn a_provider_that_is_away_or_that_somebody_thought_better_of_counts_against_nobody() {
    let site = site_of_three().await;
    for answer in [
        StubAnswer::HangUp,
        StubAnswer::Status(503, json!({})),
        StubAnswer::Status(429, json!({})),
        StubAnswer::Status(401, json!({ "error": "invalid_client" })),
        StubAnswer::Status(503, json!({ "error": "temporarily_unavailable" })),
    ] {
        let callback = site.callback(&site.ask().await, "17", "ada@example.com").await;
        site.stub.answer("/token", answer.clone());
        open(&site, &callback).await.expect(303);
    }
    for _ in 0..4 {
        let state = site.state(&site.ask().await);
        open(&site, &format!("/providers/stub/callback?state={state}&error=access_denied")).await.expect(303);
        open(&site, &format!("/providers/stub/callback?state={state}&code=x"))
            .await
            .problem(400, "malformed_request");
    }
    site.sign_in("17", "ada@example.com").await;
}
