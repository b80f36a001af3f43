//! Where one is signed in, and how one signs another device out.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{
    DAY, HOUR, MINUTE, SECOND, assert_members,
    client::{Client, Mode, Pair},
    eventually,
    http::{Request, Response},
    server::{ONE_NAME, TestServer, beginning},
    text, time, with,
};

promises! { of every pair:
    a_login_is_listed_with_all_that_is_known_of_it,
    a_login_that_says_nothing_of_itself_is_listed_as_well,
    a_list_has_ones_own_live_logins_newest_first,
    a_login_that_ended_or_expired_is_listed_no_more,
    another_devices_login_can_be_ended,
    a_login_can_end_itself,
    a_login_that_is_not_live_and_mine_is_not_found,
    an_end_holds_on_every_node,
}

promises! { of every cookie:
    a_cookie_ends_no_login_without_its_csrf_token,
}

async fn listed(client: &Client) -> Vec<Value> {
    let body = client.get("/account/logins").await.not_stored().ok();
    assert_members(&body, &["next", "logins"]);
    assert_eq!(body["next"], Value::Null);
    body["logins"].as_array().expect("a list").clone()
}

async fn listed_ids(client: &Client) -> Vec<String> {
    listed(client).await.iter().map(|login| text(&login["id"]).to_owned()).collect()
}

async fn end(server: &TestServer, by: &Client, id: &str) -> Response {
    server.send(by.request("DELETE", &format!("/account/logins/{id}"))).await
}

async fn a_login_is_listed_with_all_that_is_known_of_it(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut client = Client::new(&server, pair);
    let body = with(pair.credentials("ada"), "device_name", "Ada's \u{1f4bb}, \"the old one\"");
    let login = Request::post(&client.path("login")).json(&with(body, "remember_me", true));
    let login = client.send(login.header("User-Agent", "Lantern/1.0 (weir)")).await.ok();

    let listed = listed(&client).await;

    assert_eq!(listed.len(), 1, "{listed:?}");
    let listed = &listed[0];
    let members = [
        "id",
        "mode",
        "modes",
        "transport",
        "remember_me",
        "device_name",
        "address",
        "user_agent",
        "created_at",
        "last_seen_at",
        "idle_expires_at",
        "expires_at",
        "current",
        "amr",
        "acr",
        "auth_time",
    ];
    assert_members(listed, &members);
    for member in ["id", "mode", "transport", "remember_me", "created_at", "idle_expires_at", "expires_at"] {
        assert_eq!(listed[member], login["login"][member], "{member}");
    }
    assert_eq!(listed["modes"], serde_json::json!([pair.mode.name()]));
    assert_eq!(listed["device_name"], "Ada's \u{1f4bb}, \"the old one\"");
    assert_eq!(listed["address"], "127.0.0.1");
    assert_eq!(listed["user_agent"], "Lantern/1.0 (weir)");
    assert_eq!(listed["current"], true);
    assert_eq!(time(&listed["created_at"]), beginning());
    assert_eq!(time(&listed["last_seen_at"]), beginning());
    assert_eq!(time(&listed["idle_expires_at"]), beginning() + 14 * DAY);
    assert_eq!(time(&listed["expires_at"]), beginning() + 90 * DAY);
}

async fn a_login_that_says_nothing_of_itself_is_listed_as_well(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;

    let listed = listed(&client).await;

    assert_eq!(listed[0]["device_name"], Value::Null);
    assert_eq!(listed[0]["user_agent"], "");
    assert_eq!(listed[0]["remember_me"], false);
    assert_eq!(time(&listed[0]["idle_expires_at"]), beginning() + 30 * MINUTE);
    assert_eq!(time(&listed[0]["expires_at"]), beginning() + 24 * HOUR);
}

async fn a_list_has_ones_own_live_logins_newest_first(pair: Pair) {
    let server = TestServer::start().await;
    let mine = Client::of_new_user(&server, pair, "ada").await;
    let mut expected = vec![mine.login_id().await];
    server.user("grace").await;
    for other in Pair::ALL {
        server.clock.advance(SECOND);
        expected.insert(0, Client::signed_in(&server, other, "ada").await.login_id().await);
        Client::signed_in(&server, other, "grace").await;
    }

    let listed = listed(&mine).await;

    let ids: Vec<&str> = listed.iter().map(|login| text(&login["id"])).collect();
    assert_eq!(ids, expected);
    let current: Vec<bool> = listed.iter().map(|login| login["current"] == true).collect();
    assert_eq!(current, [false, false, false, false, true]);
    assert!(listed.iter().all(|login| login["current"].is_boolean()), "{listed:?}");
}

async fn a_login_that_ended_or_expired_is_listed_no_more(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut stays = Client::new(&server, pair);
    let body = stays.login(&with(pair.credentials("ada"), "remember_me", true)).await.ok();
    for mut leaving in Client::in_every_way(&server, "ada").await {
        leaving.logout().await.expect(204);
    }
    assert_eq!(listed_ids(&stays).await.len(), 1);

    let idle = Client::in_every_way(&server, "ada").await;
    server.clock.advance(30 * MINUTE - SECOND);
    stays.refresh().await.ok();
    assert_eq!(listed_ids(&stays).await.len(), 1 + idle.len());
    server.clock.advance(SECOND);

    assert_eq!(listed_ids(&stays).await, [text(&body["login"]["id"])]);
}

async fn another_devices_login_can_be_ended(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let by = Client::signed_in(&server, pair, "ada").await;
    for lost in Client::in_every_way(&server, "ada").await {
        let id = lost.login_id().await;

        let response = end(&server, &by, &id).await.expect(204);

        assert_eq!((response.text(), response.set_cookies()), (String::new(), Vec::new()));
        lost.assert_refused(lost.pair.mode.ended()).await;
        assert!(!listed_ids(&by).await.contains(&id));
    }
    by.assert_goes_on().await;
}

async fn a_login_can_end_itself(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;

    end(&server, &client, &client.login_id().await).await.expect(204);

    client.assert_refused(pair.mode.ended()).await;
    other.assert_goes_on().await;
}

async fn a_login_that_is_not_live_and_mine_is_not_found(pair: Pair) {
    let server = TestServer::start().await;
    server.user("ada").await;
    let mut mine = Client::new(&server, pair);
    mine.login(&with(pair.credentials("ada"), "remember_me", true)).await.ok();

    let mut ended = Client::signed_in(&server, pair, "ada").await;
    let ended_id = ended.login_id().await;
    ended.logout().await.expect(204);
    let expired_id = Client::signed_in(&server, pair, "ada").await.login_id().await;
    server.clock.advance(30 * MINUTE);
    mine.refresh().await.ok();
    server.user("grace").await;
    let theirs = Client::in_every_way(&server, "grace").await;
    let their_ids = join_all(theirs.iter().map(Client::login_id)).await;

    let nobodys = [
        "00000000-0000-0000-0000-000000000000",
        "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e",
        "nonsense",
        "0",
        "%00",
        "%2e%2e",
        "0199f0a1-23c4-7f00-8a51-5a4f6b7c8d9e0",
    ];
    let ids = [ended_id.as_str(), &expired_id].into_iter().chain(nobodys);
    for id in ids.chain(their_ids.iter().map(String::as_str)) {
        end(&server, &mine, id).await.problem(404, "not_found");
    }

    for client in theirs {
        client.assert_goes_on().await;
    }
    end(&server, &mine, &mine.login_id().await).await.expect(204);
}

async fn an_end_holds_on_every_node(pair: Pair) {
    let server = TestServer::with(&[ONE_NAME]).await;
    let other = server.another_node().await;
    let by = Client::of_new_user(&server, pair, "ada").await;
    for lost in Client::in_every_way(&server, "ada").await {
        let there = lost.at(&other);
        there.profile().await.ok();

        end(&server, &by, &lost.login_id().await).await.expect(204);

        eventually("the other node's refusal", async || there.profile().await.status == 401).await;
        there.assert_refused(there.pair.mode.ended()).await;
    }
}

async fn a_cookie_ends_no_login_without_its_csrf_token(pair: Pair) {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, pair, "ada").await;
    let other = Client::signed_in(&server, pair, "ada").await;
    let path = format!("/account/logins/{}", other.login_id().await);
    let bare = client.without_csrf("DELETE", &path);

    server.send(bare.clone()).await.problem(403, "csrf_failed");
    let neighbours = other.csrf_token.clone().expect("a CSRF token");
    server.send(bare.header("X-CSRF-Token", neighbours)).await.problem(403, "csrf_failed");
    let foreign = client.request("DELETE", &path).header("Origin", "https://evil.example.org");
    server.send(foreign).await.problem(403, "cross_origin");

    other.profile().await.ok();
    server.send(client.request("DELETE", &path)).await.expect(204);
}

/// The times in the list of a login that somebody else looks at.
async fn times(
    observer: &Client,
    id: &str,
) -> (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>) {
    let listed = listed(observer).await;
    let login = listed.iter().find(|login| login["id"] == id).expect("it is listed");
    (time(&login["last_seen_at"]), time(&login["idle_expires_at"]))
}

#[tokio::test]
async fn a_session_is_listed_as_seen_when_it_was_used() {
    let server = TestServer::with(&[ONE_NAME, ("LAST_SEEN_INTERVAL", "1s")]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let used = Client::signed_in(&server, pair, "ada").await;
        let id = used.login_id().await;
        // One that has never been seen by the node that the session is used on.
        let observer = Client::signed_in(&node, Pair::JWT_BEARER, "ada").await;
        server.clock.advance(MINUTE);
        let now = server.clock.now();

        used.profile().await.ok();

        eventually("that it was seen", async || times(&observer, &id).await == (now, now + 30 * MINUTE))
            .await;
    }
}

#[tokio::test]
async fn a_session_is_listed_to_itself_as_seen_now() {
    let server = TestServer::with(&[("LAST_SEEN_INTERVAL", "1h")]).await;
    server.user("ada").await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let client = Client::signed_in(&server, pair, "ada").await;
        let id = client.login_id().await;
        for _ in 0..3 {
            server.clock.advance(20 * MINUTE);
            let now = server.clock.now();
            assert_eq!(times(&client, &id).await, (now, now + 30 * MINUTE));
        }
    }
}

#[tokio::test]
async fn a_session_that_is_used_after_its_stored_idle_time_can_still_be_ended() {
    let server = TestServer::with(&[("LAST_SEEN_INTERVAL", "1h")]).await;
    server.user("ada").await;
    let used = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let mut by = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    for _ in 0..2 {
        server.clock.advance(20 * MINUTE);
        used.profile().await.ok();
        by.refresh().await.ok();
    }

    end(&server, &by, &used.login_id().await).await.expect(204);

    used.assert_refused("session_expired").await;
}

#[tokio::test]
async fn a_jwt_login_is_listed_as_seen_when_it_was_refreshed() {
    let server = TestServer::with(&[("LAST_SEEN_INTERVAL", "1s")]).await;
    server.user("ada").await;
    let session = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let session_id = session.login_id().await;
    for pair in [Pair::JWT_COOKIE, Pair::JWT_BEARER] {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        let (id, began) = (client.login_id().await, server.clock.now());
        server.clock.advance(MINUTE);
        let now = server.clock.now();

        // Its use is nobody's business. By the time that the session's is written, its own would be.
        client.profile().await.ok();
        session.profile().await.ok();
        eventually("the session's use", async || times(&client, &session_id).await.0 == now).await;
        assert_eq!(times(&client, &id).await, (began, began + 30 * MINUTE));

        client.refresh().await.ok();
        assert_eq!(times(&client, &id).await, (now, now + 30 * MINUTE));
    }
}

#[tokio::test]
async fn what_was_seen_is_written_down_when_the_server_stops() {
    let mut server = TestServer::with(&[ONE_NAME, ("LAST_SEEN_INTERVAL", "1h")]).await;
    let used = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let observer = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    let id = used.login_id().await;
    server.clock.advance(MINUTE);
    let now = server.clock.now();
    used.profile().await.ok();

    server.stop().await;
    let server = server.another_node().await;

    assert_eq!(times(&observer.at(&server), &id).await, (now, now + 30 * MINUTE));
}

#[tokio::test]
async fn a_list_is_the_same_by_every_credential_but_for_what_is_current() {
    let server = TestServer::start().await;
    server.user("ada").await;
    let clients = Client::in_every_way(&server, "ada").await;
    let everything = listed_ids(&clients[0]).await;
    for client in &clients {
        let id = client.login_id().await;
        let listed = listed(client).await;
        let current: Vec<&str> =
            listed.iter().filter(|login| login["current"] == true).map(|login| text(&login["id"])).collect();
        assert_eq!(current, [id]);
        let ids: Vec<&str> = listed.iter().map(|login| text(&login["id"])).collect();
        assert_eq!(ids, everything);
        let login = listed.iter().find(|login| login["current"] == true).expect("one");
        assert_eq!(login["mode"], client.pair.mode.name());
        assert_eq!(login["transport"], client.pair.transport.name());
        assert!(Mode::ALL.iter().any(|mode| login["mode"] == mode.name()));
    }
}

/// Begins logins of a user by SQL, a second apart each, the newest first; some of them at the same time.
async fn begin_logins(server: &TestServer, user: &str, count: i32) {
    let insert = sqlx::query(
        "insert into logins (id, user_id, mode, transport, remember_me, address, user_agent, created_at, last_seen_at,
             idle_expires_at, expires_at, renewed_at, sweep_at)
         select gen_random_uuid(), $1::text::uuid, 'session', 'cookie', false, '192.0.2.1', '', at, at, $2, $2, at, $2
         from (select $3 - (number / 3) * interval '1 second' as at from generate_series(1, $4) number) as began",
    );
    let now = server.clock.now();
    let insert = insert.bind(user).bind(now + HOUR).bind(now - SECOND).bind(count);
    let mut sql = server.sql().await;
    // For each it would write the same row anew, past all the versions of it before.
    sqlx::query("alter table logins disable trigger login_began")
        .execute(&mut sql)
        .await
        .expect("no trigger");
    insert.execute(&mut sql).await.expect("logins");
    sqlx::query("alter table logins enable trigger login_began").execute(&mut sql).await.expect("a trigger");
}

/// The page that this query asks for, and the query that asks for the next one.
async fn page(client: &Client, query: &str) -> (Vec<String>, Option<String>) {
    let body = client.get(&format!("/account/logins?{query}")).await.not_stored().ok();
    assert_members(&body, &["next", "logins"]);
    let ids = body["logins"].as_array().expect("a list").iter().map(|login| text(&login["id"]).to_owned());
    let next = body["next"].as_str().map(|next| {
        assert!(next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{next}");
        format!("after={next}")
    });
    (ids.collect(), next)
}

#[tokio::test]
async fn a_list_comes_page_by_page_and_has_every_login_once() {
    let server = TestServer::start().await;
    let user = server.user("ada").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    begin_logins(&server, &user, 249).await;
    Client::of_new_user(&server, Pair::JWT_BEARER, "grace").await;

    let (first, next) = page(&client, "").await;
    assert_eq!(first.len(), 100);
    let (second, after_second) = page(&client, &next.clone().expect("more")).await;
    let (third, end) = page(&client, &after_second.expect("more")).await;
    assert_eq!((second.len(), third.len(), end), (100, 50, None));

    let all = [first, second, third].concat();
    assert_eq!(all[0], client.login_id().await, "the newest first");
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 250);
    // The same however long the pages are, in the order of time; the last page may be full.
    for limit in [1, 7, 125, 200] {
        let (mut walked, mut query) = (Vec::new(), Some(String::new()));
        while let Some(asked) = query {
            if limit == 1 && walked.len() == 10 {
                break;
            }
            let (ids, next) = page(&client, &format!("limit={limit}&{asked}")).await;
            assert!((1..=limit).contains(&ids.len()), "{limit}");
            walked.extend(ids);
            query = next;
        }
        assert_eq!(walked, all[..walked.len()], "{limit}");
        assert!(limit == 1 || walked.len() == 250, "{limit}");
    }
}

#[tokio::test]
async fn logins_that_begin_and_end_meanwhile_move_no_page() {
    let server = TestServer::start().await;
    let user = server.user("ada").await;
    begin_logins(&server, &user, 30).await;
    let client = Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    let all = listed_ids(&client).await;

    let (first, next) = page(&client, "limit=10").await;
    server.clock.advance(SECOND);
    Client::signed_in(&server, Pair::SESSION_BEARER, "ada").await;
    // The one that the next page begins after, too.
    for ended in [&all[3], &all[9], &all[15]] {
        end(&server, &client, ended).await.expect(204);
    }
    let (second, _) = page(&client, &format!("limit=10&{}", next.expect("more"))).await;

    assert_eq!(first, all[..10]);
    assert_eq!(second, [&all[10..15], &all[16..21]].concat());
}

#[tokio::test]
async fn a_page_that_nobody_can_ask_for_is_refused_and_pointed_at() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    for (query, pointers) in [
        ("limit=0", &["/limit"][..]),
        ("limit=201", &["/limit"]),
        ("limit=-1", &["/limit"]),
        ("limit=%2B5", &["/limit"]),
        ("limit=1e2", &["/limit"]),
        ("limit=", &["/limit"]),
        ("limit=4294967297", &["/limit"]),
        ("after=", &["/after"]),
        ("after=nonsense", &["/after"]),
        ("after=0&limit=x", &["/after", "/limit"]),
        ("limit=1&limit=1", &["/limit"]),
        ("Limit=1", &["/Limit"]),
        ("offset=10", &["/offset"]),
        ("a/b~c=1", &["/a~1b~0c"]),
    ] {
        client.get(&format!("/account/logins?{query}")).await.points_at(pointers);
    }
    // What is well formed and made up is some place in one's own list.
    for made_up in ["A".repeat(32), "_".repeat(32), format!("f{}", "_".repeat(31))] {
        page(&client, &format!("after={made_up}")).await;
    }
    Client::new(&server, Pair::JWT_BEARER)
        .get("/account/logins?limit=0")
        .await
        .problem(401, "not_authenticated");
}

#[tokio::test]
async fn a_page_of_many_logins_is_read_from_the_index_alone() {
    let server = TestServer::start().await;
    let user = server.user("ada").await;
    let client = Client::signed_in(&server, Pair::JWT_BEARER, "ada").await;
    begin_logins(&server, &user, 20_000).await;
    let mut sql = server.sql().await;
    // As autovacuum does.
    sqlx::query("analyze logins").execute(&mut sql).await.expect("statistics");
    let before = reads(&mut sql).await;

    let (ids, next) = page(&client, "limit=200").await;
    assert_eq!(ids.len(), 200);
    page(&client, &format!("limit=200&{}", next.expect("more"))).await;

    // Statistics come late: when whoever has read does something else, a second later.
    eventually("the count of what was read", async || {
        client.get("/account").await.ok();
        reads(&mut sql).await > before
    })
    .await;
    let read = reads(&mut sql).await - before;
    assert!(read < 2_000, "{read} rows of 20,001");
    let body = client.get("/account/logins").await;
    assert!(body.text().len() < 64 * 1024, "{}", body.text().len());
}

/// How many rows of logins were read so far, by whatever way.
async fn reads(sql: &mut sqlx::PgConnection) -> i64 {
    let rows = sqlx::query_scalar(
        "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables
         where relid = 'dualauth.logins'::regclass",
    );
    rows.fetch_one(sql).await.expect("a number")
}
