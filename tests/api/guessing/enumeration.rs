//! Who has an account here: nobody is told by trying, neither in words nor in work.

use super::wrong;
use crate::support::{
    client::Pair,
    http::Request,
    server::{METRICS, TestServer, credentials},
    with,
};

/// How often argon2 was computed so far.
const COMPUTED: &str = "dualauth_argon2_computed_total";

#[tokio::test]
async fn an_unknown_name_a_wrong_password_and_a_disabled_user_are_the_same_in_answer_statements_and_work() {
    let (server, proxy) = TestServer::behind_a_proxy(&[METRICS]).await;
    for name in ["ada", "bob"] {
        server.user(name).await;
    }
    crate::nodes::sql(&server, "update users set disabled_at = now() where username = 'bob'").await;

    for pair in Pair::ALL {
        let attempt = async |credentials| {
            let before = server.metric(COMPUTED).await;
            proxy.take_statements();
            let credentials = with(credentials, "transport", pair.transport.name());
            let answer = server.send(Request::post(&pair.mode.path("login")).json(&credentials)).await;
            let statements = proxy.take_statements();
            let statements: Vec<_> = statements.of_requests().into_iter().map(str::to_owned).collect();
            let computed = server.metric(COMPUTED).await - before;
            assert_eq!((statements.len(), computed), (1, 1.0), "{credentials}");
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
