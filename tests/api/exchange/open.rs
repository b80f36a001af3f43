//! `GET /session/open`: the first load of an app's web view.

use std::time::Instant;

use super::{hand_off, listed, modes, open, opening, with_token};
use crate::nodes::{assert_refused_in_time, two_nodes};
use crate::support::{
    DAY, MINUTE, SECOND,
    client::{Client, Pair},
    http::Request,
    server::{ONE_NAME, TestServer},
    with,
};

#[tokio::test]
async fn a_web_view_gets_a_session_of_the_apps_login_and_both_go_on() {
    let server = TestServer::start().await;
    server.user("ada").await;
    for pair in [Pair::JWT_BEARER, Pair::JWT_COOKIE] {
        let mut app = Client::signed_in(&server, pair, "ada").await;
        app.bearer.get_or_insert(app.credential());
        server.clock.advance(MINUTE);
        let mut view = Client::new(&server, Pair::SESSION_COOKIE);
        let answer = view.send(opening(&app.credential())).await.not_stored().expect(303);
        assert_eq!(answer.header("location"), Some("/account"));
        assert!(answer.body.is_empty(), "{answer}");
        let [cookie] = &answer.set_cookies()[..] else { panic!("{answer}") };
        assert_eq!((cookie.bare_name(), cookie.path.as_deref()), ("sessionid", Some("/")));
        assert!(cookie.http_only && cookie.max_age.is_none());
        assert_eq!(cookie.same_site.as_deref(), Some("Lax"));

        let (mine, its) = (app.profile().await.ok(), view.profile().await.ok());
        for member in ["login_id", "amr", "acr", "auth_time"] {
            assert_eq!(its["auth"][member], mine["auth"][member], "{member}");
        }
        assert_eq!(modes(&app).await, ["jwt", "session"]);
        let view = open(&server, &app).await;
        view.assert_goes_on().await;
    }
    let last = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    assert_eq!(listed(&last).await.len(), 3, "no login came of it");
}

#[tokio::test]
async fn an_earlier_session_of_the_login_is_dead_at_once_on_every_node() {
    let (server, elsewhere) = two_nodes(&[]).await;
    // Of a login that began as a session, of one that was handed off, and of one that was opened.
    for kind in 0..3 {
        let name = format!("user-{kind}");
        let (app, mut earlier) = match kind {
            0 => {
                let session = Client::of_new_user(&server, Pair::SESSION_BEARER, &name).await;
                (with_token(&server, &session).await, session)
            }
            1 => {
                let app = Client::of_new_user(&server, Pair::JWT_BEARER, &name).await;
                let session = hand_off(&server, &app, Pair::SESSION_COOKIE).await;
                (app, session)
            }
            _ => {
                let app = Client::of_new_user(&server, Pair::JWT_BEARER, &name).await;
                let session = open(&server, &app).await;
                (app, session)
            }
        };
        let first = earlier.clone();
        earlier.refresh().await.ok();
        for client in [&first, &earlier] {
            client.at(&elsewhere).profile().await.ok();
        }
        let view = open(&server, &app).await;
        let acknowledged = Instant::now();
        for client in [&first, &earlier] {
            client.assert_refused(super::dead(client.pair)).await;
            assert_refused_in_time(&client.at(&elsewhere), acknowledged).await;
        }
        for node in [&server, &elsewhere] {
            view.at(node).profile().await.ok();
            app.at(node).profile().await.ok();
        }
        view.at(&elsewhere).assert_goes_on().await;
        if app.refresh_token.is_some() {
            app.assert_goes_on().await;
        }
    }
}

#[tokio::test]
async fn only_an_access_token_in_the_header_opens_one() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let refused = async |request: Request, code: &str| {
        let answer = server.send(request).await.problem(401, code);
        assert_eq!(answer.set_cookies(), []);
    };
    for pair in [Pair::SESSION_COOKIE, Pair::JWT_COOKIE] {
        let browser = Client::signed_in(&server, pair, "ada").await;
        refused(browser.request("GET", "/session/open?to=/account"), "not_authenticated").await;
        // Nor does its cookie come instead of a bad token, or get in the way of a good one.
        let cookies = browser.request("GET", "/session/open?to=/account");
        refused(cookies.clone().bearer("x"), "invalid_token").await;
        let app = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
        server.send(cookies.bearer(&app.credential())).await.expect(303);
        browser.profile().await.ok();
    }
    let session = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    refused(opening(&session.credential()), "invalid_token").await;
    let app = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    refused(opening(&app.renewal()), "invalid_token").await;
    refused(Request::get("/session/open?to=/"), "not_authenticated").await;
    server.send(opening("a b")).await.problem(400, "malformed_request");
    let mut app = app;
    server.clock.advance(15 * MINUTE);
    refused(opening(&app.credential()), "token_expired").await;
    app.refresh().await.ok();
    let token = app.credential();
    app.logout().await.expect(204);
    refused(opening(&token), "token_revoked").await;
}

#[tokio::test]
async fn it_answers_get_alone_and_a_page_of_another_site_can_t_ask_for_it() {
    let server = TestServer::start().await;
    let app = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let path = "/session/open?to=/account";
    for method in ["HEAD", "POST", "PUT", "DELETE"] {
        let answer = server.send(app.request(method, path)).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, OPTIONS"), "{method}");
        assert_eq!(answer.set_cookies(), []);
    }
    assert_eq!(modes(&app).await, ["jwt"], "nothing has happened");
    let preflight = Request::new("OPTIONS", path)
        .header("Origin", "https://evil.example.org")
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "authorization");
    server.send(preflight).await.problem(403, "cross_origin");
}

#[tokio::test]
async fn it_leads_to_a_path_of_this_host_and_nowhere_else() {
    let server = TestServer::start().await;
    let app = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let to = |query: &str| Request::get(&format!("/session/open{query}")).bearer(&app.credential());
    for wrong in [
        "",
        "?to=",
        "?to=account",
        "?to=//evil.example.org",
        "?to=/%2Fevil.example.org",
        "?to=/%5Cevil.example.org",
        "?to=https://evil.example.org",
        "?to=/%09/evil.example.org",
        "?to=/a%0d%0aSet-Cookie:x=y",
        "?to=/%00",
        "?to=%20/a",
        "?to=javascript:alert(1)",
        "?to=/a&to=/b",
        "?to=/a&x=1",
        "?to=/a%7F",
    ] {
        let answer = server.send(to(wrong)).await.problem(422, "validation_failed");
        assert_eq!((answer.set_cookies(), answer.header("location")), (vec![], None), "{wrong}");
    }
    assert_eq!(modes(&app).await, ["jwt"], "nothing has happened");
    for (query, location) in [
        ("?to=/", "/"),
        ("?to=/a/b", "/a/b"),
        ("?to=%2Fa%3Fb%3Dc%26d%23e", "/a?b=c&d#e"),
        ("?to=/K%C3%B6ln%20S%C3%BCd", "/K%C3%B6ln%20S%C3%BCd"),
    ] {
        let answer = server.send(to(query)).await.expect(303);
        assert_eq!(answer.header("location"), Some(location), "{query}");
        assert!(answer.set_cookies()[0].http_only);
    }
}

#[tokio::test]
async fn a_remembered_logins_cookie_is_kept_as_long_as_the_login() {
    let server = TestServer::with(&[("PUBLIC_URL", "https://auth.example.org")]).await;
    server.user("ada").await;
    let mut app = Client::new(&server, Pair::JWT_BEARER);
    app.login(&with(Pair::JWT_BEARER.credentials("ada"), "remember_me", true)).await.ok();
    server.clock.advance(10 * DAY);
    app.refresh().await.ok();
    let answer = server.send(opening(&app.credential())).await.expect(303);
    let [cookie] = &answer.set_cookies()[..] else { panic!("{answer}") };
    assert_eq!(cookie.name, "__Host-sessionid");
    assert!(cookie.secure && cookie.http_only);
    assert_eq!(cookie.max_age, i64::try_from((80 * DAY).as_secs()).ok());
}

#[tokio::test]
async fn the_one_that_was_opened_keeps_the_app_s_login_from_being_idle() {
    let server = TestServer::with(&[ONE_NAME]).await;
    let mut app = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    let mut view = open(&server, &app).await;
    for _ in 0..3 {
        server.clock.advance(29 * MINUTE);
        view.refresh().await.ok();
    }
    server.clock.advance(29 * MINUTE);
    app.refresh().await.ok();
    server.clock.advance(30 * MINUTE + SECOND);
    view.profile().await.problem(401, "session_expired");
}
