//! What the sender does with what the mail server says.

use super::*;

#[tokio::test]
async fn a_queued_mail_is_sent_once_and_is_gone() {
    let mails = MailServer::start().await;
    let server = server(&mails).await;
    let mut sql = server.sql().await;
    queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    let mail = mails.receives_one().await;
    assert_eq!(mail.to, ADDRESS);
    assert_eq!(mail.code(), (Uuid::nil().to_string(), CODE.to_owned()));
    assert!(mail.text().contains("3141 5926"), "{}", mail.text());
}
