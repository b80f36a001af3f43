//! Who has an account here: nobody is told by trying, neither in words nor in work.

use futures_util::future::join_all;

use super::{BEHIND_A_PROXY, tries, wrong};
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
            assert_eq!((statements.len(), computed), (2, 1.0), "{credentials}");
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

/// How many rows there are of names that nobody has, and how many networks at most are remembered in one of them.
async fn rows_of_nobody(server: &TestServer) -> (i64, i32) {
    let rows = sqlx::query_as(
        "select count(*), max(cardinality(networks)) from guesses
         where account not in (select uuid_send(id) from users)",
    );
    rows.fetch_one(&mut server.sql().await).await.expect("the counts")
}

#[tokio::test]
async fn however_many_names_and_addresses_are_tried_there_are_no_more_rows_than_places() {
    let server = TestServer::with(&[BEHIND_A_PROXY]).await;
    // Sixteen places instead of a million; after an hour it is open again.
    let tries = "select count(count_try(null, int4send(number % 16), '10.' || number % 250 || '.' || number / 250 || '.1',
             now() + number * interval '1 hour')) from generate_series(1, 6000) number";
    crate::nodes::sql(&server, tries).await;
    let at_once = "select count(count_try(null, int4send(number % 16), '11.' || number % 250 || '.' || number / 250 || '.1',
             now() + interval '1 year')) from generate_series(1, 4000) number";
    crate::nodes::sql(&server, at_once).await;
    let (rows, networks) = rows_of_nobody(&server).await;
    assert_eq!(rows, 16);
    assert!((100..=128).contains(&networks), "{networks}");
    let known = sqlx::query_scalar("select count(*) from guessers");
    let known: i64 = known.fetch_one(&mut server.sql().await).await.expect("a number");
    assert_eq!(known, 0, "where somebody signed in from");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_counted_like_a_user_in_as_many_rows() {
    let server = TestServer::with(&[BEHIND_A_PROXY]).await;
    server.user("ada").await;
    let guesses = (0..40).map(|number| {
        let server = &server;
        async move {
            let name = ["ada", "nobody", "noone", "nemo"][number % 4];
            tries(server, &format!("10.0.{number}.1"), &wrong(name)).await.expect(401)
        }
    });
    join_all(guesses).await;
    assert_eq!(rows_of_nobody(&server).await, (3, 10));
    let of_ada =
        sqlx::query_scalar("select cardinality(networks) from guesses, users where account = uuid_send(id)");
    let of_ada: i32 = of_ada.fetch_one(&mut server.sql().await).await.expect("a number");
    assert_eq!(of_ada, 10);
}
