//! Who can have an account, and how it is asked for.

use serde_json::Value;

use crate::support::{
    PASSWORD, assert_members,
    client::{Client, Mode, Transport},
    http::{Request, Response},
    server::{TestServer, beginning, credentials, registration},
    text, time, with,
};

promises! { of every mode:
    a_new_user_is_shown_and_not_signed_in,
    a_user_may_sign_in_in_either_mode,
    a_username_is_3_to_64_of_its_characters,
    an_email_is_ascii_with_one_at_and_a_domain,
    a_password_has_15_code_points_after_nfkc,
    a_password_has_at_most_1024_bytes_after_nfkc,
    a_password_needs_no_mixture,
    a_password_is_the_same_in_every_form_of_its_characters,
    a_password_is_never_cut,
    a_common_password_is_refused,
    the_shortest_password_is_a_setting,
    every_fault_is_pointed_at,
    a_taken_name_or_email_is_a_conflict,
    a_name_is_taken_once,
    who_gives_no_username_gets_one_of_the_address,
    a_derived_username_is_nobody_elses_also_at_the_same_moment,
}

async fn register(server: &TestServer, mode: Mode, body: &Value) -> Response {
    let request = Request::post(&mode.path("register")).json(body);
    server.send(request).await
}

async fn accepts(server: &TestServer, mode: Mode, body: &Value) {
    register(server, mode, body).await.expect(201);
}

async fn refuses(server: &TestServer, mode: Mode, body: &Value, pointer: &str) {
    register(server, mode, body).await.points_at(&[pointer]);
}

async fn a_new_user_is_shown_and_not_signed_in(mode: Mode) {
    let server = TestServer::start().await;

    let response = register(&server, mode, &registration("ada")).await;

    let response = response.expect(201).not_stored();
    assert_eq!(response.set_cookies(), []);
    let user = response.json();
    assert_members(&user, &["user_id", "username", "email", "email_verified", "roles", "created_at"]);
    text(&user["user_id"]).parse::<uuid::Uuid>().expect("an id that is a UUID");
    assert_eq!(user["username"], "ada");
    assert_eq!(user["email"], "ada@example.org");
    assert!(user["roles"].is_array());
    assert_eq!(time(&user["created_at"]), beginning());
}

async fn a_user_may_sign_in_in_either_mode(mode: Mode) {
    let server = TestServer::start().await;
    let user = register(&server, mode, &registration("ada")).await.json();

    for other in Mode::ALL {
        let login = Request::post(&other.path("login")).json(&credentials("ada"));
        let login = server.send(login).await.ok();
        assert_eq!(login["user"], user);
    }
}

async fn a_username_is_3_to_64_of_its_characters(mode: Mode) {
    let server = TestServer::start().await;

    let longest = "x".repeat(64);
    for (number, name) in ["abc", "aZ09_.-+", "...", longest.as_str()].iter().enumerate() {
        let body = with(registration(&format!("mail{number}")), "username", *name);
        accepts(&server, mode, &body).await;
    }
    let too_long = "x".repeat(65);
    for name in [
        "",
        "ab",
        &too_long,
        "ada l",
        " ada",
        "ada ",
        "ada\n",
        "adä",
        "ａｄａ",
        "ada@b",
        "ada/b",
        "ada,b",
        "ada:b",
    ] {
        let body = with(registration("refused"), "username", name);
        refuses(&server, mode, &body, "/username").await;
    }
}

async fn an_email_is_ascii_with_one_at_and_a_domain(mode: Mode) {
    let server = TestServer::start().await;

    for (number, email) in ["ada@example.org", "a.b+c_d-e@mail.example.org"].iter().enumerate() {
        let body = with(registration(&format!("user{number}")), "email", *email);
        accepts(&server, mode, &body).await;
    }
    for email in [
        "",
        "ada",
        "ada.example.org",
        "ada@",
        "@example.org",
        "ada@b@example.org",
        "adä@example.org",
        "ada@exämple.org",
        "ada@example.org\n",
        "ada lovelace@example.org",
    ] {
        let body = with(registration("refused"), "email", email);
        refuses(&server, mode, &body, "/email").await;
    }
}

async fn a_password_has_15_code_points_after_nfkc(mode: Mode) {
    let server = TestServer::start().await;

    let plain = "wrenocalmsupiky";
    let accented: String = plain.chars().map(|letter| format!("{letter}\u{301}")).collect();
    let emoji: String = ('\u{1f400}'..'\u{1f40f}').collect();
    for (number, (password, one)) in [
        (plain, 1),
        (&accented, 2),       // 30 code points before, 15 after
        (&emoji, 1),          // 60 bytes
        ("№™㎏㎝㎜㎞㎁x", 1), // 8 code points before, 15 after
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{number}");
        accepts(&server, mode, &with(registration(&name), "password", password)).await;
        let shorter: String = password.chars().take(password.chars().count() - one).collect();
        refuses(&server, mode, &with(registration("refused"), "password", shorter), "/password").await;
    }
    refuses(&server, mode, &with(registration("refused"), "password", ""), "/password").await;
}

async fn a_password_has_at_most_1024_bytes_after_nfkc(mode: Mode) {
    let server = TestServer::start().await;

    let plain = format!("{PASSWORD:x<1024}");
    // Three bytes each that are one after.
    let wide: String = plain.chars().map(|it| it.to_string().replace('x', "ｘ")).collect();
    // Three bytes each that are 33 after.
    let growing = format!("{PASSWORD}{}xxxxx", "\u{fdfa}".repeat(30));
    for (number, password) in [plain, wide, growing].into_iter().enumerate() {
        let name = format!("user{number}");
        accepts(&server, mode, &with(registration(&name), "password", password.as_str())).await;
        let longer = format!("{password}x");
        refuses(&server, mode, &with(registration("refused"), "password", longer), "/password").await;
    }
}

async fn a_password_needs_no_mixture(mode: Mode) {
    let server = TestServer::start().await;

    for (number, password) in
        ["thelanternovertheweir", "582047139660284", "  a lantern in its spaces  ", "фонарь над запрудой"]
            .iter()
            .enumerate()
    {
        let name = format!("user{number}");
        let body = with(registration(&name), "password", *password);
        accepts(&server, mode, &body).await;
    }
}

async fn a_common_password_is_refused(mode: Mode) {
    let server = TestServer::with(&[("PASSWORD_MIN_LENGTH", "8")]).await;

    for password in [
        "password",
        "Password",
        "ｐａｓｓｗｏｒｄ",
        "12345678",
        "1234567890",
        "password1",
        "iloveyou",
        "sunshine",
        "princess",
        "football",
        "qwertyuiop",
        // Long enough for the default, and common all the same.
        "123456789012345",
        "passwordpassword",
    ] {
        let body = with(registration("refused"), "password", password);
        refuses(&server, mode, &body, "/password").await;
    }
}

async fn the_shortest_password_is_a_setting(mode: Mode) {
    let server = TestServer::with(&[("PASSWORD_MIN_LENGTH", "9")]).await;

    let body = with(registration("ada"), "password", "weirlamp");
    refuses(&server, mode, &body, "/password").await;
    let body = with(registration("ada"), "password", "weirlamps");
    accepts(&server, mode, &body).await;
}

async fn every_fault_is_pointed_at(mode: Mode) {
    let server = TestServer::start().await;
    let body = serde_json::json!({ "username": "a", "email": "b", "password": "c" });

    let response = register(&server, mode, &body).await;

    response.points_at(&["/email", "/password", "/username"]);
}

async fn a_taken_name_or_email_is_a_conflict(mode: Mode) {
    let server = TestServer::start().await;
    server.user("ada").await;

    for (member, taken) in
        [("username", "ada"), ("username", "ADA"), ("email", "ada@example.org"), ("email", "Ada@Example.ORG")]
    {
        let body = with(registration("grace"), member, taken);
        register(&server, mode, &body).await.problem(409, "conflict");
    }
    let login = Request::post("/session/login").json(&credentials("grace"));
    server.send(login).await.problem(401, "invalid_credentials");
}

async fn a_name_is_taken_once(mode: Mode) {
    let server = TestServer::start().await;
    let request = Request::post(&mode.path("register")).json(&registration("ada"));

    let attempts = (0..8).map(|_| server.send(request.clone()));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(attempts).await.iter().map(|response| response.status).collect();

    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
}

async fn who_gives_no_username_gets_one_of_the_address(mode: Mode) {
    let server = TestServer::start().await;
    server.user("grace").await;

    for (email, expected) in [
        ("ada@example.org", "ada"),
        ("ADA@example.com", "ADA-2"),
        ("ada@example.net", "ada-3"),
        ("grace@example.com", "grace-2"),
        ("Ada.Lovelace+news@example.org", "Ada.Lovelace+news"),
        ("me@example.org", "user-me"),
        ("o'brien@example.org", "obrien"),
    ] {
        let body = serde_json::json!({ "email": email, "password": PASSWORD });
        let user = register(&server, mode, &body).await.expect(201).json();
        assert_eq!(user["username"], expected, "{email}");
        let login = Request::post(&mode.path("login")).json(&credentials(expected));
        assert_eq!(server.send(login).await.ok()["user"], user);
    }
    let body = serde_json::json!({ "email": "Ada@example.org", "password": PASSWORD });
    register(&server, mode, &body).await.problem(409, "conflict");
}

async fn a_derived_username_is_nobody_elses_also_at_the_same_moment(mode: Mode) {
    let server = TestServer::start().await;

    let attempts = (0..12).map(async |number| {
        let email = format!("info@shop{number}.example");
        let body = serde_json::json!({ "email": email, "password": PASSWORD });
        register(&server, mode, &body).await.expect(201).json()
    });
    let users = futures_util::future::join_all(attempts).await;

    let names: std::collections::HashSet<&str> = users.iter().map(|user| text(&user["username"])).collect();
    assert_eq!(names.len(), users.len(), "{names:?}");
    assert!(names.contains("info"), "{names:?}");
}

async fn a_password_is_the_same_in_every_form_of_its_characters(mode: Mode) {
    let server = TestServer::start().await;
    let body = with(registration("ada"), "password", "cafe\u{301} under the weir");
    accepts(&server, mode, &body).await;

    for written in ["caf\u{e9} under the weir", "ｃａｆｅ\u{301} under the weir"] {
        let body = with(credentials("ada"), "password", written);
        let login = Request::post(&mode.path("login")).json(&body);
        server.send(login).await.ok();
    }
}

async fn a_password_is_never_cut(mode: Mode) {
    let server = TestServer::start().await;
    let whole = format!("{:x<1023}y", PASSWORD);
    accepts(&server, mode, &with(registration("ada"), "password", whole.as_str())).await;

    let mut client = Client::new(&server, mode.by(Transport::Bearer));
    for other in [&whole[..72], &whole[..1023], &format!("{}z", &whole[..1023])] {
        let body = with(credentials("ada"), "password", other);
        let response = client.login(&body).await;
        response.problem(401, "invalid_credentials");
    }
    let body = with(credentials("ada"), "password", whole.as_str());
    client.login(&body).await.ok();

    let body = with(registration("grace"), "password", format!(" {PASSWORD} "));
    accepts(&server, mode, &body).await;
    let response = client.login(&credentials("grace")).await;
    response.problem(401, "invalid_credentials");
}
