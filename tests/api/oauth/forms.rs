//! What a form may be, and what is said of one that may not.

use std::time::Duration;

use super::{INTROSPECT, REVOKE, Service, inactive, stage};
use crate::support::{
    client::{Client, Pair},
    http::{Request, Response},
    server::TestServer,
};

const FORM: &str = "application/x-www-form-urlencoded";

fn request(service: &Service, path: &str) -> Request {
    Request::post(path).basic(&service.id, &service.secret)
}

async fn post(server: &TestServer, service: &Service, body: impl AsRef<[u8]>) -> Response {
    server.send(request(service, INTROSPECT).body(FORM, body)).await
}

#[tokio::test]
async fn a_form_has_one_token() {
    let (server, service) = stage(&[]).await;
    for body in [
        "",
        "token",
        "token=",
        "Token=x",
        "token_type_hint=access_token",
        "x",
        "&&",
        "token=x&token=x",
        "token=x&token=y",
        "token=x&tok%65n=x",
        "token=x&token_type_hint=access_token&token_type_hint=access_token",
        "{\"token\":\"x\"}",
    ] {
        for path in [INTROSPECT, REVOKE] {
            let response = server.send(request(&service, path).body(FORM, body)).await;
            assert_eq!(response.status, 400, "{body}");
            response.oauth_problem(400, "malformed_request");
        }
    }
    server
        .send(request(&service, INTROSPECT).header("Content-Type", FORM))
        .await
        .oauth_problem(400, "malformed_request");
}

#[tokio::test]
async fn a_form_is_utf8() {
    let (server, service) = stage(&[]).await;
    for body in
        [&b"token=\xff"[..], b"token=%ff", b"token=%c3%28", b"token=x&%ff=y", b"token=x&other=\xed\xa0\x80"]
    {
        post(&server, &service, body).await.oauth_problem(400, "malformed_request");
    }
    for body in ["token=%C3%BC%00", "token=ü"] {
        assert_eq!(post(&server, &service, body).await.ok(), inactive());
    }
}

#[tokio::test]
async fn what_a_form_has_besides_is_ignored() {
    let (server, service) = stage(&[]).await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let token = client.credential();
    let encoded: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for body in [
        format!("token={token}"),
        format!("&token={token}&"),
        format!("to%6ben={encoded}"),
        format!("token={token}&scope=a&scope=b&scope"),
        format!("client_id={}&token={token}&token=", service.id),
        format!("token_type_hint=&token={token}&token_type_hint=refresh_token"),
        format!("token_type_hint=access_token&token={token}"),
        format!("token_type_hint=nonsense&token={token}"),
    ] {
        assert_eq!(post(&server, &service, &body).await.ok()["active"], true, "{body}");
    }
}

#[tokio::test]
async fn a_form_is_one_by_its_type() {
    let (server, service) = stage(&[]).await;
    for content_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
        "application/x-www-form-urlencodedx",
        "",
    ] {
        for path in [INTROSPECT, REVOKE] {
            let request = request(&service, path).body(content_type, "token=x");
            server.send(request).await.oauth_problem(415, "unsupported_media_type");
        }
    }
    let untold = request(&service, INTROSPECT).bytes("token=x");
    server.send(untold).await.oauth_problem(415, "unsupported_media_type");
    let twice = request(&service, INTROSPECT).header("Content-Type", FORM).body(FORM, "token=x");
    server.send(twice).await.oauth_problem(415, "unsupported_media_type");

    for content_type in [
        "Application/X-WWW-Form-URLEncoded",
        &format!("{FORM};charset=UTF-8"),
        &format!("{FORM}; charset=\"utf-8\""),
    ] {
        let request = request(&service, INTROSPECT).body(content_type, "token=x");
        assert_eq!(server.send(request).await.ok(), inactive(), "{content_type}");
    }
}

#[tokio::test]
async fn a_form_has_16_kib_and_comes_within_its_time() {
    let (server, service) = stage(&[]).await;
    for path in [INTROSPECT, REVOKE] {
        let fits = request(&service, path).body(FORM, format!("token={:x<16378}", ""));
        let too_large = request(&service, path).body(FORM, format!("token={:x<16379}", ""));
        for request in [fits.clone(), fits.chunked()] {
            server.send(request).await.expect(200);
        }
        for request in [too_large.clone(), too_large.chunked()] {
            server.send(request).await.oauth_problem(413, "payload_too_large");
        }
    }
    let half = request(&service, REVOKE).header("Content-Type", FORM).header("Content-Length", "100");
    let response = half.trickle(server.address(), &[b"token="], Duration::ZERO).await;
    response.oauth_problem(408, "timeout");
}

#[tokio::test]
async fn nobody_is_told_about_a_form_before_it_is_known_who_asks() {
    let (server, service) = stage(&[]).await;
    for (content_type, body) in
        [("text/plain", "token=x".to_owned()), (FORM, String::new()), (FORM, "x".repeat(20_000))]
    {
        let nobody = Request::post(INTROSPECT).body(content_type, &body);
        server.send(nobody).await.oauth_problem(401, "not_authenticated");
        let other = Request::post(INTROSPECT).basic(&service.id, "duc_").body(content_type, &body);
        server.send(other).await.oauth_problem(401, "invalid_credentials");
    }
}
