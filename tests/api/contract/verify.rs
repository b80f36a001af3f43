//! What a proxy is told before it lets a request through.

use crate::support::{
    MINUTE,
    client::{Client, Mode, Pair},
    http::{Request, Response},
    server::TestServer,
};

promises! { of every pair:
    a_proxy_is_told_who_is_asking,
    a_proxy_is_told_of_every_role,
    a_proxy_lets_nobody_through_whose_login_has_ended,
}

const HEADERS: [&str; 4] = ["x-auth-user-id", "x-auth-username", "x-auth-roles", "x-auth-mode"];

fn headers(response: &Response) -> [Option<&str>; 4] {
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

        let expected = [id.as_str(), "Ada.L-1_x", "user", pair.mode.name()];
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

    assert_eq!(headers(&response), [None; 4]);
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
        assert_eq!(headers(&response), [None; 4]);
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
