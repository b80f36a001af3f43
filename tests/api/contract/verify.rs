//! What a proxy is told before it lets a request through.

use serde_json::json;

use crate::support::{
    MINUTE, PASSWORD, PATIENCE,
    client::{Client, Mode, Pair},
    eventually,
    http::{Connection, Request, Response},
    server::TestServer,
};

promises! { of every pair:
    a_proxy_is_told_who_is_asking,
    a_proxy_asks_with_any_method_and_any_path_below,
    a_proxy_asks_for_any_of_several_roles,
    a_proxy_asks_for_a_login_that_was_proved_lately_or_by_two_factors,
    below_verify_the_conditions_come_in_a_header_of_the_proxys,
    a_proxy_is_told_of_every_role,
    a_proxy_lets_nobody_through_whose_login_has_ended,
}

const HEADERS: [&str; 7] = [
    "x-auth-user-id",
    "x-auth-username",
    "x-auth-roles",
    "x-auth-mode",
    "x-auth-acr",
    "x-auth-amr",
    "x-auth-time",
];

/// What they say of a login that has begun as a test does.
const PROVED: [&str; 3] = ["aal1", "pwd", "2031-01-01T02:13:20.000000Z"];

fn headers(response: &Response) -> [Option<&str>; 7] {
    HEADERS.map(|name| {
        let mut all: Vec<&str> = response.all(name).collect();
        assert!(all.len() < 2, "{response}");
        all.pop()
    })
}

async fn a_proxy_is_told_who_is_asking(pair: Pair) {
    let server = TestServer::start().await;
    let id = server.user("Ada.L-1_x").await;
    let client = Client::signed_in(&server, pair, "Ada.L-1_x").await;

    for method in ["GET", "HEAD"] {
        let response = server.send(client.request(method, "/verify")).await.expect(200).not_stored();

        let [acr, amr, time] = PROVED;
        let expected = [id.as_str(), "Ada.L-1_x", "user", pair.mode.name(), acr, amr, time];
        assert_eq!(headers(&response), expected.map(Some), "{response}");
        assert_eq!(response.text(), "");
        assert_eq!(response.set_cookies(), []);
    }
}

async fn a_proxy_is_told_of_every_role(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    for (roles, told) in
        [("{admin,user}", "admin,user"), ("{a:read,b.write,user}", "a:read,b.write,user"), ("{}", "")]
    {
        sqlx::query("update users set roles = $1::text::text[]")
            .bind(roles)
            .execute(&mut server.sql().await)
            .await
            .expect("other roles");
        let client = Client::signed_in(&server, pair, "ada").await;
        let response = client.get("/verify").await.expect(200);
        assert_eq!(response.header("x-auth-roles"), Some(told), "{response}");
    }
}

async fn a_proxy_lets_nobody_through_whose_login_has_ended(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let before = client.clone();
    client.logout().await.expect(204);

    let response = before.get("/verify").await.problem(401, pair.mode.ended());

    assert_eq!(headers(&response), [None; 7]);
}

#[tokio::test]
async fn a_proxy_lets_no_stranger_through() {
    let server = TestServer::start().await;
    for request in [
        Request::get("/verify"),
        Request::get("/verify").header("Cookie", "sessionid=nonsense"),
        Request::get("/verify").bearer("nonsense"),
        Request::get("/verify").header("X-Auth-Username", "ada").header("X-Auth-Roles", "admin"),
    ] {
        let response = server.send(request).await.expect(401);
        assert!(response.header("www-authenticate").is_some_and(|it| it.starts_with("Bearer")), "{response}");
        assert_eq!(headers(&response), [None; 7]);
    }
}

#[tokio::test]
async fn a_proxy_looks_at_the_access_token_before_the_session() {
    let server = TestServer::start().await;
    let jwt = Client::of_new_user(&server, Pair::JWT_COOKIE, "ada").await;
    let session = Client::of_new_user(&server, Pair::SESSION_COOKIE, "grace").await;
    let (access, id) = (jwt.credential(), session.credential());
    let cookies = format!("sessionid={id}; access_token={access}");

    let both = Request::get("/verify").header("Cookie", &cookies);
    let response = server.send(both.clone()).await.expect(200);
    assert_eq!(response.header("x-auth-username"), Some("ada"));
    assert_eq!(response.header("x-auth-mode"), Some(Mode::Jwt.name()));

    server.clock.advance(20 * MINUTE);
    server.send(both).await.problem(401, "token_expired");
}

/// What proxies are configured to ask, or append: the original request's path and query.
const PATHS: [&str; 12] = [
    "/verify",
    "/verify?",
    "/verify/",
    "/verify/app/x?a=1",
    "/verify/app?role=nobody&role",
    "/verify/verify",
    "/verify//",
    "/verify/../profile",
    "/verify/%2e%2e/%ff%00",
    "/verify/session/logout",
    "/verify/a%2Fb;c=d/?%ff",
    "/verify/{path}",
];

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];

/// What a page elsewhere may send, which none of our rules is about here.
fn from_another_site(request: Request) -> Request {
    request
        .header("Origin", "https://app.example.net")
        .header("Sec-Fetch-Site", "cross-site")
        .header("Access-Control-Request-Method", "DELETE")
        .header("Access-Control-Request-Headers", "x-anything")
        .header("Content-Encoding", "br")
        .header("Content-Type", "application/grpc")
}

async fn a_proxy_asks_with_any_method_and_any_path_below(pair: Pair) {
    let server = TestServer::with(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    for path in PATHS {
        for method in METHODS {
            for dress in [|request| request, from_another_site] {
                let response = server.send(dress(client.without_csrf(method, path))).await.expect(200);
                let [acr, amr, time] = PROVED.map(Some);
                let id = response.header("x-auth-user-id");
                let expected = [id, Some("ada"), Some("user"), Some(pair.mode.name()), acr, amr, time];
                assert_eq!(headers(&response), expected, "{response}");
                assert_eq!(response.text(), "");
                assert_eq!(response.header("access-control-allow-origin"), None, "{response}");

                let response = server.send(dress(Request::new(method, path))).await.expect(401);
                assert!(response.header("www-authenticate").is_some(), "{response}");
                if method != "HEAD" {
                    response.problem(401, "not_authenticated");
                }
            }
        }
    }
    client.assert_goes_on().await;
}

#[tokio::test]
async fn what_only_begins_like_verify_is_no_proxys_question() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    for path in ["/verifying", "/verify.json", "/verify%3Frole=admin", "/verify;x", "/Verify", "//verify"] {
        client.get(path).await.problem(404, "not_found");
        server.send(client.without_csrf("POST", path)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_allowed_origin_s_preflight_is_a_question_like_any_other() {
    let server = TestServer::with(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    let client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let preflight = |request: Request| {
        request.header("Origin", "https://app.example.org").header("Access-Control-Request-Method", "PUT")
    };
    for path in ["/verify", "/verify/app/x"] {
        server.send(preflight(Request::new("OPTIONS", path))).await.problem(401, "not_authenticated");
        let response = server.send(preflight(client.without_csrf("OPTIONS", path))).await.expect(200);
        assert_eq!(response.header("x-auth-username"), Some("ada"));
    }
}

/// The body is the original's, which may be long, and may never come.
#[tokio::test]
async fn a_proxy_is_answered_before_the_body_that_it_announces() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    for path in ["/verify", "/verify/upload"] {
        for length in ["1", "100000", "18446744073709551615"] {
            let announced = client.without_csrf("POST", path).header("Content-Length", length);
            let answer = announced.trickle(server.address(), &[], PATIENCE).await;
            assert_eq!(answer.header("x-auth-username"), Some("ada"), "{answer}");
        }
        let upgrade = client.without_csrf("GET", path).header("Connection", "Upgrade");
        let answer = upgrade.header("Upgrade", "websocket").trickle(server.address(), &[], PATIENCE).await;
        assert_eq!((answer.status, answer.header("x-auth-username")), (200, Some("ada")), "{answer}");
        let whole = client.without_csrf("PUT", path).bytes("x".repeat(100_000));
        server.send(whole).await.expect(200);
    }
}

#[tokio::test]
async fn a_proxy_keeps_its_connection_whatever_it_asks_about() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::SESSION_BEARER, "ada").await;
    let mut connection = Connection::open(server.address()).await;
    for method in METHODS {
        let asked = client.without_csrf(method, "/verify/app/x");
        // A proxy that asks without the body says so.
        let response = connection.send(&asked.header("Content-Length", "0")).await.expect(200);
        assert_ne!(response.header("connection"), Some("close"), "{method}: {response}");
    }
}

async fn a_proxy_asks_for_any_of_several_roles(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    sqlx::query("update users set roles = '{user,a:read}'")
        .execute(&mut server.sql().await)
        .await
        .expect("other roles");
    let client = Client::signed_in(&server, pair, "ada").await;
    for method in ["GET", "POST"] {
        for query in [
            "role=user",
            "role=a:read",
            "role=a%3Aread",
            "role=admin&role=user",
            "role=user&role=user",
            "&role=user&",
        ] {
            let asked = client.without_csrf(method, &format!("/verify?{query}"));
            let response = server.send(asked).await.expect(200);
            assert_eq!(response.header("x-auth-roles"), Some("user,a:read"), "{query}");
        }
        for query in ["role=admin", "role=User", "role=admin&role=ops", "role=use", "role=a:read:x"] {
            let path = format!("/verify?{query}");
            let response = server.send(client.without_csrf(method, &path)).await.problem(403, "forbidden");
            assert_eq!(headers(&response), [None; 7]);
            server.send(Request::new(method, &path)).await.problem(401, "not_authenticated");
        }
    }
}

/// A condition that is passed over lets everybody in.
const NO_CONDITIONS: [(&str, &str); 29] = [
    ("acr_values=", "/acr_values"),
    ("acr_values", "/acr_values"),
    ("acr_values=aal3", "/acr_values"),
    ("acr_values=AAL2", "/acr_values"),
    ("acr_values=aal1+aal2", "/acr_values"),
    ("acr_values=aal2&acr_values=aal2", "/acr_values"),
    ("acr=aal2", "/acr"),
    ("max_age=", "/max_age"),
    ("max_age", "/max_age"),
    ("max_age=-1", "/max_age"),
    ("max_age=%2B1", "/max_age"),
    ("max_age=1.5", "/max_age"),
    ("max_age=5m", "/max_age"),
    ("max_age=4294967296", "/max_age"),
    ("max_age=60&max_age=600", "/max_age"),
    ("max-age=60", "/max-age"),
    ("rol=admin", "/rol"),
    ("roles=admin", "/roles"),
    ("Role=admin", "/Role"),
    ("role[]=admin", "/role[]"),
    ("role=user&scope=x", "/scope"),
    ("a~b/c=1", "/a~0b~1c"),
    ("=", "/"),
    ("=user", "/"),
    ("role", "/role"),
    ("role=", "/role"),
    ("role=user,admin", "/role"),
    ("role=user+admin", "/role"),
    ("role=%ff", ""),
];

async fn a_proxy_asks_for_a_login_that_was_proved_lately_or_by_two_factors(pair: Pair) {
    let server = TestServer::start().await;
    let mut client = Client::of_new_user(&server, pair, "ada").await;
    let verdict = async |client: &Client, conditions: &str| {
        let here = server.send(client.without_csrf("GET", &format!("/verify?{conditions}"))).await;
        let below = client.without_csrf("POST", "/verify/app?x=1").header("X-Verify", conditions);
        assert_eq!(server.send(below).await.status, here.status, "{conditions}");
        here
    };
    server.clock.advance(10 * MINUTE);
    client.refresh().await.ok();
    for enough in ["max_age=600", "acr_values=aal1", "acr_values=aal1&max_age=600&role=user"] {
        verdict(&client, enough).await.expect(200);
    }
    for (conditions, challenge, methods) in [
        ("max_age=599", r#", max_age="599""#, json!(["password"])),
        ("max_age=0&role=user", r#", max_age="0""#, json!(["password"])),
        ("acr_values=aal1&max_age=1", r#", acr_values="aal1", max_age="1""#, json!(["password"])),
        // A password more makes no second factor.
        ("acr_values=aal2", r#", acr_values="aal2""#, json!([])),
        ("max_age=1&acr_values=aal2", r#", acr_values="aal2", max_age="1""#, json!([])),
    ] {
        let response = verdict(&client, conditions).await;
        let response = response.problem(401, "insufficient_user_authentication").not_stored();
        let challenge = format!("Bearer error=\"insufficient_user_authentication\"{challenge}");
        assert_eq!(response.header("www-authenticate"), Some(challenge.as_str()), "{conditions}");
        assert_eq!(response.json()["methods"], methods, "{conditions}");
        assert_eq!(response.set_cookies(), []);
        assert_eq!(headers(&response), [None; 7]);
    }
    // No proof gives a role.
    verdict(&client, "role=admin&max_age=1").await.problem(403, "forbidden");
    client.step_up(PASSWORD).await.ok();
    verdict(&client, "max_age=0").await.expect(200);
    sqlx::query("update logins set aal = 2, amr = '{pwd,otp,mfa}'")
        .execute(&mut server.sql().await)
        .await
        .expect("two factors");
    // A session says so once the nodes have heard of it, a token after a refresh.
    client.refresh().await.ok();
    eventually("two factors", async || verdict(&client, "acr_values=aal2").await.status == 200).await;
    assert_eq!(client.get("/verify").await.header("x-auth-amr"), Some("pwd,otp,mfa"));
}

#[tokio::test]
async fn a_condition_that_is_none_is_never_passed_over() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    for (conditions, pointer) in NO_CONDITIONS {
        for method in ["GET", "POST"] {
            let asked = client.without_csrf(method, &format!("/verify?{conditions}"));
            let response = server.send(asked).await.problem(422, "validation_failed");
            assert_eq!(response.pointers(), [pointer], "{conditions}");
            let below = client.without_csrf(method, "/verify/app").header("X-Verify", conditions);
            let response = server.send(below).await.problem(422, "validation_failed");
            assert_eq!(response.pointers(), [pointer], "{conditions}");
            assert_eq!(headers(&response), [None; 7]);
        }
    }
    let several = client.get("/verify?one=1&role=&two=2").await.problem(422, "validation_failed");
    assert_eq!(several.pointers(), ["/one", "/role", "/two"]);
}

async fn below_verify_the_conditions_come_in_a_header_of_the_proxys(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let below = |conditions: &str| {
        client.without_csrf("POST", "/verify/app?role=admin").header("X-Verify", conditions)
    };
    for conditions in ["", "role=user", "role=admin&role=user", " role=user "] {
        server.send(below(conditions)).await.expect(200);
    }
    server.send(below("role=admin")).await.problem(403, "forbidden");
    for twice in [["role=user", "role=user"], ["", "role=user"], ["role=user", "rol=user"]] {
        let [one, other] = twice;
        let response =
            server.send(below(one).header("x-verify", other)).await.problem(422, "validation_failed");
        assert_eq!(headers(&response), [None; 7]);
    }
    server.send(below("role=us\u{e9}r")).await.problem(422, "validation_failed");
    // At /verify itself the address says it, and nobody's header.
    for header in ["role=admin", "rol=admin"] {
        let asked = client.without_csrf("GET", "/verify?role=user").header("X-Verify", header);
        server.send(asked.header("X-Verify", header)).await.expect(200);
    }
}

#[tokio::test]
async fn what_proxies_ask_is_counted_in_one_place() {
    let server = TestServer::with(&[crate::support::server::METRICS]).await;
    for path in PATHS {
        server.send(Request::get(path)).await;
    }
    let metric = r#"dualauth_http_requests_total{method="GET",route="/verify",status="401"}"#;
    assert_eq!(server.metric(metric).await as usize, PATHS.len());
}
