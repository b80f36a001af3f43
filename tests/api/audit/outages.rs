//! Events while Postgres is away, and at a node's end.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{names, trail, trail_of};
use crate::support::{
    client::{Client, Pair},
    cluster::Database,
    eventually,
    http::Request,
    program::{Server, folder},
    proxy::Proxy,
    server::{METRICS, TestServer, credentials, registration},
    statements::TRAIL,
};

/// What is an event, and needs no Postgres.
fn refused() -> Request {
    Request::post("/jwt/introspect").basic("gateway", "nothing").form(&[("token", "x")])
}

#[tokio::test]
async fn events_wait_for_postgres_and_nobody_waits_for_them() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    for is_silent in [false, true] {
        let before = trail(&server).await.len();
        match is_silent {
            false => proxy.cut().await,
            true => proxy.fall_silent(),
        }
        for response in join_all((0..8).map(|_| server.send(refused()))).await {
            response.expect(401);
        }
        assert_eq!(trail(&server).await.len(), before);
        proxy.come_back();
        let events = trail_of(&server, before + 8).await;
        assert!(names(&events[before..]).iter().all(|name| *name == "client_refused"));
    }
}

#[tokio::test]
async fn what_waits_is_written_together() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    proxy.cut().await;
    for _ in 0..15 {
        server.send(refused()).await.expect(401);
    }
    proxy.take_statements();
    proxy.come_back();
    trail_of(&server, 15).await;
    assert_eq!(proxy.take_statements().count(TRAIL), 1);
}

#[tokio::test]
async fn a_batch_whose_answer_got_lost_is_there_once() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    proxy.set_delay(Duration::from_millis(700));
    server.send(refused()).await.expect(401);
    eventually("the event", async || trail(&server).await.len() == 1).await;
    // Written, and the answer still on its way.
    proxy.cut().await;
    proxy.set_delay(Duration::ZERO);
    server.send(refused()).await.expect(401);
    proxy.take_statements();
    proxy.come_back();
    eventually("the next one", async || trail(&server).await.len() >= 2).await;
    assert_eq!(trail(&server).await.len(), 2);
}

#[tokio::test]
async fn a_node_that_stops_has_written_everything() {
    let mut server = TestServer::start().await;
    for _ in 0..15 {
        server.send(refused()).await.expect(401);
    }
    server.stop().await;
    assert_eq!(trail(&server).await.len(), 15);
}

#[tokio::test]
async fn a_program_that_is_told_to_end_has_written_everything() {
    let database = Database::migrated().await;
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&folder(), &[("DATABASE_URL", database.url().as_str())]).await;
        let name = format!("ada-{}", signal.as_raw());
        server.send(Request::post("/session/register").json(&registration(&name))).await.expect(201);
        server.send(Request::post("/jwt/login").json(&credentials(&name))).await.expect(200);
        server.signal(signal);
        assert!(server.child.wait().await.expect("it ends").success());

        let mut connection = database.connect().await;
        let events = sqlx::query_scalar("select event from audit_events where username = $1 order by id");
        let events: Vec<String> = events.bind(&name).fetch_all(&mut connection).await.expect("the trail");
        assert_eq!(events, ["registered", "login_started"]);
    }
}

#[tokio::test]
async fn a_trail_that_can_t_be_written_stops_nobody() {
    let mut server = TestServer::start().await;
    crate::nodes::sql(&server, "alter table audit_events rename to gone").await;
    let mut client = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    client.profile().await.ok();
    client.logout().await.expect(204);
    crate::nodes::sql(&server, "alter table gone rename to audit_events").await;
    server.stop().await;
    let events = trail(&server).await;
    assert_eq!(names(&events), ["registered", "login_started", "logout"]);
    assert_eq!(events[0]["username"], json!("ada"));
}

/// What Postgres refuses for what is in it keeps no other event waiting.
#[tokio::test]
async fn an_event_that_postgres_refuses_is_in_the_log_alone_and_all_others_are_in_the_trail() {
    let database = Database::migrated().await;
    let proxy = Proxy::in_front_of(&database).await;
    let settings = [("DATABASE_URL", proxy.url().as_str()), METRICS, ("LOG_FORMAT", "json")];
    let server = Server::start(&folder(), &settings).await;
    let mut connection = database.connect().await;
    let poison = "alter table audit_events add check (user_agent <> 'poison')";
    sqlx::raw_sql(poison).execute(&mut connection).await.expect("a constraint");
    let metrics = async || Request::get("/metrics").send(server.metrics_address()).await.text();

    proxy.cut().await;
    for number in 0..13 {
        let agent = if [0, 5, 6, 12].contains(&number) { "poison".to_owned() } else { number.to_string() };
        server.send(refused().header("User-Agent", agent)).await.expect(401);
    }
    proxy.come_back();
    eventually("nothing waits", async || {
        metrics().await.contains("dualauth_audit_events{state=\"waiting\"} 0\n")
    })
    .await;
    assert!(metrics().await.contains("dualauth_audit_events{state=\"lost\"} 4\n"));
    let agents = sqlx::query_scalar("select user_agent from audit_events order by id");
    let agents: Vec<String> = agents.fetch_all(&mut connection).await.expect("the trail");
    assert_eq!(agents, ["1", "2", "3", "4", "7", "8", "9", "10", "11"]);

    let output = server.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let (errors, events): (Vec<_>, Vec<_>) =
        lines.filter(|line| line["id"].is_string()).partition(|line| line["level"] == "ERROR");
    assert_eq!((errors.len(), events.len()), (4, 13), "{output}");
    assert!(errors.iter().all(|error| events.iter().any(|event| event["id"] == error["id"])));
}
