//! Templates of one's own: used in place of the built-in ones, and checked at the start.

use std::path::PathBuf;

use futures_util::future::join_all;

use super::*;
use crate::{
    doctor::doctor_in,
    support::program::{folder, program, run, text},
};

fn templates(files: &[(&str, &str)]) -> PathBuf {
    let templates = folder();
    for (name, source) in files {
        let path = templates.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, source).expect("a file");
    }
    templates
}

#[tokio::test]
async fn a_template_of_ones_own_takes_the_place_of_one_and_leaves_the_others() {
    let mails = MailServer::start().await;
    let own = templates(&[
        ("en/sign_in_code.txt", "Subject: Hello from {{ site }}\n\n{{ code }} {{ link }}\n"),
        ("footer.html", "<p>Our street 1</p>"),
        ("layout.html", "<main>{% block content %}{% endblock %}</main>{% include \"footer.html\" %}"),
    ]);
    let own = own.to_str().expect("a path");
    let settings =
        [("SMTP_URL", &*mails.url()), ("MAIL_TEMPLATES", own), ("PUBLIC_URL", "https://auth.example.org/id")];
    let server = TestServer::with(&settings).await;
    queue(&mut server.sql().await, &code_for(Some(ADDRESS), &server.clock), &server.clock).await;
    let mail = mails.receives_one().await;
    assert_eq!(mail.header("Subject").as_deref(), Some("Hello from auth.example.org"));
    assert_eq!(mail.from, "no-reply@auth.example.org");
    let link = format!("https://auth.example.org/id/mail#{}.{CODE}", Uuid::nil());
    assert_eq!(mail.text().trim(), format!("3141 5926 {link}"));
    assert!(mail.html().contains("Our street 1") && mail.html().contains("3141 5926"), "{}", mail.html());
}

#[tokio::test]
async fn a_template_that_is_wrong_is_told_at_the_start_with_its_file_and_line() {
    let database = Database::migrated().await;
    let url = database.url().to_string();
    let wrong = [
        ("en/sign_in_code.html", "<p>\n{{ cod }}</p>", "en/sign_in_code.html, line 2"),
        ("de/password_reset.txt", "Subject: Neu\n\n{% if %}", "de/password_reset.txt, line 3"),
        ("de/test.txt", "Subject: {{ device }}\n\nTest", "de/test.txt, line 1"),
        ("en/test.txt", "A test\n\nof mails", "en/test.txt, line 1: expected `Subject: `"),
        ("en/test.txt", "Subject: \n\nA test", "en/test.txt, line 1: expected `Subject: `"),
        ("en/test.txt", "Subject: A test\r\nBcc: eve@example.org\n\nA test", "en/test.txt, line 1"),
        ("en/sign_in.txt", "Subject: A code\n\n{{ code }}", "en/sign_in.txt takes the place of no template"),
        ("fr/test.txt", "Subject: Essai\n\nEssai", "fr/test.txt takes the place of no template"),
        ("layout.html", "{% block content %}", "layout.html, line 1"),
    ];
    join_all(wrong.map(async |(name, source, told)| {
        let own = templates(&[(name, source)]);
        // Also where mails are off: nobody is to find out later.
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("APP_SECRET", APP_SECRET),
            ("MAIL_TEMPLATES", own.to_str().expect("a path")),
        ];
        let (one, another) = (folder(), folder());
        let starting = run(program(&one, &settings), "");
        let (output, found) = tokio::join!(starting, doctor_in(&another, &settings, &[]));
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(told), "{told}: {error}");
        found.assert_has("problem", &[told, "does not start"]);
    }))
    .await;
}

#[tokio::test]
async fn a_folder_of_templates_that_is_not_there_is_told() {
    let settings = [("MAIL_TEMPLATES", "/nowhere/at/all")];
    doctor_in(&folder(), &settings, &[]).await.assert_has("problem", &["/nowhere/at/all can't be read"]);
}
