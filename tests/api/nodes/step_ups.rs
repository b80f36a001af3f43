//! Step-ups while something else happens to the login, on two nodes.

use std::time::Instant;

use futures_util::future::{join, join_all};

use super::{GENEROUS, PAIRS, assert_accepted, assert_refused_in_time, sql, two_nodes};
use crate::support::{
    PASSWORD, SECOND,
    client::{Client, Mode},
};

#[tokio::test]
async fn a_session_id_from_before_is_dead_on_the_other_node_too() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS.into_iter().filter(|pair| pair.mode == Mode::Session) {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        let before = client.at(&elsewhere);
        before.profile().await.ok();
        client.step_up(PASSWORD).await.ok();
        let acknowledged = Instant::now();
        // The newer one is known there at once, whatever has been heard.
        client.at(&elsewhere).profile().await.ok();
        assert_refused_in_time(&before, acknowledged).await;
        client.at(&elsewhere).assert_goes_on().await;
    }
}

#[tokio::test]
async fn of_step_ups_at_once_one_wins_and_its_login_goes_on() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS {
        let first = Client::signed_in(&server, pair, "ada").await;
        let tabs = [&server, &elsewhere].map(|node| async {
            let mut tab = first.at(node);
            let answer = tab.step_up(PASSWORD).await;
            (tab, answer)
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(tabs).await.into_iter().partition(|(_, answer)| answer.status == 200);

        match pair.mode {
            Mode::Session => assert_eq!(won.len(), 1, "{pair:?}: one id has one successor"),
            // One that begins after the other has ended may be right as well, and be the last.
            Mode::Jwt => assert!(!won.is_empty(), "{pair:?}"),
        }
        for (_, answer) in &lost {
            assert!([409, 401].contains(&answer.status), "{answer}");
            assert_eq!(answer.set_cookies(), []);
        }
        let mut alive = 0;
        for (tab, _) in &won {
            alive += usize::from(tab.clone().refresh().await.status == 200);
        }
        assert_eq!(alive, 1, "{pair:?}");
        server.clock.advance(60 * SECOND);
    }
}

#[tokio::test]
async fn a_refresh_under_way_is_answered_or_refused_and_never_ends_the_login() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS {
        for _ in 0..4 {
            let first = Client::signed_in(&server, pair, "ada").await;
            let refreshes = (0..6).map(|number| {
                let mut tab = first.at(if number % 2 == 0 { &server } else { &elsewhere });
                async move {
                    let answer = tab.refresh().await;
                    (tab, answer)
                }
            });
            let mut prover = first.at(&elsewhere);
            let (stepped_up, refreshed) = join(prover.step_up(PASSWORD), join_all(refreshes)).await;

            let has_won = stepped_up.status == 200;
            assert!(has_won || stepped_up.status == 409 || stepped_up.status == 401, "{stepped_up}");
            for (tab, answer) in &refreshed {
                match answer.status {
                    200 if has_won => assert_eq!(tab.clone().refresh().await.status, 401, "{pair:?}"),
                    200 => {}
                    401 => {
                        assert!(!answer.text().contains("reused"), "{answer}");
                        assert_eq!(answer.set_cookies(), []);
                    }
                    _ => panic!("{answer}"),
                }
            }
            // Whoever has the newest goes on.
            match has_won {
                true => prover.assert_goes_on().await,
                false => {
                    let (mut tab, _) = refreshed.into_iter().find(|(_, it)| it.status == 200).expect("one");
                    server.clock.advance(20 * SECOND);
                    tab.step_up(PASSWORD).await.ok();
                    tab.assert_goes_on().await;
                }
            }
            server.clock.advance(60 * SECOND);
        }
    }
}

#[tokio::test]
async fn a_step_up_never_brings_a_login_back_that_is_being_ended() {
    let (server, elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS {
        for _ in 0..4 {
            let mut client = Client::signed_in(&server, pair, "ada").await;
            let mut prover = client.at(&elsewhere);
            let (left, stepped_up) = join(client.logout(), prover.step_up(PASSWORD)).await;

            let acknowledged = Instant::now();
            let has_left = left.status == 204;
            // The id that asked to leave may have been replaced before it was heard: then nobody has left.
            assert!(has_left || (pair.mode == Mode::Session && left.status == 401), "{left}");
            if has_left {
                assert!([200, 401].contains(&stepped_up.status), "{stepped_up}");
                assert_refused_in_time(&prover, acknowledged).await;
                assert_eq!(prover.refresh().await.status, 401);
            } else {
                stepped_up.ok();
                prover.assert_goes_on().await;
            }
            server.clock.advance(60 * SECOND);
        }
    }
}

/// What raises a login without a new credential, as a newer version does when somebody enrols a second factor.
#[tokio::test]
async fn a_session_that_is_raised_says_so_on_every_node() {
    let (server, elsewhere) = two_nodes(&[GENEROUS]).await;
    server.user("ada").await;
    for pair in PAIRS.into_iter().filter(|pair| pair.mode == Mode::Session) {
        let client = Client::signed_in(&server, pair, "ada").await;
        for node in [&server, &elsewhere] {
            client.at(node).profile().await.ok();
        }
        sql(&server, "update logins set amr = '{pwd,otp,mfa}', aal = 2").await;
        for node in [&server, &elsewhere] {
            let raised = async || client.at(node).profile().await.ok()["auth"]["acr"] == "aal2";
            crate::support::eventually("a raised session", raised).await;
            assert_accepted(&client.at(node)).await;
        }
    }
}

/// The version before writes none of these columns.
#[tokio::test]
async fn a_login_of_an_older_node_was_proved_by_its_password_when_it_began() {
    let (server, _elsewhere) = two_nodes(&[]).await;
    server.user("ada").await;
    for pair in PAIRS {
        let mut client = Client::signed_in(&server, pair, "ada").await;
        sql(&server, "update logins set auth_time = null").await;
        let began = client.get("/account/logins").await.ok()["logins"][0]["created_at"].clone();
        client.refresh().await.ok();
        let auth = client.profile().await.ok()["auth"].clone();
        assert_eq!((&auth["auth_time"], &auth["acr"]), (&began, &serde_json::json!("aal1")), "{pair:?}");
        server.clock.advance(60 * SECOND);
        client.step_up(PASSWORD).await.ok();
        assert_ne!(client.profile().await.ok()["auth"]["auth_time"], began);
    }
}
