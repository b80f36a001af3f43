//! Who has an account here: nobody is told by trying, neither in words nor in work.

use super::wrong;
use crate::support::{
    client::Pair,
    http::Request,
    server::{TestServer, credentials},
    with,
};

/// How often argon2 was computed so far.
async fn argon2_computed(server: &TestServer) -> u64 {
    let address = server.metrics_address().expect("an address");
    let text = Request::get("/metrics").send(address).await.expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix("dualauth_argon2_computed_total "));
    line.expect("the count").parse().expect("a number")
}

#[tokio::test]
async fn an_unknown_name_a_wrong_password_and_a_disabled_user_are_the_same_in_answer_statements_and_work() {
    let (server, proxy) = TestServer::behind_a_proxy(&[("METRICS_LISTEN", "127.0.0.1:0")]).await;
    for name in ["ada", "bob"] {
        server.user(name).await;
    }
    crate::nodes::sql(&server, "update users set disabled_at = now() where username = 'bob'").await;

    for pair in Pair::ALL {
        let attempt = async |credentials| {
            let before = argon2_computed(&server).await;
            proxy.take_statements();
            let credentials = with(credentials, "transport", pair.transport.name());
            let answer = server.send(Request::post(&pair.mode.path("login")).json(&credentials)).await;
            let statements = proxy.take_statements();
            let statements: Vec<_> = statements.of_requests().into_iter().map(str::to_owned).collect();
            let computed = argon2_computed(&server).await - before;
            assert_eq!((statements.len(), computed), (1, 1), "{credentials}");
            (answer.expect(401).but_for_the_date(), statements)
        };
        let unknown = attempt(wrong("nobody")).await;
        assert_eq!(attempt(wrong("ada")).await, unknown, "{pair:?}");
        assert_eq!(attempt(wrong("ADA@example.org")).await, unknown, "{pair:?}");
        assert_eq!(attempt(wrong("bob")).await, unknown, "{pair:?}");
        assert_eq!(attempt(credentials("bob")).await, unknown, "{pair:?}");
        assert_eq!(attempt(credentials("")).await, unknown, "{pair:?}");
    }
}
