//! What one account takes, over all addresses and nodes.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::{BEHIND_A_PROXY, assert_limited, tries, wrong};
use crate::support::{
    DAY, HOUR, MINUTE, SECOND,
    client::{Client, Pair},
    cluster::Database,
    http::{Request, Response},
    program::{folder, program, run},
    server::{METRICS, ONE_NAME, TestServer, credentials},
};

const HOME: &str = "203.0.113.7";
const ABROAD: &str = "198.51.100.9";
/// As many as close an account when each has failed 20 times.
const FIVE: [&str; 5] = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4", "198.51.100.5"];

/// Two nodes on one database, with a user called ada who has signed in at home before.
async fn nodes() -> [TestServer; 2] {
    let server = TestServer::with(&[BEHIND_A_PROXY, ONE_NAME]).await;
    let node = server.another_node().await;
    server.user("ada").await;
    tries(&server, HOME, &credentials("ada")).await.ok();
    [server, node]
}

/// So many guesses at an account, each from another address, many at once, by turns on both nodes.
async fn guess(nodes: &[TestServer; 2], name: &str, count: usize) -> Vec<Response> {
    let guesses = (0..count).map(|number| async move {
        let address = format!("10.{}.{}.1", number / 250, number % 250);
        tries(&nodes[number % 2], &address, &wrong(name)).await
    });
    stream::iter(guesses).buffer_unordered(16).collect().await
}

/// So many guesses at ada from each of the [`FIVE`] by turns. Gives how many were listened to.
async fn guess_by_turns(nodes: &[TestServer; 2], count: usize) -> usize {
    let mut listened = 0;
    for _ in 0..count {
        for network in FIVE {
            let answer = tries(&nodes[0], network, &wrong("ada")).await;
            listened += usize::from(answer.status == 401);
        }
    }
    listened
}

fn count(answers: &[Response], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// When somebody who is told to wait may come again, in seconds.
#[track_caller]
fn wait(response: &Response) -> u64 {
    assert_limited(response, "\"account\"")
}

#[tokio::test]
async fn after_100_failures_in_a_row_only_networks_of_its_owner_may_try() {
    let nodes = nodes().await;
    let live = Client::in_every_way(&nodes[0], "ada").await;

    let answers = guess(&nodes, "ada", 130).await;
    assert_eq!((count(&answers, 401), count(&answers, 429)), (100, 30), "of all nodes together");

    for node in &nodes {
        assert_eq!(wait(&tries(node, ABROAD, &credentials("ada")).await), 60);
        tries(node, HOME, &credentials("ada")).await.ok();
    }
    // It is closed to strangers still: its owner's success is not theirs.
    wait(&tries(&nodes[0], ABROAD, &credentials("ada")).await);
    for mut client in live {
        client.at(&nodes[1]).profile().await.ok();
        client.refresh().await.ok();
    }
}

#[tokio::test]
async fn after_each_further_ten_failures_it_is_closed_for_twice_as_long_and_never_for_more_than_a_day() {
    let nodes = nodes().await;
    guess_by_turns(&nodes, 20).await;
    let mut minutes = Vec::new();
    loop {
        let closed = wait(&tries(&nodes[0], ABROAD, &wrong("ada")).await);
        minutes.push(closed / 60);
        if minutes.len() == 12 {
            break;
        }
        nodes[0].clock.advance(SECOND * u32::try_from(closed).expect("a day at most"));
        assert_eq!(guess_by_turns(&nodes, 2).await, 10);
    }
    assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440]);
}

#[tokio::test]
async fn who_guesses_from_one_network_for_hours_keeps_its_owner_from_no_other() {
    let nodes = nodes().await;
    let mut guessed = 0;
    for number in 0..600 {
        let answer = tries(&nodes[number % 2], ABROAD, &wrong("ada")).await;
        guessed += usize::from(answer.status == 401);
        nodes[0].clock.advance(MINUTE);
    }
    // After 20, ten more each time that it may go on: a minute after that, then two, four and so on.
    assert_eq!(guessed, 20 + 8 * 10);
    tries(&nodes[0], "192.0.2.1", &credentials("ada")).await.ok();
    // The same from its networks of IPv6, of which each has 2^64 addresses; a hundred failures are five networks' work.
    for number in 0..100 {
        tries(&nodes[1], &format!("2001:db8:5::{number:x}"), &wrong("ada")).await;
    }
    tries(&nodes[0], "192.0.2.2", &credentials("ada")).await.ok();
}

#[tokio::test]
async fn a_network_that_has_contributed_its_20_waits_by_itself_whatever_others_do() {
    let nodes = nodes().await;
    let at_once = (0..64).map(|number| {
        let nodes = &nodes;
        async move { tries(&nodes[number % 2], ABROAD, &wrong("ada")).await }
    });
    let answers = join_all(at_once).await;
    assert_eq!((count(&answers, 401), count(&answers, 429)), (20, 44), "of 64 at once, on two nodes");
    assert_eq!(wait(&tries(&nodes[0], ABROAD, &credentials("ada")).await), 60);
    // Neither another's failures nor its owner's success end that.
    tries(&nodes[0], "192.0.2.1", &wrong("ada")).await.problem(401, "invalid_credentials");
    tries(&nodes[0], HOME, &credentials("ada")).await.ok();
    assert_eq!(wait(&tries(&nodes[1], ABROAD, &credentials("ada")).await), 60);
    nodes[0].clock.advance(MINUTE);
    for _ in 0..10 {
        tries(&nodes[1], ABROAD, &wrong("ada")).await.problem(401, "invalid_credentials");
    }
    assert_eq!(wait(&tries(&nodes[1], ABROAD, &credentials("ada")).await), 120);
    nodes[0].clock.advance(2 * MINUTE);
    tries(&nodes[1], ABROAD, &credentials("ada")).await.ok();
}

#[tokio::test]
async fn it_takes_five_networks_to_close_an_account_however_long_they_try() {
    let nodes = nodes().await;
    let guess_for_days = async |networks: &[&str]| {
        for _ in 0..40 {
            for _ in 0..15 {
                for network in networks {
                    tries(&nodes[0], network, &wrong("ada")).await;
                }
            }
            nodes[0].clock.advance(6 * HOUR);
        }
    };
    guess_for_days(&FIVE[..4]).await;
    tries(&nodes[1], "192.0.2.1", &wrong("ada")).await.problem(401, "invalid_credentials");
    nodes[0].clock.advance(8 * DAY);
    assert_eq!(guess_by_turns(&nodes, 20).await, 100);
    assert_eq!(wait(&tries(&nodes[1], "192.0.2.1", &credentials("ada")).await), 60);
}

#[tokio::test]
async fn networks_that_have_contributed_their_20_close_it_again_and_for_longer() {
    let nodes = nodes().await;
    assert_eq!(guess_by_turns(&nodes, 20).await, 100);
    for closed in [2, 4, 8] {
        nodes[0].clock.advance(SECOND * 61 * (closed / 2));
        assert_eq!(guess_by_turns(&nodes, 10).await, 10, "of all five together");
        assert_eq!(wait(&tries(&nodes[1], "192.0.2.1", &credentials("ada")).await), u64::from(closed) * 60);
    }
}

#[tokio::test]
async fn a_network_s_further_failures_count_when_others_have_closed_the_account() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 100).await;
    nodes[0].clock.advance(MINUTE);
    for _ in 0..10 {
        tries(&nodes[0], "10.0.0.1", &wrong("ada")).await.problem(401, "invalid_credentials");
    }
    assert_eq!(wait(&tries(&nodes[1], ABROAD, &credentials("ada")).await), 120);
}

/// What many networks get in ten days that never let the account's count reach 100: a fresh one joins whenever there is room for
/// its `share`, and those that have failed 20 times go on whenever they may. Gives the tries, and whether it was ever closed.
async fn guesses_below_100(server: &TestServer, share: i32) -> (i64, bool) {
    let simulation = "
        create or replace function pg_temp.simulate(share integer, out tries bigint, out closed boolean)
            language plpgsql set search_path = dualauth, pg_temp as $$
        declare
            started constant timestamptz := '2030-01-01 00:00:00Z';
            ada constant uuid := id from users where username = 'ada';
            at timestamptz := started;
            next_try timestamptz[] := '{}';
            network integer;
            used integer := share;
            total integer;
            until timestamptz;
        begin
            tries := 0;
            delete from guesses;
            while at < started + interval '10 days' loop
                total := (select failures_of_all(networks, at) from guesses where account = uuid_send(ada));
                network := null;
                if used >= share and coalesce(total, 0) <= 99 - share then
                    next_try := next_try || at;
                    used := 0;
                end if;
                if used < share then
                    network := cardinality(next_try);
                elsif share = 20 then
                    select number into network from unnest(next_try) with ordinality as n (next_at, number)
                        where next_at <= at order by next_at limit 1;
                end if;
                if network is null then
                    at := at + interval '15 minutes';
                    continue;
                end if;
                until := count_try(ada, null, '10.' || network / 250 || '.' || network % 250 || '.1', at);
                next_try[network] := coalesce(until, at);
                if until is null then
                    tries := tries + 1;
                    used := used + 1;
                elsif used < share then
                    at := until;
                end if;
            end loop;
            closed := (select closed_until is not null from guesses where account = uuid_send(ada));
        end $$";
    let mut sql = server.sql().await;
    sqlx::raw_sql(simulation).execute(&mut sql).await.expect("the simulation");
    let simulate = sqlx::query_as("select tries, closed from pg_temp.simulate($1)").bind(share);
    simulate.fetch_one(&mut sql).await.expect("what it gives")
}

#[tokio::test]
async fn networks_that_keep_the_count_below_100_have_200_guesses_a_day_at_most() {
    let nodes = nodes().await;
    for share in [1, 10, 20] {
        let (tries, closed) = guesses_below_100(&nodes[0], share).await;
        assert!(!closed, "it is about what closes nothing");
        assert!((10 * 40..=10 * 200).contains(&tries), "{tries} in ten days, {share} a network");
    }
}

#[tokio::test]
async fn a_success_ends_the_row_of_failures_and_does_not_open_what_is_closed() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 99).await;
    tries(&nodes[0], HOME, &credentials("ada")).await.ok();
    let answers = guess(&nodes, "ada", 130).await;
    assert_eq!(count(&answers, 401), 100);
    // Nor does that of somebody else.
    nodes[0].user("mallory").await;
    tries(&nodes[0], ABROAD, &credentials("mallory")).await.ok();
    tries(&nodes[0], HOME, &credentials("ada")).await.ok();
    assert_eq!(wait(&tries(&nodes[1], ABROAD, &wrong("ada")).await), 60);
}

#[tokio::test]
async fn the_hundredth_try_closes_nothing_when_it_is_the_owner_s() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 99).await;
    tries(&nodes[0], "192.0.2.1", &credentials("ada")).await.ok();
    tries(&nodes[1], ABROAD, &wrong("ada")).await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn counts_halve_with_each_day_without_a_failure() {
    let nodes = nodes().await;
    guess_by_turns(&nodes, 20).await;
    for _ in 0..20 {
        tries(&nodes[0], ABROAD, &wrong("bob")).await;
    }
    wait(&tries(&nodes[0], ABROAD, &wrong("bob")).await);
    nodes[0].clock.advance(2 * DAY);
    // 100 are 25, and 20 are 5.
    let more = guess_elsewhere(&nodes, "ada", 80).await;
    assert_eq!((count(&more, 401), count(&more, 429)), (75, 5));
    for _ in 0..15 {
        tries(&nodes[0], ABROAD, &wrong("bob")).await.problem(401, "invalid_credentials");
    }
    assert_eq!(wait(&tries(&nodes[0], ABROAD, &wrong("bob")).await), 60);
}

/// Guesses from networks that [`guess`] does not guess from.
async fn guess_elsewhere(nodes: &[TestServer; 2], name: &str, count: usize) -> Vec<Response> {
    let guesses = (0..count)
        .map(|number| async move { tries(&nodes[0], &format!("172.16.{number}.1"), &wrong(name)).await });
    stream::iter(guesses).buffer_unordered(16).collect().await
}

/// Status, headers and body.
type Told = (u16, Vec<(String, String)>, String);

/// What a network is told that tries a name so often: all but the date.
async fn told(nodes: &[TestServer; 2], name: &str, network: &str, count: usize) -> Vec<Told> {
    let mut answers = Vec::new();
    for number in 0..count {
        answers.push(tries(&nodes[number % 2], network, &wrong(name)).await.but_for_the_date());
    }
    answers
}

#[tokio::test]
async fn from_one_network_and_from_many_a_name_that_nobody_has_answers_like_any_other() {
    let nodes = nodes().await;
    let all = async |name: &str| {
        let mut answers = told(&nodes, name, ABROAD, 25).await;
        answers.extend(told(&nodes, name, "2001:db8:7::1", 10).await);
        answers.extend(told(&nodes, name, "2001:db8:7::ffff", 15).await);
        for number in 0..70 {
            answers.extend(told(&nodes, name, &format!("10.1.{number}.1"), 1).await);
        }
        answers
    };
    let (known, unknown) = (all("ada").await, all("nobody").await);
    assert_eq!(known, unknown);
    let refused = known.iter().filter(|(status, ..)| *status == 429).count();
    assert_eq!(refused, 20, "five each of the networks that have tried 25 times, and the last ten of all");
    // And as time goes by.
    for pause in [30 * SECOND, MINUTE, HOUR, DAY, 3 * DAY] {
        nodes[0].clock.advance(pause);
        let [known, unknown] =
            [told(&nodes, "ada", ABROAD, 12).await, told(&nodes, "nobody", ABROAD, 12).await];
        assert_eq!(known, unknown, "{pause:?} later");
        let [known, unknown] =
            [told(&nodes, "ada", "10.2.0.1", 3).await, told(&nodes, "nobody", "10.2.0.1", 3).await];
        assert_eq!(known, unknown, "{pause:?} later, from elsewhere");
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_counts_like_any_other() {
    let nodes = nodes().await;
    let known = guess(&nodes, "ada", 110).await;
    let unknown = guess(&nodes, "nobody", 110).await;
    for status in [401, 429] {
        assert_eq!(count(&known, status), count(&unknown, status));
        let one = |answers: &[Response]| {
            answers.iter().find(|answer| answer.status == status).expect("one of them").but_for_the_date()
        };
        assert_eq!(one(&known), one(&unknown));
    }
    // Whatever the letter case; and a user's two names are one account.
    wait(&tries(&nodes[0], ABROAD, &wrong("NoBody")).await);
    wait(&tries(&nodes[0], ABROAD, &wrong("Ada@example.org")).await);
    // The name is not kept.
    let (kept,): (String,) = sqlx::query_as("select string_agg(guesses::text, ' ') from guesses")
        .fetch_one(&mut nodes[0].sql().await)
        .await
        .expect("the counts");
    assert!(!kept.contains("nobody") && !kept.contains(&hex(b"nobody")), "{kept}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn while_an_account_is_closed_its_owner_may_try_a_few_times_a_minute() {
    let nodes = nodes().await;
    nodes[0].clock.advance(60 * SECOND);
    guess(&nodes, "ada", 100).await;
    for (number, node) in [0, 1, 0].into_iter().enumerate() {
        let response = tries(&nodes[node], HOME, &wrong("ada")).await;
        assert_eq!(response.status, 401, "{number}: {response}");
    }
    for node in &nodes {
        assert_eq!(wait(&tries(node, HOME, &credentials("ada")).await), 20);
    }
    nodes[0].clock.advance(20 * SECOND);
    tries(&nodes[1], HOME, &credentials("ada")).await.ok();
}

#[tokio::test]
async fn an_owner_is_known_by_the_network_of_an_ipv6_address() {
    let nodes = nodes().await;
    let [before, now, elsewhere] = ["2001:db8:1::1", "2001:db8:1::2:3", "2001:db8:2::1"];
    tries(&nodes[0], before, &credentials("ada")).await.ok();
    guess(&nodes, "ada", 100).await;
    wait(&tries(&nodes[1], elsewhere, &credentials("ada")).await);
    tries(&nodes[1], now, &credentials("ada")).await.ok();
}

#[tokio::test]
async fn who_signs_in_is_forgiven_what_failed_from_the_same_address() {
    let nodes = nodes().await;
    for _ in 0..6 {
        for _ in 0..19 {
            tries(&nodes[0], HOME, &wrong("ada")).await.problem(401, "invalid_credentials");
        }
        tries(&nodes[1], HOME, &credentials("ada")).await.ok();
    }
    tries(&nodes[0], ABROAD, &credentials("ada")).await.ok();
}

#[tokio::test]
async fn a_network_of_its_owner_never_waits_for_longer_than_20_seconds() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 100).await;
    let mut refused = 0;
    for number in 0..200 {
        let answer = tries(&nodes[number % 2], HOME, &wrong("ada")).await;
        if answer.status == 429 {
            refused += 1;
            assert!(wait(&answer) <= 20);
        }
        nodes[0].clock.advance(10 * SECOND);
    }
    assert!(refused > 80, "{refused}");
    nodes[0].clock.advance(20 * SECOND);
    tries(&nodes[0], HOME, &credentials("ada")).await.ok();
    // What was tried there has closed it to nobody else for any longer.
    tries(&nodes[0], ABROAD, &wrong("ada")).await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn many_right_passwords_at_once_are_no_failures() {
    let server = TestServer::with(&[BEHIND_A_PROXY, ("HASH_CONCURRENCY", "4")]).await;
    server.user("ada").await;
    let right = credentials("ada");
    let logins = (0..250).map(|number| {
        let (server, right) = (&server, &right);
        async move { tries(server, &format!("10.0.{number}.1"), right).await }
    });
    for response in join_all(logins).await {
        assert!([200, 503].contains(&response.status), "{response}");
    }
}

#[tokio::test]
async fn another_password_opens_the_account_again() {
    let nodes = nodes().await;
    let live = Client::signed_in(&nodes[0], Pair::JWT_BEARER, "ada").await;
    guess(&nodes, "ada", 101).await;
    // From wherever its owner is: who is signed in is no stranger.
    let new = "another lantern, another weir";
    let body = serde_json::json!({ "current_password": crate::support::PASSWORD, "new_password": new });
    let change = live.request("POST", "/account/password").header("X-Forwarded-For", ABROAD).json(&body);
    nodes[1].send(change).await.expect(204);
    let credentials = crate::support::with(credentials("ada"), "password", new);
    tries(&nodes[0], "192.0.2.1", &credentials).await.ok();
}

/// Tries to change the password with a wrong one from many addresses at once, as whoever has found a token does. Gives the answers.
async fn tries_to_change(nodes: &[TestServer; 2], live: &Client, count: usize) -> Vec<Response> {
    let body = serde_json::json!({ "current_password": "no lantern, no weir, no river",
        "new_password": "another lantern, another weir" });
    let changes = (0..count).map(|number| {
        let address = format!("10.3.{number}.1");
        let change = live.request("POST", "/account/password").header("X-Forwarded-For", &address);
        nodes[number % 2].send(change.json(&body))
    });
    join_all(changes).await
}

#[tokio::test]
async fn from_however_many_addresses_the_current_password_is_tried_three_times_and_then_each_20_seconds() {
    let nodes = nodes().await;
    let live = Client::signed_in(&nodes[0], Pair::JWT_BEARER, "ada").await;
    let answers = tries_to_change(&nodes, &live, 40).await;
    assert_eq!((count(&answers, 403), count(&answers, 429)), (3, 37));
    for refused in answers.iter().filter(|answer| answer.status == 429) {
        assert!(wait(refused) <= 20);
    }
    for _ in 0..3 {
        nodes[0].clock.advance(20 * SECOND);
        assert_eq!(count(&tries_to_change(&nodes, &live, 5).await, 403), 1);
    }
}

#[tokio::test]
async fn what_whoever_is_signed_in_gets_wrong_closes_the_account_to_nobody() {
    let nodes = nodes().await;
    let mut live = Client::signed_in(&nodes[0], Pair::JWT_BEARER, "ada").await;
    let mut failed = 0;
    for _ in 0..4 {
        for _ in 0..30 {
            failed += count(&tries_to_change(&nodes, &live, 1).await, 403);
            nodes[0].clock.advance(20 * SECOND);
        }
        live.refresh().await.ok();
    }
    assert_eq!(failed, 120);
    // Neither to who tries from one of those addresses,
    tries(&nodes[0], "10.3.0.1", &wrong("ada")).await.problem(401, "invalid_credentials");
    // nor to strangers, nor to its owner; and by nobody's sign-in is the pace another.
    tries(&nodes[0], ABROAD, &wrong("ada")).await.problem(401, "invalid_credentials");
    tries_to_change(&nodes, &live, 3).await;
    for _ in 0..5 {
        tries(&nodes[1], HOME, &credentials("ada")).await.ok();
    }
    wait(&tries_to_change(&nodes, &live, 1).await[0]);
}

#[tokio::test]
async fn an_operator_can_open_an_account() {
    let database = Arc::new(Database::migrated().await);
    let server = TestServer::on(database.clone(), &[BEHIND_A_PROXY, ONE_NAME]).await;
    let nodes = [server.another_node().await, server];
    nodes[0].user("ada").await;
    for _ in 0..20 {
        tries(&nodes[0], ABROAD, &wrong("ada")).await;
    }
    guess(&nodes, "ada", 80).await;
    wait(&tries(&nodes[0], ABROAD, &credentials("ada")).await);
    wait(&tries(&nodes[0], "192.0.2.1", &credentials("ada")).await);

    let folder = folder();
    let mut command = program(&folder, &[("DATABASE_URL", database.url().as_str())]);
    command.args(["user", "unlock", "Ada"]);
    assert!(run(command, "").await.status.success());
    tries(&nodes[0], "192.0.2.1", &credentials("ada")).await.ok();
    tries(&nodes[0], ABROAD, &credentials("ada")).await.ok();
    let _ = std::fs::remove_dir(&folder);
}

#[tokio::test]
async fn counts_that_nobody_goes_by_are_swept_and_known_addresses_are_kept() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 10).await;
    guess(&nodes, "nobody", 10).await;
    nodes[0].clock.advance(32 * DAY);
    let left = async |days: u32| {
        nodes[0].clock.advance(days * DAY);
        // A node sweeps when it starts.
        let _node = nodes[0].another_node().await;
        let mut counts = (-1_i64, -1_i64);
        crate::support::eventually("a sweep", async || {
            let before = counts;
            counts = sqlx::query_as("select (select count(*) from guesses), (select count(*) from guessers)")
                .fetch_one(&mut nodes[0].sql().await)
                .await
                .expect("the counts");
            before == counts && counts.0 == 0
        })
        .await;
        counts.1
    };
    assert_eq!(left(0).await, 1, "where its owner signed in");
    crate::support::eventually("that this is forgotten, too", async || left(365).await == 0).await;
}

#[tokio::test]
async fn a_deleted_user_leaves_no_counts() {
    let nodes = nodes().await;
    guess(&nodes, "ada", 10).await;
    let mut sql = nodes[0].sql().await;
    sqlx::query("delete from users").execute(&mut sql).await.expect("a deletion");
    let (left,): (i64,) =
        sqlx::query_as("select (select count(*) from guesses) + (select count(*) from guessers)")
            .fetch_one(&mut sql)
            .await
            .expect("the counts");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_login_asks_once_before_its_turn_and_once_more_when_it_has_come() {
    let (server, proxy) = TestServer::behind_a_proxy(&[]).await;
    server.user("ada").await;
    for (credentials, statements) in [(credentials("ada"), 3), (wrong("ada"), 2), (wrong("nobody"), 2)] {
        proxy.take_statements();
        server.send(Request::post("/jwt/login").json(&credentials)).await;
        assert_eq!(proxy.take_statements().of_requests().len(), statements, "{credentials}");
    }
}

#[tokio::test]
async fn who_is_shut_out_takes_no_place_in_the_queue_for_hashing() {
    let server = TestServer::with(&[BEHIND_A_PROXY, METRICS, ("HASH_CONCURRENCY", "1")]).await;
    server.user("ada").await;
    for name in ["ada", "nobody"] {
        for _ in 0..20 {
            tries(&server, ABROAD, &wrong(name)).await.problem(401, "invalid_credentials");
        }
    }
    let computed = server.metric("dualauth_argon2_computed_total").await;
    // Twice as many as there are places.
    let flood = (0..130).map(|number| {
        let server = &server;
        async move { tries(server, ABROAD, &wrong(["ada", "nobody"][number % 2])).await }
    });
    for answer in join_all(flood).await {
        wait(&answer);
    }
    assert_eq!(server.metric("dualauth_argon2_computed_total").await, computed);
    assert_eq!(server.metric("dualauth_password_attempts_refused_total").await, 0.0);
}
