//! Clients that hang up in the middle: what they changed is in the trail, and each of their requests is written down.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::oauth::Service;
use crate::support::{
    PASSWORD, SECOND,
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder},
    proxy::Proxy,
    server::{CHEAP, METRICS, TestServer, credentials, registration},
};

/// How many requests are left alone, to see how long one takes.
const UNDISTURBED: u32 = 3;

/// How many requests of each kind are reset.
const RESETS: u32 = 20;

/// Slow enough that a request is in Postgres' hands for most of its time.
const DELAY: Duration = Duration::from_millis(15);

/// What changes something.
#[derive(Clone, Copy, Debug)]
enum Deed {
    ChangePassword,
    Logout,
    LogoutAll,
    ReuseRefreshToken,
    Register,
    Login,
    EndLogin,
    Revoke,
}

impl Deed {
    fn event(self) -> &'static str {
        match self {
            Self::ChangePassword => "password_changed",
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::ReuseRefreshToken => "refresh_token_reused",
            Self::Register => "registered",
            Self::Login => "login_started",
            Self::EndLogin => "login_ended",
            Self::Revoke => "token_revoked",
        }
    }

    /// How often it was done, as the tables tell.
    fn done(self) -> &'static str {
        match self {
            Self::ChangePassword => "select coalesce(sum(password_version), 0)::bigint from users",
            Self::Register => "select count(*) from users",
            Self::Login => "select count(*) from logins",
            _ => "select count(*) from logins where ended_at is not null",
        }
    }

    /// One that has not been sent before, of somebody of their own.
    async fn request(self, server: &TestServer, service: &Service, number: u32) -> Request {
        let name = format!("{self:?}-{number}");
        if matches!(self, Self::Register) {
            return Request::post("/session/register").json(&registration(&name));
        }
        server.user(&name).await;
        if matches!(self, Self::Login) {
            return Request::post("/jwt/login").json(&credentials(&name));
        }
        let pair = Pair::ALL[number as usize % Pair::ALL.len()];
        let pair =
            if matches!(self, Self::ReuseRefreshToken | Self::Revoke) { Pair::JWT_BEARER } else { pair };
        let mut client = Client::signed_in(server, pair, &name).await;
        match self {
            Self::Register | Self::Login => unreachable!("they are no client's"),
            Self::ChangePassword => {
                let body =
                    json!({ "current_password": PASSWORD, "new_password": "a slow heron beneath the weir" });
                client.request("POST", "/account/password").json(&body)
            }
            Self::Logout => client.request("POST", &client.path("logout")),
            Self::LogoutAll => client.request("POST", &client.path("logout-all")),
            Self::ReuseRefreshToken => {
                let again = client.refresh_request();
                client.refresh().await.ok();
                again
            }
            Self::EndLogin => {
                let path = format!("/account/logins/{}", client.login_id().await);
                let other = Client::signed_in(server, Pair::JWT_BEARER, &name).await;
                other.request("DELETE", &path)
            }
            Self::Revoke => Request::post("/jwt/revoke")
                .basic(&service.id, &service.secret)
                .form(&[("token", &client.renewal())]),
        }
    }
}

async fn count(server: &TestServer, query: &str) -> i64 {
    let query = sqlx::query_scalar(AssertSqlSafe(query));
    query.fetch_one(&mut server.sql().await).await.expect("a number")
}

/// How many requests were answered with this status, or with any.
async fn answered(server: &TestServer, status: Option<u16>) -> f64 {
    let metrics = Request::get("/metrics").send(server.metrics_address().expect("an address")).await.text();
    let of_status = |line: &&str| status.is_none_or(|status| line.contains(&format!("status=\"{status}\"")));
    let samples = metrics.lines().filter(|line| line.starts_with("dualauth_http_requests_total"));
    samples.filter(of_status).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Resets requests on their way, from half of the time that one takes to a little more than all of it.
async fn reset(deed: Deed) {
    let (server, proxy) = TestServer::behind_a_proxy(&[METRICS]).await;
    let service = Service::registered(&server).await;
    let mut requests = Vec::new();
    for number in 0..UNDISTURBED + RESETS {
        requests.push(deed.request(&server, &service, number).await);
    }
    // A refresh token's grace is over.
    server.clock.advance(31 * SECOND);
    proxy.set_delay(DELAY);
    // A connection that lay idle is proved first: that takes longer than usual.
    server.send(Request::get("/health/ready")).await.expect(200);
    let before = answered(&server, None).await;

    // The first may have to connect: the others take less.
    let mut usual = Duration::MAX;
    for _ in 0..UNDISTURBED {
        let began = Instant::now();
        server.send(requests.remove(0)).await;
        usual = usual.min(began.elapsed());
    }
    for (number, request) in (0..).zip(&requests) {
        let after = usual.mul_f64(0.5 + 0.9 * f64::from(number) / f64::from(RESETS));
        request.send_and_reset(server.address(), after).await;
    }

    proxy.set_delay(Duration::ZERO);
    let sent = f64::from(UNDISTURBED + RESETS);
    eventually("each request is counted", async || answered(&server, None).await - before >= sent).await;
    assert_eq!(answered(&server, None).await - before, sent, "{deed:?}");
    let gone = answered(&server, Some(499)).await;
    assert!((1.0..=f64::from(RESETS)).contains(&gone), "{deed:?}: {gone} were gone");
    let done = count(&server, deed.done()).await;
    assert_eq!(done, i64::from(UNDISTURBED + RESETS), "{deed:?}: what was begun is done");
    let events = format!("select count(*) from audit_events where event = '{}'", deed.event());
    eventually("every change is in the trail", async || count(&server, &events).await >= done).await;
    assert_eq!(count(&server, &events).await, done, "{deed:?}");
}

#[tokio::test]
async fn a_change_of_password_whose_client_went_is_in_the_trail() {
    reset(Deed::ChangePassword).await;
}

#[tokio::test]
async fn a_logout_whose_client_went_is_in_the_trail() {
    reset(Deed::Logout).await;
    reset(Deed::LogoutAll).await;
}

#[tokio::test]
async fn a_reused_refresh_token_whose_client_went_is_in_the_trail() {
    reset(Deed::ReuseRefreshToken).await;
}

#[tokio::test]
async fn a_registration_or_login_whose_client_went_is_in_the_trail() {
    reset(Deed::Register).await;
    reset(Deed::Login).await;
}

#[tokio::test]
async fn a_login_that_was_ended_by_who_went_is_in_the_trail() {
    reset(Deed::EndLogin).await;
    reset(Deed::Revoke).await;
}

#[tokio::test]
async fn a_request_that_changes_nothing_and_whose_client_went_is_counted() {
    let (server, proxy) = TestServer::behind_a_proxy(&[METRICS]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    client.get("/account/logins").await.ok();
    proxy.set_delay(SECOND);
    let list = client.request("GET", "/account/logins");
    list.send_and_reset(server.address(), Duration::from_millis(200)).await;
    let gone = r#"dualauth_http_requests_total{method="GET",route="/account/logins",status="499"}"#;
    eventually("it is counted", async || server.metric(gone).await == 1.0).await;
    proxy.set_delay(Duration::ZERO);
}

/// A body that breaks off is waited for no longer, and nothing comes of it.
#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_its_body_leaves_nothing_behind() {
    let server = TestServer::with(&[METRICS]).await;
    let half = Request::post("/session/register")
        .header("Content-Length", "200")
        .json(&json!({ "username": "ada" }));
    half.send_and_reset(server.address(), Duration::from_millis(200)).await;
    let gone = r#"dualauth_http_requests_total{method="POST",route="/session/register",status="499"}"#;
    eventually("it is counted", async || server.metric(gone).await == 1.0).await;
    assert_eq!(count(&server, "select count(*) from users").await, 0);
}

#[tokio::test]
async fn a_change_whose_client_went_is_in_the_trail_though_the_node_is_stopped() {
    let database = Database::migrated().await;
    let proxy = Proxy::in_front_of(&database).await;
    let settings = [CHEAP, &[("DATABASE_URL", proxy.url().as_str()), ("LOG_FORMAT", "json")]].concat();
    let mut server = Server::start(&folder(), &settings).await;
    server.send(Request::post("/session/register").json(&registration("ada"))).await.expect(201);
    let mut client = Client::at_address(server.address(), Pair::JWT_BEARER);
    client.login(&client.pair.credentials("ada")).await.ok();
    let body = json!({ "current_password": PASSWORD, "new_password": "a slow heron beneath the weir" });
    let change = client.request("POST", "/account/password").json(&body);
    proxy.take_statements();
    // It has this statement and another to wait for when it is reset.
    proxy.set_delay(Duration::from_millis(200));
    let begun = eventually("it has begun", async || proxy.take_statements().count("count_own_try") == 1);
    change.send_and_reset_when(server.address(), begun).await;

    server.signal(Signal::TERM);
    assert!(server.child.wait().await.expect("its end").success());

    let mut connection = database.connect().await;
    let told: (i32, i64) = sqlx::query_as(
        "select (select password_version from users),
             (select count(*) from audit_events where event = 'password_changed')",
    )
    .fetch_one(&mut connection)
    .await
    .expect("one user");
    assert_eq!(told, (1, 1), "{}", server.output());
    eventually("its access line", async || {
        server
            .output()
            .lines()
            .any(|line| line.contains("/account/password") && line.contains(r#""status":499"#))
    })
    .await;
}
