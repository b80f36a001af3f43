//! What the sender makes of what the mail server says, and of what it does.

use futures_util::future::join_all;

use super::*;
use crate::support::http::Request;

/// What it says after a mail, and to an address.
const LATER: &str = "451 4.7.1 come back later, canary-address@example.org";
const NEVER: &str = "550 5.1.1 nobody is called canary-address@example.org";

#[tokio::test]
async fn a_queued_mail_is_sent_once_and_is_gone() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let mut sql = server.sql().await;
    let id = queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    let mail = mails.receives_one().await;
    assert_eq!((mail.to.as_str(), mail.from.as_str()), (ADDRESS, "no-reply@localhost"));
    assert_eq!(mail.code(), (Uuid::nil().to_string(), CODE.to_owned()));
    // By name, as the pages are opened: there the page finds the challenge's token.
    let link = format!("http://localhost:{}/mail#{}.{CODE}", server.address().port(), Uuid::nil());
    for body in [mail.text(), mail.html()] {
        assert!(body.contains("3141 5926") && body.contains(&link), "{body}");
        assert!(body.contains("within 10 minutes"), "{body}");
    }
    let header = |name: &str| mail.header(name).unwrap_or_else(|| panic!("no {name} in {}", mail.content));
    assert_eq!(header("From"), "dualauth <no-reply@localhost>");
    assert_eq!(header("To"), ADDRESS);
    assert_eq!(header("Message-ID"), format!("<{id}@localhost>"));
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    assert!(header("Content-Type").starts_with("multipart/alternative"), "{}", header("Content-Type"));
    assert!(header("Date").contains(" 2031 "), "{}", header("Date"));
    assert!(!header("Subject").contains("5926"), "subjects are in the logs of mail servers");
    eventually("the row is gone", async || waiting(&mut sql).await == 0).await;
    eventually("it is counted", async || sent(&server, "sent").await == 1.0).await;
    assert_eq!(mails.received().len(), 1);
}

#[tokio::test]
async fn a_mail_is_in_the_language_of_the_account() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let mail = Mail { language: Language::De, ..code_for(Some(ADDRESS), &server.clock) };
    queue(&mut server.sql().await, &mail, &server.clock).await;
    let mail = mails.receives_one().await;
    assert!(
        mail.text().contains("innerhalb von 10 Minuten")
            && mail.text().contains("möchte") == mail.html().contains("möchte")
    );
    assert!(mail.html().contains("<html lang=\"de\">"), "{}", mail.html());
    assert!(mail.content.is_ascii(), "every server takes it");
}

#[tokio::test]
async fn a_mail_to_nobody_goes_without_being_sent() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let mut sql = server.sql().await;
    for to in [None, Some(ADDRESS), None] {
        queue(&mut sql, &code_for(to, &server.clock), &server.clock).await;
    }
    eventually("the rows are gone", async || waiting(&mut sql).await == 0).await;
    assert_eq!(mails.receives_one().await.to, ADDRESS);
    assert!(mail_failures(&server).await.is_empty());
}

/// Has the node look at once and not within a second: it does after every request that queues a mail, here one to nobody.
async fn look_at_the_queue(server: &TestServer) {
    let ask = json!({ "for": "reset_password", "method": "email", "email": "nobody@example.org" });
    server.send(Request::post("/challenges").json(&ask)).await.expect(201);
}

#[tokio::test]
async fn what_the_server_refuses_for_now_is_tried_again_after_growing_pauses() {
    let conducts = [
        Conduct { to_address: Some(LATER), ..Conduct::default() },
        Conduct { after_mail: Some(LATER), ..Conduct::default() },
        Conduct { hangs_up: true, ..Conduct::default() },
    ];
    join_all(conducts.map(async |conduct| {
        let mails = MailServer::start().await;
        let server = server(&mails).await;
        let mut sql = server.sql().await;
        mails.conduct(conduct);
        queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
        let mut pause = 2;
        for tries in 1..=3 {
            let until = server.clock.now() + chrono::Duration::seconds(pause);
            let row = || sqlx::query_as("select tries, send_at from dualauth.mails order by id limit 1");
            eventually("it is put off", async || {
                let row: (i16, DateTime<Utc>) = row().fetch_one(&mut sql).await.expect("a row");
                row == (tries, until)
            })
            .await;
            // Before the last pause is over: what is under way while the clock moves is put off from the later time.
            if tries == 3 {
                mails.conduct(Conduct::default());
            }
            server.clock.advance(Duration::from_secs(pause.unsigned_abs()));
            look_at_the_queue(&server).await;
            pause *= 2;
        }
        mails.receives_one().await;
        eventually("the row is gone", async || waiting(&mut sql).await == 0).await;
        assert!(mail_failures(&server).await.is_empty());
    }))
    .await;
}

#[tokio::test]
async fn what_the_server_refuses_for_good_is_given_up_and_told() {
    let conducts = [
        Conduct { to_address: Some(NEVER), ..Conduct::default() },
        Conduct { after_mail: Some(NEVER), ..Conduct::default() },
    ];
    join_all(conducts.map(async |conduct| {
        let mails = MailServer::start().await;
        let server = server(&mails).await;
        let mut sql = server.sql().await;
        mails.conduct(conduct);
        queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
        eventually("the row is gone", async || waiting(&mut sql).await == 0).await;
        eventually("it is told", async || !mail_failures(&server).await.is_empty()).await;
        let told = json!({ "reason": "refused", "message": "sign_in_code", "status": 550 });
        assert_eq!(mail_failures(&server).await, [told]);
        assert_eq!(sent(&server, "refused").await, 1.0);
        assert!(mails.received().is_empty());
    }))
    .await;
}

#[tokio::test]
async fn an_address_that_says_more_than_an_address_is_never_said_to_the_server() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let mut sql = server.sql().await;
    for address in [
        "ada@example.org\r\nBcc: bea@example.org",
        "ada@example.org>\r\nRCPT TO:<bea@example.org",
        "ada@example.org, bea@example.org",
        "ada\n@example.org",
        "nobody",
        "",
    ] {
        queue(&mut sql, &code_for(Some(address), &server.clock), &server.clock).await;
    }
    eventually("all are told", async || mail_failures(&server).await.len() == 6).await;
    let told = json!({ "reason": "refused", "message": "sign_in_code" });
    assert!(mail_failures(&server).await.iter().all(|failure| *failure == told));
    assert_eq!(waiting(&mut sql).await, 0);
    assert!(
        !mails.said().iter().any(|line| line.contains("bea") || line.starts_with("MAIL")),
        "{:?}",
        mails.said()
    );
}

#[tokio::test]
async fn what_somebody_called_their_device_adds_no_header_and_no_markup() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let message = Message::SignInFromNewNetwork {
        device: Some("<b>phone</b>\r\nBcc: bea@example.org\r\n.\r\nMAIL FROM:<eve@example.org>".to_owned()),
        network: "192.0.2.0/24".to_owned(),
        at: server.clock.now(),
    };
    queue(&mut server.sql().await, &mail(Some(ADDRESS), message, &server.clock), &server.clock).await;
    let mail = mails.receives_one().await;
    assert_eq!(mail.header("Bcc"), None);
    assert!(mail.text().contains("<b>phone</b>") && mail.text().contains("192.0.2.0/24"), "{}", mail.text());
    assert!(mail.html().contains("&lt;b&gt;phone"), "{}", mail.html());
    assert!(!mails.said().iter().any(|line| line.contains("eve")), "{:?}", mails.said());
}

#[tokio::test]
async fn what_waits_says_neither_who_gets_it_nor_what_it_says() {
    let mut mails = MailServer::start().await;
    let server = server(&mails).await;
    mails.go_away().await;
    let mut sql = server.sql().await;
    queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    queue(&mut sql, &code_for(None, &server.clock), &server.clock).await;
    let rows: Vec<(String, i32, Vec<u8>)> =
        sqlx::query_as("select m::text, length(content), content from dualauth.mails m")
            .fetch_all(&mut sql)
            .await
            .expect("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].1, rows[1].1, "their lengths");
    for (row, _, content) in &rows {
        assert!(!row.contains("canary") && !row.contains(CODE), "{row}");
        for secret in ["canary", "example.org", CODE, "3141 5926", "sign_in"] {
            assert!(!content.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_after_its_code_has_expired() {
    let mut mails = MailServer::start().await;
    let server = server(&mails).await;
    mails.go_away().await;
    let mut sql = server.sql().await;
    let notice = Mail {
        expires_at: server.clock.now() + 24 * HOUR,
        ..mail(Some(ADDRESS), Message::PasswordChanged, &server.clock)
    };
    queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    queue(&mut sql, &code_for(None, &server.clock), &server.clock).await;
    queue(&mut sql, &notice, &server.clock).await;
    eventually("it was tried", async || sent(&server, "unreachable").await >= 1.0).await;
    assert_eq!(waiting(&mut sql).await, 3);
    server.clock.advance(11 * MINUTE);
    assert!(server.metric("dualauth_mail_oldest_seconds").await >= 660.0);
    mails.come_back().await;
    let mail = mails.receives_one().await;
    assert!(mail.text().contains("was changed"), "{}", mail.text());
    // A node sweeps when it starts, and then once a minute.
    let _another = server.another_node().await;
    eventually("the rest is deleted", async || waiting(&mut sql).await == 0).await;
    eventually("it is told", async || !mail_failures(&server).await.is_empty()).await;
    assert_eq!(mail_failures(&server).await, [json!({ "reason": "expired", "message": "sign_in_code" })]);
    assert_eq!(mails.received().len(), 1);
}

#[tokio::test]
async fn a_server_that_turns_everybody_away_is_nothing_against_a_mail() {
    let conducts = [
        Conduct { greeting: Some("421 too many connections"), ..Conduct::default() },
        Conduct { greeting: Some("554 go away"), ..Conduct::default() },
        // In the middle of a mail.
        Conduct { to_address: Some("421 going away"), ..Conduct::default() },
    ];
    join_all(conducts.map(async |conduct| {
        let mails = MailServer::start().await;
        let server = server(&mails).await;
        let mut sql = server.sql().await;
        mails.conduct(conduct);
        for _ in 0..20 {
            queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
        }
        eventually("it was tried twice", async || sent(&server, "unreachable").await >= 2.0).await;
        assert!(mails.connections() < 10, "one for each pause, and not one for each mail");
        mails.conduct(Conduct::default());
        // The clock stands still: no mail was put off.
        mails.receives(20).await;
        assert!(mail_failures(&server).await.is_empty());
    }))
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_counted_and_not_tried_for_each_mail() {
    let mails = MailServer::start().await;
    let url = mails.url().replace("smtp://", "smtp://me:canary-password@");
    let server = TestServer::with(&[("SMTP_URL", &url), METRICS]).await;
    let mut sql = server.sql().await;
    for _ in 0..20 {
        queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    }
    eventually("it was tried twice", async || sent(&server, "unauthenticated").await >= 2.0).await;
    let tried = mails.said().iter().filter(|line| line.starts_with("AUTH")).count();
    assert!(tried < 10, "{tried}");
    assert_eq!((waiting(&mut sql).await, mails.received().len()), (20, 0));
}

#[tokio::test]
async fn a_server_that_offers_no_tls_gets_neither_password_nor_mail() {
    let mails = MailServer::start().await;
    // Linux connects to this machine, and it is no loopback address.
    let url = format!("smtp://me:canary-password@0.0.0.0:{}", mails.port());
    let server = TestServer::with(&[("SMTP_URL", &url), METRICS]).await;
    let mut sql = server.sql().await;
    queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    eventually("it was tried", async || sent(&server, "unreachable").await >= 1.0).await;
    let said = mails.said();
    assert!(said.iter().all(|line| line.starts_with("EHLO") || line.starts_with("QUIT")), "{said:?}");
    assert_eq!(waiting(&mut sql).await, 1);
}

#[tokio::test]
async fn what_cant_be_read_here_waits_for_a_node_that_can_and_holds_nothing_up() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let mut sql = server.sql().await;
    let other = Mails::new(None, &AppSecret::generate(), server.clock.clone());
    let sealed = other.seal(&code_for(Some("elsewhere@example.org"), &server.clock));
    insert(&mut sql, sealed).await;
    queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    assert_eq!(mails.receives_one().await.to, ADDRESS);
    eventually("the other waits", async || waits(&mut sql).await == Some((1, true))).await;
    assert!(sent(&server, "unreadable").await >= 1.0);
}

#[tokio::test]
async fn a_server_that_stops_finishes_the_mail_that_it_is_sending_and_waits_for_no_mail_server_for_long() {
    let stopped_while_sending = async |slow: Duration| {
        let mails = MailServer::start().await;
        let mut server = server(&mails).await;
        let mut sql = server.sql().await;
        mails.conduct(Conduct { slow, ..Conduct::default() });
        for _ in 0..2 {
            queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
        }
        eventually("it is sending", async || mails.said().iter().any(|line| line == "DATA")).await;
        tokio::time::timeout(PATIENCE, server.stop()).await.expect("it stops");
        let row = sqlx::query_as("select tries, send_at > created_at from dualauth.mails order by tries");
        let rows: Vec<(i16, bool)> = row.fetch_all(&mut sql).await.expect("rows");
        (mails.received().len(), rows)
    };
    let (slow, silent) = tokio::join!(stopped_while_sending(2 * SECOND), stopped_while_sending(HOUR));
    assert_eq!(slow, (1, vec![(0, false)]), "the other was not begun");
    assert_eq!(silent, (0, vec![(0, false), (1, true)]), "it is there for another node, later");
}
