//! A reset while the mail server is away, is slow or refuses: the answer is the same, and so is what the code is worth.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ask, email_of, mail_of, reset, server_with, with_its_code};
use crate::{
    mail::{mail_failures, sent, waiting},
    support::{
        HOUR, MINUTE, assert_members, eventually,
        mail_server::{Conduct, MailServer},
        server::{METRICS, TestServer},
        text,
    },
};

async fn server() -> (TestServer, MailServer) {
    let (server, mails) = server_with(&[METRICS]).await;
    server.user("ada").await;
    (server, mails)
}

/// Asks for a reset for this address and for one that nobody has: the answers tell nothing of a mail.
async fn ask_for(server: &TestServer, name: &str) -> Value {
    let answers = [
        ask(server, "reset_password", &email_of(name)).await,
        ask(server, "reset_password", "nobody@example.org").await,
    ];
    for answer in &answers {
        assert_members(answer, &["challenge", "id", "for", "method", "expires_at"]);
    }
    let [answer, _] = answers;
    answer
}

/// It was tried, and it is still there.
async fn is_tried(server: &TestServer, outcomes: &[&str]) {
    eventually("it was tried", async || {
        let mut tries = 0.0;
        for outcome in outcomes {
            tries += sent(server, outcome).await;
        }
        tries >= 1.0
    })
    .await;
    assert!(waiting(&mut server.sql().await).await >= 1);
}

#[tokio::test]
async fn a_reset_is_answered_while_the_mail_server_refuses_for_now_and_its_code_comes_later() {
    const LATER: &str = "451 4.7.1 come back later";
    let conducts = [
        Conduct { greeting: Some("421 going away"), ..Conduct::default() },
        Conduct { to_address: Some(LATER), ..Conduct::default() },
        Conduct { after_mail: Some(LATER), ..Conduct::default() },
        Conduct { hangs_up: true, ..Conduct::default() },
    ];
    join_all(conducts.map(async |conduct| {
        let (server, mails) = server().await;
        mails.conduct(conduct);
        let challenge = ask_for(&server, "ada").await;
        is_tried(&server, &["unreachable", "deferred", "interrupted"]).await;
        mails.conduct(Conduct::default());
        // Eight minutes with the one before: it is still good.
        server.clock.advance(7 * MINUTE);
        reset(&server, &with_its_code(&mails, &challenge).await).await.expect(204);
        assert!(mail_failures(&server).await.is_empty());
    }))
    .await;
}

#[tokio::test]
async fn of_a_mail_server_that_was_away_for_ten_minutes_come_the_codes_that_are_still_good() {
    let (server, mut mails) = server().await;
    server.user("bea").await;
    mails.go_away().await;
    let expired = ask_for(&server, "ada").await;
    is_tried(&server, &["unreachable"]).await;
    server.clock.advance(5 * MINUTE);
    let good = ask_for(&server, "bea").await;
    server.clock.advance(4 * MINUTE);
    mails.come_back().await;
    reset(&server, &with_its_code(&mails, &good).await).await.expect(204);
    // The notice of the reset, and nothing else.
    let received = mails.receives(2).await;
    assert!(received.iter().all(|mail| mail.to == "bea@example.org"), "{received:?}");

    server.clock.advance(MINUTE);
    // A node sweeps when it starts.
    let another = server.another_node().await;
    eventually("it is told", async || !mail_failures(&server).await.is_empty()).await;
    let told = json!({ "reason": "expired", "message": "reset_password_code" });
    assert_eq!(mail_failures(&server).await, [told], "of the one to nobody nothing is told");
    let again = ask_for(&another, "ada").await;
    reset(&server, &with_its_code(&mails, &again).await).await.expect(204);
    assert!(!mails.received().iter().any(|mail| mail.text().contains(text(&expired["id"]))));
}

#[tokio::test]
async fn a_code_that_the_mail_server_refuses_for_good_is_given_up_and_the_next_one_is_as_good_as_any() {
    let (server, mails) = server().await;
    mails.conduct(Conduct { to_address: Some("550 5.1.1 no such user"), ..Conduct::default() });
    let refused = ask_for(&server, "ada").await;
    eventually("it is told", async || !mail_failures(&server).await.is_empty()).await;
    let told = json!({ "reason": "refused", "message": "reset_password_code", "status": 550 });
    assert_eq!(mail_failures(&server).await, [told]);
    eventually("nothing waits", async || waiting(&mut server.sql().await).await == 0).await;
    mails.conduct(Conduct::default());
    let again = ask_for(&server, "ada").await;
    reset(&server, &with_its_code(&mails, &again).await).await.expect(204);
    assert!(!mails.received().iter().any(|mail| mail.text().contains(text(&refused["id"]))));
}

#[tokio::test]
async fn no_request_waits_for_a_mail_server_that_does_not_answer() {
    let (server, mails) = server().await;
    server.user("bea").await;
    mails.conduct(Conduct { slow: HOUR, ..Conduct::default() });
    ask_for(&server, "ada").await;
    eventually("it is sending", async || mails.said().iter().any(|line| line == "DATA")).await;
    // While that goes on.
    let challenge = ask_for(&server, "bea").await;
    assert!(mails.received().is_empty());
    // Another node is not held up by it either.
    mails.conduct(Conduct::default());
    let another = server.another_node().await;
    let mail = mail_of(&mails, text(&challenge["id"])).await;
    assert_eq!(mail.to, "bea@example.org");
    reset(&another, &with_its_code(&mails, &challenge).await).await.expect(204);
}
