//! `mail test`, `mail list`, and what `doctor` says of mails.

use super::*;
use crate::{
    doctor::doctor_in,
    support::program::{folder, program, run, text},
};

struct Told {
    out: String,
    error: String,
    is_success: bool,
}

async fn mail_command(settings: &[(&str, &str)], words: &[&str]) -> Told {
    let mut command = program(&folder(), settings);
    command.arg("mail").args(words);
    let output = run(command, "").await;
    Told { out: text(&output.stdout), error: text(&output.stderr), is_success: output.status.success() }
}

#[tokio::test]
async fn a_test_mail_is_sent_at_once_and_the_servers_answer_is_shown() {
    let mails = MailServer::start().await;
    // Without a database: none is asked.
    let url = mails.url();
    let settings = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("SMTP_URL", &*url),
        ("PUBLIC_URL", "https://auth.example.org"),
        ("MAIL_FROM", "Our service <accounts@example.com>"),
    ];
    let told = mail_command(&settings, &["test", ADDRESS, "--language", "de"]).await;
    assert!(told.is_success, "{}", told.error);
    assert!(
        told.out.contains("250 2.0.0 taken") && told.out.contains("accounts@example.com"),
        "{}",
        told.out
    );
    let mail = mails.receives_one().await;
    assert_eq!((mail.to.as_str(), mail.from.as_str()), (ADDRESS, "accounts@example.com"));
    assert!(mail.text().contains("Das ist ein Test: E-Mails von auth.example.org"), "{}", mail.text());

    mails.conduct(Conduct { to_address: Some("550 5.1.1 no such user"), ..Conduct::default() });
    let told = mail_command(&settings, &["test", ADDRESS]).await;
    assert!(!told.is_success && told.error.contains("5.1.1 no such user"), "{}", told.error);
    let told = mail_command(&settings, &["test", "ada@example.org\r\nBcc: bea@example.org"]).await;
    assert!(!told.is_success && told.error.contains("refused"), "{}", told.error);
    assert_eq!(mails.received().len(), 1);
}

#[tokio::test]
async fn without_a_server_there_is_no_test_mail_and_doctor_says_what_that_means() {
    let database = Database::migrated().await;
    let settings = [("DATABASE_URL", database.url().as_str())];
    let told = mail_command(&settings, &["test", ADDRESS]).await;
    assert!(!told.is_success && told.error.contains("SMTP_URL"), "{}", told.error);
    doctor_in(&folder(), &settings, &[]).await.assert_has("ok", &["mails are off", "503", "SMTP_URL"]);
}

#[tokio::test]
async fn what_waits_is_listed_without_saying_whose_it_is() {
    let mut mails = MailServer::start().await;
    let server = server(&mails).await;
    mails.go_away().await;
    let mut sql = server.sql().await;
    let settings = [
        ("DATABASE_URL", server.database_url().as_str()),
        ("APP_SECRET", APP_SECRET),
        ("SMTP_URL", &mails.url()),
    ];
    let told = mail_command(&settings, &["list"]).await;
    assert_eq!(told.out, "No mail waits.\n", "{}", told.error);
    queue(&mut sql, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    queue(&mut sql, &mail(None, Message::PasswordReset, &server.clock), &server.clock).await;
    let other = Mails::new(None, &AppSecret::generate(), server.clock.clone());
    insert(&mut sql, other.seal(&code_for(Some(ADDRESS), &server.clock))).await;
    let told = mail_command(&settings, &["list"]).await;
    let lines: Vec<_> = told.out.lines().skip(1).collect();
    assert_eq!(lines.len(), 3, "{}", told.out);
    assert!(lines[0].starts_with("2031-01-01T") && lines[0].ends_with("sign_in_code"), "{}", told.out);
    assert!(
        lines[1].ends_with("password_reset") && lines[2].ends_with("(another APP_SECRET)"),
        "{}",
        told.out
    );
    assert!(!told.out.contains("canary") && !told.out.contains(CODE), "{}", told.out);
}

#[tokio::test]
async fn doctor_finds_a_wrong_password_a_server_that_is_away_and_an_address_that_is_refused() {
    let mut mails = MailServer::start().await;
    let url = mails.url();
    let with_password = url.replace("smtp://", "smtp://me:canary-password@");
    let smtp = |url| [("SMTP_URL", url)];
    let told = doctor_in(&folder(), &smtp(&*with_password), &[]).await;
    told.assert_has("problem", &["535", "wrong name or password", "SMTP_URL"]);
    assert!(!mails.said().iter().any(|line| line.starts_with("MAIL")), "{:?}", mails.said());

    let told = doctor_in(&folder(), &smtp(&*url), &[]).await;
    told.assert_has("ok", &["127.0.0.1", "answers", "on this machine"]);
    told.assert_has("warning", &["no-reply@localhost"]);
    told.assert_has("warning", &["PUBLIC_URL is not"]);
    let stripped = format!("smtp://0.0.0.0:{}", mails.port());
    let told = doctor_in(&folder(), &smtp(&*stripped), &[]).await;
    told.assert_has("problem", &["STARTTLS"]);

    let public = [("SMTP_URL", &*url), ("PUBLIC_URL", "https://auth.example.com")];
    doctor_in(&folder(), &public, &[]).await.assert_has("ok", &["no-reply@auth.example.com"]);
    mails.go_away().await;
    let told = doctor_in(&folder(), &public, &[]).await;
    told.assert_has("problem", &["can't be reached", "wait in the queue"]);
}
