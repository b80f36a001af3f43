//! Who may ask: a registered service, by HTTP Basic, and nobody else.

use base64::{Engine, engine::general_purpose::STANDARD};
use dualauth::tokens::OpaqueToken;
use uuid::Uuid;

use super::{FEED, INTROSPECT, REVOKE, Service, inactive, stage};
use crate::nodes::{GENEROUS, two_nodes};
use crate::support::{
    client::{Client, Pair},
    http::{Request, Response},
    server::TestServer,
};

fn authorization(value: impl AsRef<[u8]>) -> Request {
    Request::post(INTROSPECT).header("Authorization", value).form(&[("token", "nothing")])
}

fn basic(text: impl AsRef<[u8]>) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(text)).into_bytes()
}

/// The same at each route.
async fn at_each(server: &TestServer, request: impl Fn(&str) -> Request) -> [Response; 3] {
    [
        server.send(request(INTROSPECT)).await,
        server.send(request(REVOKE)).await,
        server.send(request(FEED)).await,
    ]
}

#[tokio::test]
async fn a_service_shows_its_id_and_its_secret() {
    let (server, service) = stage(&[]).await;
    let Service { id, secret } = &service;
    let encoded_id = id.replace('-', "%2D");
    let encoded_secret: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let credentials = STANDARD.encode(format!("{id}:{secret}"));
    for value in [
        format!("Basic {credentials}"),
        format!("basic {credentials}"),
        format!("BASIC   {credentials}"),
        format!("Basic {}", STANDARD.encode(format!("{encoded_id}:{encoded_secret}"))),
        format!("Basic {}", STANDARD.encode(format!("{}:{secret}", id.to_uppercase()))),
    ] {
        assert_eq!(server.send(authorization(&value)).await.not_stored().ok(), inactive(), "{value}");
    }
    let revoked = service.revokes(&server, "nothing").await.expect(200).not_stored();
    assert_eq!(revoked.text(), "");
}

#[tokio::test]
async fn a_service_that_a_node_does_not_know_yet_is_looked_for() {
    let (server, node) = two_nodes(&[GENEROUS]).await;
    let service = Service::registered_in_silence(&server).await;
    for node in [&server, &node] {
        assert_eq!(service.is_told(node, "nothing").await, inactive());
    }
}

#[tokio::test]
async fn who_shows_nothing_is_asked_to_by_basic() {
    let (server, service) = stage(&[]).await;
    let nobody = |path: &str| Request::post(path).form(&[("token", "nothing")]);
    for response in at_each(&server, nobody).await {
        response.oauth_problem(401, "not_authenticated");
    }
    let credentials = STANDARD.encode(format!("{}:{}", service.id, service.secret));
    for value in [
        format!("Bearer {credentials}"),
        "Digest x".to_owned(),
        format!("Basic{credentials}"),
        credentials,
        String::new(),
    ] {
        server.send(authorization(&value)).await.oauth_problem(401, "not_authenticated");
    }
    // Half of it proves nothing.
    for half in [("client_id", service.id.as_str()), ("client_secret", &service.secret)] {
        let response = server.send(Request::post(INTROSPECT).form(&[("token", "x"), half])).await;
        response.oauth_problem(401, "not_authenticated");
    }
}

/// A form with the service's id and secret (`client_secret_post`), and these members.
fn posted(service: &Service, path: &str, members: &[(&str, &str)]) -> Request {
    let client = [("client_id", service.id.as_str()), ("client_secret", &service.secret)];
    Request::post(path).form(&[&client, members].concat())
}

#[tokio::test]
async fn a_service_may_show_them_in_the_form() {
    let (server, service) = stage(&[]).await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let token = client.credential();
    let told = server.send(posted(&service, INTROSPECT, &[("token", &token)])).await.not_stored().ok();
    assert_eq!((&told["active"], &told["username"]), (&true.into(), &"ada".into()));
    // Another scheme proves no service, and disproves none.
    let beside = posted(&service, INTROSPECT, &[("token", &token)]).bearer("x");
    assert_eq!(server.send(beside).await.ok()["active"], true);

    let revoked = server.send(posted(&service, REVOKE, &[("token", &token)])).await.expect(200);
    assert_eq!(revoked.text(), "");
    client.profile().await.problem(401, "token_revoked");
}

#[tokio::test]
async fn a_form_is_looked_at_once_it_is_known_whose_it_is() {
    let (server, service) = stage(&[]).await;
    let wrong = Service { secret: "duc_".to_owned(), ..service.clone() };
    for members in [&[][..], &[("token", "")]] {
        for path in [INTROSPECT, REVOKE] {
            let response = server.send(posted(&service, path, members)).await;
            response.oauth_problem(400, "malformed_request");
            let response = server.send(posted(&wrong, path, members)).await;
            response.oauth_problem(401, "invalid_credentials");
        }
    }
    for twice in [("token", "y"), ("client_id", service.id.as_str()), ("client_secret", &service.secret)] {
        let response = server.send(posted(&service, INTROSPECT, &[("token", "x"), twice])).await;
        response.oauth_problem(400, "malformed_request");
    }
}

/// RFC 6749, section 2.3: one way in each request.
#[tokio::test]
async fn a_service_shows_its_secret_in_one_place() {
    let (server, service) = stage(&[]).await;
    let other = Service::registered(&server).await;
    for in_form in [&service, &other] {
        for path in [INTROSPECT, REVOKE] {
            let both = posted(in_form, path, &[("token", "x")]).basic(&service.id, &service.secret);
            server.send(both).await.oauth_problem(400, "malformed_request");
        }
    }
    let secret_alone = Request::post(INTROSPECT)
        .basic(&service.id, &service.secret)
        .form(&[("token", "x"), ("client_secret", &service.secret)]);
    server.send(secret_alone).await.oauth_problem(400, "malformed_request");
    // The id alone says who asks, and may do so again; but not who else does.
    let named = |id: &str| {
        let form = [("token", "x"), ("client_id", id)];
        Request::post(INTROSPECT).basic(&service.id, &service.secret).form(&form)
    };
    assert_eq!(server.send(named(&service.id)).await.ok(), inactive());
    assert_eq!(server.send(named("")).await.ok(), inactive());
    server.send(named(&other.id)).await.oauth_problem(400, "malformed_request");
}

#[tokio::test]
async fn what_cannot_be_read_one_way_only_is_malformed() {
    let (server, service) = stage(&[]).await;
    let Service { id, secret } = &service;
    let good = STANDARD.encode(format!("{id}:{secret}"));
    for value in [
        "Basic".into(),
        "Basic ".into(),
        "Basic !".into(),
        format!("Basic {good}!").into_bytes(),
        format!("Basic {good} {good}").into_bytes(),
        format!("Basic {id}:{secret}").into_bytes(),
        basic(id),
        basic(b"\xff:\xff"),
        basic(format!("{id}:%ff")),
        basic(format!("%c3%28:{secret}")),
        basic(""),
    ] {
        let told = String::from_utf8_lossy(&value).into_owned();
        let response = server.send(authorization(&value)).await;
        assert_eq!(response.status, 400, "{told}");
        response.oauth_problem(400, "malformed_request");
    }
    let twice = |path: &str| service.request(path, "nothing").basic(id, secret);
    for response in at_each(&server, twice).await {
        response.oauth_problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn no_answer_tells_whether_it_was_the_id_or_the_secret() {
    let (server, service) = stage(&[]).await;
    let other = Service::registered(&server).await;
    let Service { id, secret } = &service;
    assert_eq!(service.is_told(&server, "nothing").await, inactive());
    let nobody = Uuid::now_v7().to_string();
    let none = OpaqueToken::generate("duc_");
    let cut = &secret[..secret.len() - 1];

    let mut answers = Vec::new();
    for (id, secret) in [
        (nobody.as_str(), secret.as_str()),
        (id, none.reveal()),
        (id, &other.secret),
        (&other.id, secret),
        (id, cut),
        (id, &format!("{secret}A")),
        (id, &format!("{secret}:")),
        (id, &format!(" {secret}")),
        (id, &secret.to_uppercase()),
        (id, ""),
        ("", secret),
        ("gateway", secret),
        ("", ""),
        (secret, id),
        (id, "%00"),
    ] {
        for response in
            at_each(&server, |path| Request::post(path).basic(id, secret).form(&[("token", "x")])).await
        {
            answers.push(response.oauth_problem(401, "invalid_credentials").but_for_the_date());
        }
        // One that is empty is not there.
        if !id.is_empty() && !secret.is_empty() {
            let members = [("token", "x"), ("client_id", id), ("client_secret", secret)];
            for response in at_each(&server, |path| Request::post(path).form(&members)).await {
                answers.push(response.oauth_problem(401, "invalid_credentials").but_for_the_date());
            }
        }
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");
}

#[tokio::test]
async fn no_users_credential_is_a_services() {
    let (server, service) = stage(&[]).await;
    for client in Client::in_every_way(&server, "ada").await {
        for path in [INTROSPECT, REVOKE] {
            let request = client.request("POST", path).form(&[("token", &client.credential())]);
            server.send(request).await.oauth_problem(401, "not_authenticated");
        }
        client.profile().await.ok();
        // Nor do cookies come in a service's way.
        let request = client
            .jar
            .header_for(INTROSPECT)
            .into_iter()
            .fold(service.request(INTROSPECT, "nothing"), |request, cookies| {
                request.header("Cookie", cookies)
            });
        assert_eq!(server.send(request).await.ok(), inactive());
    }
}

#[tokio::test]
async fn a_services_credential_is_no_users() {
    let (server, service) = stage(&[]).await;
    for path in ["/profile", "/jwt/profile", "/session/profile", "/verify"] {
        let basic = Request::get(path).basic(&service.id, &service.secret);
        server.send(basic).await.problem(401, "not_authenticated");
        let bearer = Request::get(path).bearer(&service.secret);
        server.send(bearer).await.problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn another_sites_page_is_refused() {
    let (server, service) = stage(&[]).await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let foreign =
        |path: &str| service.request(path, &client.credential()).header("Origin", "https://evil.example");
    for response in at_each(&server, foreign).await {
        response.problem(403, "cross_origin");
    }
    client.profile().await.ok();
}

#[tokio::test]
async fn another_method_is_told_which_is_allowed() {
    let (server, service) = stage(&[]).await;
    for path in [INTROSPECT, REVOKE] {
        for method in ["GET", "PUT", "PATCH", "DELETE", "BREW"] {
            for request in
                [Request::new(method, path), Request::new(method, path).basic(&service.id, &service.secret)]
            {
                let response = server.send(request).await.problem(405, "method_not_allowed");
                assert_eq!(response.list("allow"), ["post", "options"], "{response}");
            }
        }
        let response = server.send(Request::new("HEAD", path)).await.expect(405);
        assert_eq!(response.list("allow"), ["post", "options"], "{response}");
        server.send(service.request(&format!("{path}/"), "nothing")).await.problem(404, "not_found");
        let elsewhere = path.replace("/jwt", "/session");
        server.send(service.request(&elsewhere, "nothing")).await.problem(404, "not_found");
    }
}
