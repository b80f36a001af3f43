//! Whose address a login is recorded by.

use std::net::SocketAddr;

use crate::support::{client::Pair, http::Request, server::TestServer, text};

const TRUSTED: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.0/8, 10.1.0.0/16,2001:db8:1::/48");

/// The address that a login with these headers is recorded by.
async fn address_by(server: &TestServer, to: SocketAddr, headers: &[(&str, &str)]) -> String {
    let login = Request::post("/session/login").json(&Pair::SESSION_BEARER.credentials("ada"));
    let login = headers.iter().fold(login, |login, (name, value)| login.header(name, value));
    let body = login.send(to).await.ok();
    let id: uuid::Uuid = text(&body["login"]["id"]).parse().expect("a UUID");
    let (address,): (String,) = sqlx::query_as("select address from logins where id = $1")
        .bind(id)
        .fetch_one(&mut server.sql().await)
        .await
        .expect("the login's row");
    address
}

async fn server_of_ada(settings: &[(&str, &str)]) -> TestServer {
    let server = TestServer::with(settings).await;
    server.user("ada").await;
    server
}

#[tokio::test]
async fn nobody_is_believed_about_their_address() {
    for settings in [&[][..], &[("TRUSTED_PROXIES", "10.1.0.0/16")]] {
        let server = server_of_ada(settings).await;
        for headers in [
            &[][..],
            &[("X-Forwarded-For", "203.0.113.7")],
            &[("X-Forwarded-For", "203.0.113.7, 10.1.0.9")],
            &[("Forwarded", "for=203.0.113.7")],
            &[("X-Real-IP", "203.0.113.7")],
            &[("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7")],
        ] {
            let address = address_by(&server, server.address(), headers).await;
            assert_eq!(address, "127.0.0.1", "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_the_last_hop_that_is_none() {
    let server = server_of_ada(&[TRUSTED]).await;
    for (hops, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("198.51.100.1,203.0.113.7,10.1.2.3", "203.0.113.7"),
        ("203.0.113.7, 127.0.0.9, 10.1.2.3", "203.0.113.7"),
        ("10.1.0.1, 203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, ::ffff:10.1.2.3", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:db8::7, 2001:db8:1::3", "2001:db8::7"),
        ("203.0.113.7,", "203.0.113.7"),
        ("203.0.113.7, ,10.1.2.3,", "203.0.113.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("203.0.113.7:5678", "203.0.113.7"),
    ] {
        let headers = [("X-Forwarded-For", hops)];
        let address = address_by(&server, server.address(), &headers).await;
        assert_eq!(address, expected, "{hops}");
    }
}

#[tokio::test]
async fn hops_in_several_headers_are_one_list() {
    let server = server_of_ada(&[TRUSTED]).await;
    let headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.7, 10.1.2.3")];
    let address = address_by(&server, server.address(), &headers).await;
    assert_eq!(address, "203.0.113.7");
}

#[tokio::test]
async fn nothing_beyond_a_hop_that_is_no_address_is_believed() {
    let server = server_of_ada(&[TRUSTED]).await;
    for hops in ["203.0.113.7, nonsense", "203.0.113.7, unknown, 10.1.2.3", "203.0.113.7, [203.0.113.8]"] {
        let headers = [("X-Forwarded-For", hops)];
        let address = address_by(&server, server.address(), &headers).await;
        assert_ne!(address, "203.0.113.7", "{hops}");
    }
}

#[tokio::test]
async fn a_header_that_the_proxy_only_passed_on_is_not_believed() {
    let server = server_of_ada(&[TRUSTED]).await;
    let headers = [
        ("Forwarded", "for=198.51.100.1"),
        ("X-Real-IP", "198.51.100.1"),
        ("X-Forwarded-For", "203.0.113.7"),
    ];
    let address = address_by(&server, server.address(), &headers).await;
    assert_eq!(address, "203.0.113.7");
}

#[tokio::test]
async fn an_ipv4_peer_is_one_on_a_socket_of_ipv6() {
    for (settings, expected) in
        [(&[("LISTEN", "[::]:0")][..], "127.0.0.1"), (&[("LISTEN", "[::]:0"), TRUSTED], "203.0.113.7")]
    {
        let server = TestServer::with(settings).await;
        let by_ipv4 = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
        let user = crate::support::server::registration("ada");
        Request::post("/session/register").json(&user).send(by_ipv4).await.expect(201);

        let headers = [("X-Forwarded-For", "203.0.113.7")];
        let address = address_by(&server, by_ipv4, &headers).await;
        assert_eq!(address, expected);
    }
}

#[tokio::test]
async fn a_forwarded_scheme_changes_no_cookie() {
    for settings in [&[][..], &[TRUSTED]] {
        let server = server_of_ada(settings).await;
        for (name, value) in [("X-Forwarded-Proto", "https"), ("Forwarded", "proto=https")] {
            let login = Request::post("/session/login")
                .header(name, value)
                .json(&Pair::SESSION_COOKIE.credentials("ada"));
            let response = server.send(login).await.expect(200);
            for cookie in response.set_cookies() {
                assert_eq!(cookie.name, "sessionid");
                assert!(!cookie.secure);
            }
        }
    }
}
