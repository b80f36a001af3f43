//! Which paths there are, and what they are asked by.

use crate::support::{
    client::{Client, Mode, Pair},
    http::{Request, Response},
    server::TestServer,
};

promises! { of every mode:
    a_path_that_is_none_is_not_found,
    another_method_is_told_which_are_allowed,
    who_asks_for_the_options_is_told_them,
}

promises! { of every pair:
    head_answers_like_get_without_a_body,
}

async fn a_path_that_is_none_is_not_found(mode: Mode) {
    let server = TestServer::start().await;
    for path in [
        "/nothing",
        "/%ff",
        "/..%2f..%2fetc%2fpasswd",
        &format!("/{}", mode.name()),
        &mode.path(""),
        &mode.path("nothing"),
        &mode.path("profile/"),
        &mode.path("profile/ada"),
        &mode.path("Profile"),
    ] {
        for method in ["GET", "POST", "HEAD", "DELETE"] {
            let response = server.send(Request::new(method, path)).await;
            if method == "HEAD" {
                response.expect(404);
            } else {
                response.problem(404, "not_found");
            }
        }
    }
}

/// The methods an `Allow` names beside OPTIONS, which every path answers.
#[track_caller]
fn allowed(response: &Response) -> Vec<String> {
    let mut methods = response.list("allow");
    assert!(methods.contains(&"options".to_owned()), "{response}");
    methods.retain(|method| method != "options");
    methods.sort();
    methods
}

async fn another_method_is_told_which_are_allowed(mode: Mode) {
    let server = TestServer::start().await;
    let read = ["/profile", "/account", "/account/logins", &mode.path("profile"), &mode.path("csrf")];
    let written =
        ["register", "login", "refresh", "step-up", "logout", "logout-all"].map(|tail| mode.path(tail));

    for path in read {
        for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
            let response = server.send(Request::new(method, path)).await;
            let response = response.problem(405, "method_not_allowed");
            assert_eq!(allowed(&response), ["get", "head"], "{response}");
        }
    }
    let written = written.iter().map(|path| (path.as_str(), &["post"][..]));
    for (path, methods) in written.chain([("/account/password", &["delete", "post"][..])]) {
        let others = ["GET", "PUT", "PATCH", "DELETE", "BREW"];
        for method in others.into_iter().filter(|it| !methods.contains(&it.to_ascii_lowercase().as_str())) {
            let response = server.send(Request::new(method, path)).await;
            let response = response.problem(405, "method_not_allowed");
            assert_eq!(allowed(&response), methods, "{response}");
        }
        let response = server.send(Request::new("HEAD", path)).await.expect(405);
        assert_eq!(allowed(&response), methods, "{response}");
    }
}

async fn who_asks_for_the_options_is_told_them(mode: Mode) {
    let server = TestServer::start().await;
    for (path, methods) in [
        (mode.path("login").as_str(), &["post"][..]),
        (&mode.path("profile"), &["get", "head"]),
        ("/account/logins", &["get", "head"]),
        ("/account/logins/nothing", &["delete"]),
        ("/session/data/theme", &["delete", "get", "head", "put"]),
        ("/jwt/introspect", &["post"]),
        ("/jwt/feed", &["post"]),
        ("/tokens", &["post"]),
        ("/tokens/redeem", &["post"]),
        ("/tokens/0199f0a4-5d11-7a02-8c3e-7d1b2f4e6a90", &["delete"]),
        ("/health/live", &["get", "head"]),
        ("/openapi.json", &["get", "head"]),
        ("/docs/", &["get", "head"]),
        ("/", &["get", "head"]),
        ("*", &["delete", "get", "head", "patch", "post", "put"]),
    ] {
        for origin in [None, Some("https://elsewhere.example.org")] {
            let request = Request::new("OPTIONS", path);
            let request =
                origin.into_iter().fold(request, |request, origin| request.header("Origin", origin));
            let response = server.send(request).await.expect(204);
            assert_eq!(allowed(&response), methods, "{response}");
        }
    }
    for path in ["/nothing", &mode.path("nothing"), "/*", "/metrics"] {
        server.send(Request::new("OPTIONS", path)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn what_is_deleted_or_put_is_told_so_too() {
    let server = TestServer::start().await;
    for (path, methods, another) in [
        ("/account/logins/nothing", &["delete"][..], "GET"),
        ("/account/logins/nothing", &["delete"], "PATCH"),
        ("/session/data", &["get", "head"], "PUT"),
        ("/session/data", &["get", "head"], "DELETE"),
        ("/session/data/theme", &["delete", "get", "head", "put"], "POST"),
        ("/session/data/theme", &["delete", "get", "head", "put"], "PATCH"),
    ] {
        let response = server.send(Request::new(another, path)).await;
        let response = response.problem(405, "method_not_allowed");
        assert_eq!(allowed(&response), methods, "{response}");
    }
}

async fn head_answers_like_get_without_a_body(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let stranger = Client::new(&server, pair);

    for path in
        [&client.path("profile"), "/profile", &client.path("csrf"), "/account", "/account/logins", "/verify"]
    {
        for client in [&client, &stranger] {
            let get = client.get(path).await;
            let head = server.send(client.request("HEAD", path)).await;
            let (status, headers, body) = head.but_for_the_date();
            assert_eq!((status, headers), {
                let (status, headers, _) = get.but_for_the_date();
                (status, headers)
            });
            assert_eq!(body, "");
        }
    }
}
