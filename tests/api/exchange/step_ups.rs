//! A step-up proves who somebody is to the one who makes it, and to nobody who has a copy of what the login had before.

use std::time::Instant;

use serde_json::json;

use super::{
    DIRECTIONS, WAYS, ask_for_code, code, dead, hand_off, modes, opening, taking_over, token, with_token,
};
use crate::factors;
use crate::nodes::{assert_refused_in_time, sql, two_nodes};
use crate::support::{
    MINUTE, PASSWORD, SECOND,
    client::{Client, Mode, Pair},
    http::Request,
    server::TestServer,
};

/// The proofs that a client's own profile shows.
async fn auth_time(client: &Client) -> String {
    client.profile().await.ok()["auth"]["auth_time"].to_string()
}

#[tokio::test]
async fn a_step_up_in_either_mode_ends_the_others_credential_on_every_node() {
    let (server, elsewhere) = two_nodes(&[]).await;
    for (number, (from, to)) in WAYS.into_iter().enumerate() {
        for proving in [0, 1] {
            let one = Client::of_new_user(&server, from, &format!("user-{number}-{proving}")).await;
            let two = hand_off(&elsewhere, &one.at(&elsewhere), to).await;
            let mut clients = [one, two];
            for client in &mut clients {
                client.refresh().await.ok();
                client.at(&server).profile().await.ok();
            }
            server.clock.advance(MINUTE);
            let stolen = clients[1 - proving].clone();
            let before = auth_time(&stolen).await;
            let prover = &mut clients[proving];
            prover.step_up(PASSWORD).await.ok();
            let acknowledged = Instant::now();
            assert_eq!(modes(prover).await, [prover.pair.mode.name()]);

            // Whoever has a copy of the other mode's credential has nothing that says what was proved now.
            match stolen.pair.mode {
                Mode::Session => {
                    for node in [&server, &elsewhere] {
                        assert_refused_in_time(&stolen.at(node), acknowledged).await;
                        stolen.at(node).assert_refused(dead(stolen.pair)).await;
                    }
                }
                Mode::Jwt => {
                    for node in [&server, &elsewhere] {
                        stolen.at(node).refresh().await.problem(401, "invalid_token");
                        // An access token says what it says until it runs out.
                        assert_eq!(auth_time(&stolen.at(node)).await, before);
                    }
                }
            }
            prover.refresh().await.ok();
            prover.at(&elsewhere).profile().await.ok();

            // It is handed off once more, to be what it was.
            let mut again = hand_off(&server, prover, stolen.pair).await;
            assert_eq!(modes(&again).await, ["jwt", "session"]);
            assert_eq!(auth_time(&again).await, auth_time(prover).await);
            for node in [&server, &elsewhere] {
                stolen.at(node).refresh().await.expect(401);
            }
            // And each is renewed on its own, whichever the login began in.
            for _ in 0..2 {
                server.clock.advance(31 * SECOND);
                again.refresh().await.ok();
            }
            prover.refresh().await.ok();
            for client in [&again, &*prover] {
                client.at(&elsewhere).profile().await.ok();
            }
        }
    }
}

#[tokio::test]
async fn what_was_issued_before_is_exchanged_for_nothing_that_was_proved_after() {
    let (server, elsewhere) = two_nodes(&[("STALENESS_BOUND", "60s")]).await;
    for (number, pair) in Pair::ALL.into_iter().enumerate() {
        let mut client = Client::of_new_user(&server, pair, &format!("user-{number}")).await;
        let to = if pair.mode == Mode::Session { Pair::JWT_BEARER } else { Pair::SESSION_BEARER };
        let made = code(&server, &client).await;
        let stolen = match pair.mode {
            Mode::Session => with_token(&server, &client).await,
            Mode::Jwt => client.clone(),
        };
        server.clock.advance(MINUTE);
        client.step_up(PASSWORD).await.ok();

        // A code that was made before.
        elsewhere.send(taking_over(&made, to)).await.problem(401, "challenge_expired");
        // An access token from before, which is good for all else.
        let stolen = stolen.at(&elsewhere);
        stolen.profile().await.ok();
        ask_for_code(&elsewhere, &stolen).await.problem(401, "token_revoked");
        elsewhere.send(opening(&stolen.credential())).await.problem(401, "token_revoked");
        client.assert_goes_on().await;
    }
}

#[tokio::test]
async fn a_session_id_that_is_dead_elsewhere_gets_nothing_within_the_bound_either() {
    // The other node looks at the feed once in 15 s.
    let (server, elsewhere) = two_nodes(&[("STALENESS_BOUND", "60s")]).await;
    server.user("ada").await;
    for pair in [Pair::SESSION_COOKIE, Pair::SESSION_BEARER] {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        let stolen = client.at(&elsewhere);
        stolen.profile().await.ok();
        server.clock.advance(MINUTE);
        client.step_up(PASSWORD).await.ok();
        assert_eq!(token(&stolen, &elsewhere).await.status, 401);
        assert_eq!(ask_for_code(&elsewhere, &stolen).await.status, 401);
        client.at(&elsewhere).assert_goes_on().await;
    }
}

#[tokio::test]
async fn both_modes_say_the_same_of_a_login_that_was_raised() {
    let server = TestServer::start().await;
    let mut session = Client::of_new_user(&server, Pair::SESSION_COOKIE, "ada").await;
    let before = with_token(&server, &session).await;
    let authenticator = factors::enrol(&server, &session).await;
    server.clock.advance(30 * SECOND);
    // What was signed before says no more than it did; what is signed now says what the session does.
    assert_eq!(before.profile().await.ok()["auth"]["acr"], "aal1");
    assert_eq!(session.profile().await.ok()["auth"]["acr"], "aal2");
    let after = with_token(&server, &session).await;
    assert_eq!(after.profile().await.ok()["auth"]["acr"], "aal2");
    server.clock.advance(20 * MINUTE);
    let code = authenticator.next_code(&server);
    let step_up = session.request("POST", "/session/step-up").json(&json!({ "code": code }));
    session.send(step_up).await.ok();
    let app = hand_off(&server, &session, Pair::JWT_BEARER).await;
    let (mine, its) = (session.profile().await.ok(), app.profile().await.ok());
    for member in ["amr", "acr", "auth_time"] {
        assert_eq!(its["auth"][member], mine["auth"][member], "{member}");
    }
}

#[tokio::test]
async fn no_exchange_makes_a_login_fresh() {
    let server = TestServer::start().await;
    for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
        let mut client = Client::of_new_user(&server, from, &format!("user-{number}")).await;
        let proved = auth_time(&client).await;
        server.clock.advance(11 * MINUTE);
        client.refresh().await.ok();
        let other = hand_off(&server, &client, to).await;
        for client in [&client, &other] {
            assert_eq!(auth_time(client).await, proved);
            let stale = client.get("/verify?max_age=600").await;
            stale.problem(401, "insufficient_user_authentication");
        }
        let session = if from.mode == Mode::Session { &client } else { &other };
        assert_eq!(auth_time(&with_token(&server, session).await).await, proved);
    }
}

#[tokio::test]
async fn a_step_up_that_meets_a_hand_off_leaves_no_credential_that_was_not_proved() {
    for round in 0..6 {
        let (server, elsewhere) = two_nodes(&[]).await;
        for (number, (from, to)) in DIRECTIONS.into_iter().enumerate() {
            let mut client = Client::of_new_user(&server, from, &format!("user-{round}-{number}")).await;
            let made = code(&server, &client).await;
            let mut thief = Client::new(&elsewhere, to);
            server.clock.advance(SECOND);
            let taken = elsewhere.send(taking_over(&made, to));
            let (taken, _) = futures_util::future::join(taken, client.step_up(PASSWORD)).await;
            thief.absorb(&taken);
            if taken.status == 200 {
                assert_eq!(
                    thief.refresh().await.status,
                    401,
                    "it was taken over before the step-up, and ended by it"
                );
            } else {
                taken.problem(401, "challenge_expired");
            }
            client.assert_goes_on().await;
        }
    }
}

#[tokio::test]
async fn a_login_of_before_refresh_tokens_had_a_secret_is_handed_off_as_well() {
    let server = TestServer::start().await;
    let client = Client::of_new_user(&server, Pair::JWT_BEARER, "ada").await;
    sql(&server, "update logins set refresh_hash = null").await;
    assert_eq!(modes(&client).await, ["jwt"]);
    let made = code(&server, &client).await;
    server.send(taking_over(&made, Pair::JWT_BEARER)).await.problem(409, "conflict");
    server.send(Request::get("/profile").bearer(&client.credential())).await.ok();
}
