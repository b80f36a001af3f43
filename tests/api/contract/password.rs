//! Another password, and what becomes of the logins that the old one began.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::nodes::sql;
use crate::support::{
    MINUTE, PASSWORD, SECOND,
    client::{Client, Pair},
    eventually,
    http::{Request, Response},
    server::{ONE_NAME, TestServer, credentials, registration},
    with, without,
};

promises! { of every pair:
    who_has_no_password_sets_one_on_a_fresh_login_alone,
    a_change_of_the_password_ends_every_other_login,
    a_change_of_the_password_holds_on_every_node,
    the_new_password_signs_in_and_the_old_one_does_not,
    a_wrong_current_password_changes_nothing,
    a_new_password_is_what_a_registration_takes,
    a_change_of_the_password_has_exactly_its_two_members,
    the_current_password_is_the_same_in_every_form_of_its_characters,
    of_two_changes_at_once_one_wins,
    a_login_with_the_old_password_never_survives_its_change,
    a_refresh_never_outlives_a_change_of_the_password,
}

promises! { of every cookie:
    a_cookie_changes_no_password_without_its_csrf_token,
}

const NEW: &str = "another lantern, another weir";

fn change(current: &str, new: &str) -> Value {
    json!({ "current_password": current, "new_password": new })
}

async fn send(server: &TestServer, client: &Client, body: &Value) -> Response {
    server.send(client.request("POST", "/account/password").json(body)).await
}

async fn signs_in(server: &TestServer, pair: Pair, password: &str) {
    let body = with(pair.credentials("ada"), "password", password);
    Client::new(server, pair).login(&body).await.ok();
}

async fn does_not_sign_in(server: &TestServer, pair: Pair, password: &str) {
    let body = with(pair.credentials("ada"), "password", password);
    Client::new(server, pair).login(&body).await.problem(401, "invalid_credentials");
}

async fn a_change_of_the_password_ends_every_other_login(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let mine = Client::in_every_way(&server, "ada").await;
    server.user("grace").await;
    let theirs = Client::in_every_way(&server, "grace").await;
    for device in mine.iter().chain(&theirs) {
        device.profile().await.ok();
    }

    let response = send(&server, &client, &change(PASSWORD, NEW)).await.expect(204);

    assert_eq!((response.text(), response.set_cookies()), (String::new(), Vec::new()));
    for device in mine {
        device.assert_refused(device.pair.mode.ended()).await;
    }
    for device in theirs.into_iter().chain([client]) {
        device.assert_goes_on().await;
    }
}

async fn a_change_of_the_password_holds_on_every_node(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let other = server.another_node().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let devices = Client::in_every_way(&other, "ada").await;
    for device in &devices {
        device.profile().await.ok();
    }
    client.at(&other).profile().await.ok();

    send(&server, &client, &change(PASSWORD, NEW)).await.expect(204);

    for device in devices {
        eventually("the other node's refusal", async || device.profile().await.status == 401).await;
        device.assert_refused(device.pair.mode.ended()).await;
    }
    client.at(&other).assert_goes_on().await;
}

async fn the_new_password_signs_in_and_the_old_one_does_not(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;

    send(&server, &client, &change(PASSWORD, NEW)).await.expect(204);

    for pair in Pair::ALL {
        does_not_sign_in(&server, pair, PASSWORD).await;
        signs_in(&server, pair, NEW).await;
    }
    // And so on: the login that goes on can change it again.
    send(&server, &client, &change(PASSWORD, "a third lantern, no weir"))
        .await
        .problem(403, "invalid_credentials");
    send(&server, &client, &change(NEW, PASSWORD)).await.expect(204);
    signs_in(&server, pair, PASSWORD).await;
}

async fn a_wrong_current_password_changes_nothing(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;

    let too_long = "x".repeat(1_025);
    for wrong in ["", "x", NEW, &PASSWORD.to_uppercase(), &format!("{PASSWORD} "), &too_long] {
        let response = send(&server, &client, &change(wrong, NEW)).await;
        response.problem(403, "invalid_credentials");
        server.clock.advance(20 * SECOND);
    }

    does_not_sign_in(&server, pair, NEW).await;
    signs_in(&server, pair, PASSWORD).await;
    for device in [client, other] {
        device.assert_goes_on().await;
    }
}

async fn a_new_password_is_what_a_registration_takes(pair: Pair) {
    let server = TestServer::with(&[("PASSWORD_MIN_LENGTH", "8")]).await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;
    let longest = format!("{NEW:x<1024}");

    for bad in [
        "",
        "weirlam",
        "password",
        "Password1",
        "ｐａｓｓｗｏｒｄ",
        &format!("{longest}x"),
        "e\u{301}e\u{301}e\u{301}e\u{301}", // 8 code points before NFKC, 4 after
    ] {
        send(&server, &client, &change(PASSWORD, bad)).await.points_at(&["/new_password"]);
    }
    other.profile().await.ok();
    signs_in(&server, pair, PASSWORD).await;

    send(&server, &client, &change(PASSWORD, &longest)).await.expect(204);
    signs_in(&server, pair, &longest).await;
    does_not_sign_in(&server, pair, &longest[..1_023]).await;
}

async fn a_change_of_the_password_has_exactly_its_two_members(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let good = change(PASSWORD, NEW);

    for member in ["current_password", "new_password"] {
        let pointer = format!("/{member}");
        send(&server, &client, &without(good.clone(), member)).await.points_at(&[&pointer]);
        for wrong in [json!(null), json!(1), json!([NEW]), json!("a lantern\0over the weir")] {
            send(&server, &client, &with(good.clone(), member, wrong)).await.points_at(&[&pointer]);
        }
        let again = format!("{{\"{member}\":\"{NEW}\",{}", &good.to_string()[1..]);
        let request = client.request("POST", "/account/password").body("application/json", again);
        server.send(request).await.points_at(&[&pointer]);
    }
    send(&server, &client, &with(good.clone(), "username", "grace")).await.points_at(&["/username"]);
    send(&server, &client, &json!([PASSWORD, NEW])).await.points_at(&[""]);

    let request = client.request("POST", "/account/password");
    for (kind, body, status, code) in [
        ("application/json", "{", 400, "malformed_request"),
        ("application/json", "", 400, "malformed_request"),
        ("text/plain", &good.to_string(), 415, "unsupported_media_type"),
        ("application/json", &format!("{:<16385}", good.to_string()), 413, "payload_too_large"),
    ] {
        server.send(request.clone().body(kind, body)).await.problem(status, code);
    }

    signs_in(&server, pair, PASSWORD).await;
    send(&server, &client, &good).await.expect(204);
}

async fn the_current_password_is_the_same_in_every_form_of_its_characters(pair: Pair) {
    let server = TestServer::start().await;
    let body = with(registration("ada"), "password", "cafe\u{301} under the weir");
    server.send(Request::post("/session/register").json(&body)).await.expect(201);
    let mut client = Client::new(&server, pair);
    client.login(&with(pair.credentials("ada"), "password", "caf\u{e9} under the weir")).await.ok();

    let body = change("ｃａｆｅ\u{301} under the weir", "cafe\u{301} above the weir");
    send(&server, &client, &body).await.expect(204);

    for written in ["caf\u{e9} above the weir", "cafe\u{301} above the weir", "ｃａｆé above the weir"] {
        signs_in(&server, pair, written).await;
    }
}

async fn of_two_changes_at_once_one_wins(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let wishes: Vec<String> = (0..3).map(|number| format!("lantern {number} over the weir")).collect();

    let changes = wishes.iter().map(async |wish| send(&server, &client, &change(PASSWORD, wish)).await);
    let answers = join_all(changes).await;

    let (won, lost): (Vec<_>, Vec<_>) =
        wishes.iter().zip(answers).partition(|(_, response)| response.status == 204);
    assert_eq!(won.len(), 1, "{won:?}");
    for (wish, response) in lost {
        response.problem(403, "invalid_credentials");
        does_not_sign_in(&server, pair, wish).await;
    }
    does_not_sign_in(&server, pair, PASSWORD).await;
    signs_in(&server, pair, won[0].0).await;
    client.assert_goes_on().await;
}

async fn a_login_with_the_old_password_never_survives_its_change(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let node = server.another_node().await;
    let client = Client::of_new_user(&server, pair, "ada").await;

    let (mut old, mut new) = (PASSWORD.to_owned(), NEW.to_owned());
    let mut begun = 0;
    for _ in 0..6 {
        let logins = (0..16).map(|number| {
            let server = if number % 4 < 3 { &server } else { &node };
            let pair = Pair::ALL[number % 4];
            let body = with(pair.credentials("ada"), "password", old.as_str());
            async move {
                let mut client = Client::new(server, pair);
                let response = client.login(&body).await;
                (response.status == 200).then_some(client)
            }
        });
        let wish = change(&old, &new);
        let (logins, changed) = join(join_all(logins), send(&server, &client, &wish)).await;
        changed.expect(204);

        for login in logins.into_iter().flatten() {
            begun += 1;
            login.at(&server).assert_refused(login.pair.mode.ended()).await;
        }
        client.profile().await.ok();
        std::mem::swap(&mut old, &mut new);
    }

    // Else there was no race.
    assert!(begun > 0);
    client.assert_goes_on().await;
}

async fn a_refresh_never_outlives_a_change_of_the_password(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;

    let (mut old, mut new) = (PASSWORD.to_owned(), NEW.to_owned());
    for _ in 0..4 {
        let mut devices = Vec::new();
        for pair in Pair::ALL {
            let mut device = Client::new(&server, pair);
            device.login(&with(pair.credentials("ada"), "password", old.as_str())).await.ok();
            devices.push(device);
        }
        let before = devices.clone();
        let refreshes = devices.iter_mut().map(Client::refresh);
        let wish = change(&old, &new);
        let (_, changed) = join(join_all(refreshes), send(&server, &client, &wish)).await;
        changed.expect(204);

        for device in before.into_iter().chain(devices) {
            assert_eq!(device.profile().await.status, 401, "{:?}", device.pair);
            assert_eq!(device.clone().refresh().await.status, 401, "{:?}", device.pair);
        }
        std::mem::swap(&mut old, &mut new);
    }
    client.assert_goes_on().await;
}

async fn a_cookie_changes_no_password_without_its_csrf_token(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;
    let body = change(PASSWORD, NEW);

    let bare = client.without_csrf("POST", "/account/password").json(&body);
    server.send(bare.clone()).await.problem(403, "csrf_failed");
    let neighbours = other.csrf_token.clone().expect("a CSRF token");
    server.send(bare.header("X-CSRF-Token", neighbours)).await.problem(403, "csrf_failed");
    let foreign = client.request("POST", "/account/password").header("Origin", "https://evil.example.org");
    server.send(foreign.json(&body)).await.problem(403, "cross_origin");

    other.profile().await.ok();
    server.send(Request::post("/session/login").json(&credentials("ada"))).await.ok();
    send(&server, &client, &body).await.expect(204);
}

async fn who_has_no_password_sets_one_on_a_fresh_login_alone(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;
    let set = json!({ "new_password": NEW });
    send(&server, &client, &set).await.points_at(&["/current_password"]);
    for none in ["null", "'!'"] {
        let without = format!("update users set password_hash = {none}");
        sql(&server, &without).await;
        // Nor is anything a password that nobody has.
        for no_password in ["", "!", PASSWORD] {
            send(&server, &client, &change(no_password, NEW)).await.problem(403, "invalid_credentials");
            does_not_sign_in(&server, pair, no_password).await;
        }
        server.clock.advance(11 * MINUTE);
        client.refresh().await.ok();
        let stale = send(&server, &client, &set).await.problem(401, "insufficient_user_authentication");
        let challenge = r#"Bearer error="insufficient_user_authentication", max_age="600""#;
        assert_eq!(stale.header("www-authenticate"), Some(challenge));
        assert_eq!(stale.json()["methods"], json!([]));
        assert_eq!(stale.json()["max_age"], 600);
        // As whatever proves it otherwise would have it.
        let fresh = format!("update logins set auth_time = '{}'", server.clock.now().to_rfc3339());
        sql(&server, &fresh).await;
        client.refresh().await.ok();
    }
    send(&server, &client, &json!({ "new_password": "short" })).await.points_at(&["/new_password"]);

    eventually("a fresh login", async || send(&server, &client, &set).await.status == 204).await;

    other.assert_refused(pair.mode.ended()).await;
    signs_in(&server, pair, NEW).await;
    send(&server, &client, &set).await.points_at(&["/current_password"]);
    client.assert_goes_on().await;
}
