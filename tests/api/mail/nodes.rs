//! Several nodes: each mail once, and none is lost with a node that dies.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::*;
use crate::support::{
    mail_server::ReceivedMail,
    program::{Server, folder},
};

fn ids(mails: &[ReceivedMail]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for mail in mails {
        *counts.entry(mail.header("Message-ID").expect("an id")).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn of_two_nodes_each_mail_is_sent_by_one() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let _another = server.another_node().await;
    let mut sql = server.sql().await;
    for _ in 0..40 {
        queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    }
    eventually("the queue is empty", async || waiting(&mut sql).await == 0).await;
    assert_eq!(ids(&mails.received()).len(), 40);
    assert_eq!(mails.received().len(), 40);
}

#[tokio::test]
async fn of_a_node_that_is_killed_no_mail_is_lost_and_at_most_one_comes_twice() {
    let (mails, clock) = (MailServer::start().await, Clock::system());
    mails.conduct(Conduct { slow: Duration::from_millis(100), ..Conduct::default() });
    let database = Database::migrated().await;
    let mut sql = database.connect().await;
    let settings =
        [("DATABASE_URL", database.url().as_str()), ("APP_SECRET", APP_SECRET), ("SMTP_URL", &mails.url())];
    let mut nodes = join_all([folder(), folder()].map(async |it| Server::start(&it, &settings).await)).await;
    for _ in 0..16 {
        queue(&mut sql, &code_for(Some(ADDRESS), &clock), &clock).await;
    }
    mails.receives(4).await;
    let mut killed = nodes.remove(0);
    killed.child.kill().await.expect("it ends");
    eventually("one is left at most, which was the dead node's", async || waiting(&mut sql).await <= 1).await;
    // As though the time had passed for which it is the dead node's.
    sqlx::query("update dualauth.mails set send_at = created_at").execute(&mut sql).await.expect("updated");
    eventually("the queue is empty", async || waiting(&mut sql).await == 0).await;
    let ids = ids(&mails.received());
    assert_eq!(ids.len(), 16, "none is lost");
    assert!(mails.received().len() <= 17, "{ids:?}");
}
