//! What signing in gives, and to whom.

use serde_json::{Value, json};

use crate::support::{
    DAY, HOUR, MINUTE, PASSWORD, assert_members,
    client::{Client, Mode, Pair, Transport},
    http::Request,
    server::{TestServer, beginning, credentials, registration},
    text, time, with,
};

promises! { of every pair:
    a_login_answers_exactly_what_its_kind_needs,
    a_login_lives_half_an_hour_idle_and_a_day_in_all,
    a_remembered_login_lives_14_days_idle_and_90_in_all,
    a_user_is_known_by_name_and_email_in_any_letter_case,
    white_space_around_a_name_is_none_of_it,
    a_wrong_name_and_a_wrong_password_look_the_same,
    every_login_is_another_one,
}

promises! { of every mode:
    a_mode_has_its_own_default_transport,
    a_login_by_bearer_leaves_the_cookies_login_alone,
    a_short_password_is_a_wrong_one,
}

promises! { of every cookie:
    a_login_by_cookie_ends_the_one_that_came_with_it,
    a_failed_login_ends_nothing,
    a_login_leaves_the_other_modes_cookie_alone,
}

/// The members of a login's answer, for one kind of client.
pub fn members(pair: Pair) -> &'static [&'static str] {
    match (pair.mode, pair.transport) {
        (Mode::Session, Transport::Cookie) => &["user", "login", "csrf_token"],
        (Mode::Session, Transport::Bearer) => &["user", "login", "session_token", "token_type"],
        (Mode::Jwt, Transport::Cookie) => &["user", "login", "csrf_token", "expires_in"],
        (Mode::Jwt, Transport::Bearer) => &[
            "user",
            "login",
            "access_token",
            "token_type",
            "expires_in",
            "refresh_token",
            "refresh_expires_in",
        ],
    }
}

async fn a_login_answers_exactly_what_its_kind_needs(pair: Pair) {
    let server = TestServer::start().await;
    let user = Request::post("/session/register").json(&registration("ada"));
    let user = server.send(user).await.json();
    let mut client = Client::new(&server, pair);

    let response = client.login(&pair.credentials("ada")).await.not_stored();

    let cookies = response.set_cookies();
    let words = response.text();
    let body = response.ok();
    assert_members(&body, members(pair));
    assert_eq!(body["user"], user);
    assert_members(
        &body["login"],
        &["id", "mode", "transport", "remember_me", "created_at", "idle_expires_at", "expires_at"],
    );
    text(&body["login"]["id"]).parse::<uuid::Uuid>().expect("an id that is a UUID");
    assert_eq!(body["login"]["mode"], pair.mode.name());
    assert_eq!(body["login"]["transport"], pair.transport.name());
    assert_eq!(body["login"]["remember_me"], false);
    if pair.mode == Mode::Jwt {
        assert_eq!(body["expires_in"], 900);
    }
    if pair.by_cookie() {
        let names: Vec<&str> = cookies.iter().map(|cookie| cookie.name.as_str()).collect();
        assert_eq!(names, pair.mode.cookie_names());
        for cookie in cookies {
            assert!(!words.contains(&cookie.value), "{words}");
        }
    } else {
        assert_eq!(cookies, []);
        assert_eq!(body["token_type"], "Bearer");
    }
    if pair == Pair::JWT_BEARER {
        assert_eq!(body["refresh_expires_in"], 86_400);
    }
}

async fn a_login_lives_half_an_hour_idle_and_a_day_in_all(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;

    let body = Client::new(&server, pair).login(&pair.credentials("ada")).await.ok();

    let login = &body["login"];
    assert_eq!(time(&login["created_at"]), beginning());
    assert_eq!(time(&login["idle_expires_at"]), beginning() + 30 * MINUTE);
    assert_eq!(time(&login["expires_at"]), beginning() + 24 * HOUR);
}

async fn a_remembered_login_lives_14_days_idle_and_90_in_all(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;

    let body = with(pair.credentials("ada"), "remember_me", true);
    let body = Client::new(&server, pair).login(&body).await.ok();

    let login = &body["login"];
    assert_eq!(login["remember_me"], true);
    assert_eq!(time(&login["idle_expires_at"]), beginning() + 14 * DAY);
    assert_eq!(time(&login["expires_at"]), beginning() + 90 * DAY);
    if pair == Pair::JWT_BEARER {
        assert_eq!(body["refresh_expires_in"], 90 * 86_400);
        assert_eq!(body["expires_in"], 900);
    }
}

async fn white_space_around_a_name_is_none_of_it(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;

    for name in [" ada ", "ada\t", "\u{a0}ada@example.org", "\n Ada\u{2003}\u{3000}"] {
        let body = with(pair.credentials("ada"), "username", name);
        Client::new(&server, pair).login(&body).await.ok();
    }
    for (name, password) in
        [("a da", PASSWORD), ("", PASSWORD), (" ", PASSWORD), (" ada ", " a quiet lantern over the weir ")]
    {
        let body = with(with(pair.credentials("ada"), "username", name), "password", password);
        Client::new(&server, pair).login(&body).await.problem(401, "invalid_credentials");
    }
}

async fn a_user_is_known_by_name_and_email_in_any_letter_case(pair: Pair) {
    let server = TestServer::start().await;
    let user = json!({ "username": "Ada_L", "email": "Ada@Example.org", "password": PASSWORD });
    let user = Request::post("/jwt/register").json(&user);
    let user = server.send(user).await.expect(201).json();

    for name in ["Ada_L", "ada_l", "ADA_L", "Ada@Example.org", "ada@example.ORG"] {
        let body = with(pair.credentials("-"), "username", name);
        let body = Client::new(&server, pair).login(&body).await.ok();
        assert_eq!(body["user"], user);
    }
}

async fn a_wrong_name_and_a_wrong_password_look_the_same(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let attempt = async |body: Value| {
        let response = Client::new(&server, pair).login(&body).await;
        let response = response.problem(401, "invalid_credentials");
        response.blames_a_token(false).but_for_the_date()
    };

    let wrong = "another lantern over the weir";
    let known = attempt(with(pair.credentials("ada"), "password", wrong)).await;

    for name in ["grace", "ada@example.com", "ad", "nobody of this name", "ädä", ""] {
        let unknown = attempt(with(pair.credentials(name), "password", wrong)).await;
        assert_eq!(unknown, known);
    }
}

async fn every_login_is_another_one(pair: Pair) {
    let server = TestServer::start().await;
    let one = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;

    assert_ne!(one.credential(), other.credential());
    assert_ne!(one.renewal(), other.renewal());
    assert_ne!(one.login_id().await, other.login_id().await);
}

async fn a_mode_has_its_own_default_transport(mode: Mode) {
    let server = TestServer::start().await;
    server.user("ada").await;

    let login = Request::post(&mode.path("login")).json(&credentials("ada"));
    let body = server.send(login).await.ok();

    let default = match mode {
        Mode::Session => Transport::Cookie,
        Mode::Jwt => Transport::Bearer,
    };
    assert_eq!(body["login"]["transport"], default.name());
    assert_members(&body, members(mode.by(default)));
}

async fn a_short_password_is_a_wrong_one(mode: Mode) {
    let server = TestServer::start().await;
    server.user("ada").await;
    for password in ["", "x"] {
        let body = with(credentials("ada"), "password", password);
        let login = Request::post(&mode.path("login")).json(&body);
        server.send(login).await.problem(401, "invalid_credentials");
    }
}

async fn a_login_by_cookie_ends_the_one_that_came_with_it(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    server.user("grace").await;
    let elsewhere = Client::signed_in(&server, pair, "ada").await;
    let before = client.clone();

    // No CSRF token: nobody is authenticated by the cookie here.
    client.csrf_token = None;
    client.login(&pair.credentials("grace")).await.ok();

    before.assert_refused(pair.mode.ended()).await;
    elsewhere.profile().await.ok();
    assert_eq!(client.profile().await.ok()["username"], "grace");
}

#[tokio::test]
async fn a_login_by_cookie_ends_the_one_whose_access_token_has_gone() {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    let before = client.clone();

    client.jar.remove("access_token");
    client.login(&client.pair.credentials("ada")).await.ok();

    before.assert_refused("token_revoked").await;
    client.profile().await.ok();
}

async fn a_failed_login_ends_nothing(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;

    let wrong = with(pair.credentials("ada"), "password", "no lantern, no weir");
    let response = client.login(&wrong).await;

    let response = response.problem(401, "invalid_credentials");
    assert_eq!(response.set_cookies(), []);
    client.profile().await.ok();
}

async fn a_login_leaves_the_other_modes_cookie_alone(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let other = match pair.mode {
        Mode::Session => Pair::JWT_COOKIE,
        Mode::Jwt => Pair::SESSION_COOKIE,
    };

    let path = other.mode.path("login");
    let cookies = client.jar.header_for(&client.path("login"));
    let login =
        Request::post(&path).header("Cookie", cookies.expect("cookies")).json(&other.credentials("ada"));
    server.send(login).await.ok();

    client.profile().await.ok();
}

async fn a_login_by_bearer_leaves_the_cookies_login_alone(mode: Mode) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, mode.by(Transport::Cookie), "ada").await;
    let browser = client.clone();

    let body = mode.by(Transport::Bearer).credentials("ada");
    let response = client.login(&body).await;

    assert_eq!(response.set_cookies(), []);
    response.ok();
    browser.profile().await.ok();
}
